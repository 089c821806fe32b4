//! Leader election, with several real processes: `TEST_SERVER=mariadb` (the default) or `TEST_SERVER=mysql`.

mod campaigns;
mod losses;
mod processes;
mod stage;
mod terms;

use libtest_mimic::Arguments;

fn main() {
    if let Some(arguments) = testkit::child::arguments() {
        return processes::main(&arguments);
    }
    let trials = [losses::trials(), processes::trials(), campaigns::trials(), terms::trials()];
    libtest_mimic::run(&Arguments::from_args(), trials.into_iter().flatten().collect()).exit();
}
