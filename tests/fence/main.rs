//! Fencing tokens, with several real processes and a server that crashes: `TEST_SERVER=mariadb` (the default) or
//! `TEST_SERVER=mysql`.

mod checks;
mod crash;
mod errors;
mod processes;
mod stage;
mod struck;
mod tokens;
mod uncommitted;

use libtest_mimic::Arguments;

fn main() {
    if let Some(arguments) = testkit::child::arguments() {
        return processes::main(&arguments);
    }
    let trials = [
        crash::trials(),
        processes::trials(),
        tokens::trials(),
        checks::trials(),
        errors::trials(),
        struck::trials(),
        uncommitted::trials(),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials.into_iter().flatten().collect()).exit();
}
