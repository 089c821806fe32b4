//! Fencing tokens, with several real processes and a server that crashes: `TEST_SERVER=mariadb` (the default) or
//! `TEST_SERVER=mysql`.

#[macro_use]
#[path = "../migrations/trials.rs"]
mod trials;

mod checks;
mod crash;
#[path = "../migrations/database.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod database;
mod errors;
mod processes;
mod stage;
mod struck;
mod tokens;
mod uncommitted;
#[path = "../behaviour/world.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod world;

use libtest_mimic::Arguments;

fn main() {
    if processes::is_wanted() {
        return processes::main();
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
