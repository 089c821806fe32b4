//! An example as a program.

use std::{env, path::PathBuf, process::Command, sync::LazyLock};

use testkit::world::server;

pub use testkit::program::Program;

/// The example of this name, to be run on the test server.
pub fn example(name: &str) -> Command {
    // Tests that run in the background, or under nohup, ignore signals, and what they start would, too.
    let mut command = Command::new("env");
    command.arg("--default-signal").arg(folder().join(name)).env("DATABASE_URL", server().url());
    command
}

/// Where the examples are: built first, since `cargo test --test examples` alone doesn't.
fn folder() -> &'static PathBuf {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        let release = if cfg!(debug_assertions) { None } else { Some("--release") };
        let mut build = Command::new(env!("CARGO"));
        // What cargo tells a test. Build scripts that read it (that of `ring`) would run again, and much would be built again, here and
        // then once more for whoever builds without it.
        for (variable, _) in env::vars_os() {
            let is_of = |prefix| variable.to_str().is_some_and(|name| name.starts_with(prefix));
            if is_of("CARGO_PKG_") || is_of("CARGO_MANIFEST_") || is_of("CARGO_CFG_") {
                build.env_remove(variable);
            }
        }
        let built =
            build.args(["build", "--quiet", "--examples", "--all-features"]).args(release).status().expect("cargo");
        assert!(built.success(), "the examples don't build");
        let test = env::current_exe().expect("a path");
        test.ancestors().nth(2).expect("the folder above `deps`").join("examples")
    });
    &FOLDER
}
