//! Migrations under the lock, with several real processes: `TEST_SERVER=mariadb` (the default) or `TEST_SERVER=mysql`.

#[macro_use]
mod trials;

mod database;
mod failures;
mod locks;
mod process;
mod race;
mod revert;
mod sessions;
mod sets;
mod stage;
#[path = "../behaviour/world.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod world;

use libtest_mimic::Arguments;

fn main() {
    if process::is_wanted() {
        return process::main();
    }
    let trials =
        [race::trials(), failures::trials(), locks::trials(), revert::trials(), sets::trials(), sessions::trials()];
    libtest_mimic::run(&Arguments::from_args(), trials.into_iter().flatten().collect()).exit();
}
