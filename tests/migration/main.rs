//! Migrations under the lock, with several real processes: `TEST_SERVER=mariadb` (the default) or `TEST_SERVER=mysql`.

mod failures;
mod locks;
mod process;
mod race;
mod revert;
mod sessions;
mod sets;
mod stage;

use libtest_mimic::Arguments;

fn main() {
    if let Some(arguments) = testkit::child::arguments() {
        return process::main(&arguments);
    }
    let trials =
        [race::trials(), failures::trials(), locks::trials(), revert::trials(), sets::trials(), sessions::trials()];
    libtest_mimic::run(&Arguments::from_args(), trials.into_iter().flatten().collect()).exit();
}
