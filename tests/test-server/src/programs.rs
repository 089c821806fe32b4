//! Where programs are.

use std::env;
use std::path::{Path, PathBuf};

/// The program of this name in `PATH`, or in the folders for servers, which `PATH` has only for root.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin", "/usr/bin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// Where this build's output may be: the set-up script puts a MySQL server beside it.
pub(crate) fn target_folders() -> impl Iterator<Item = PathBuf> {
    let program = env::current_exe().unwrap_or_default();
    let above_it = program.ancestors().skip(1).map(Path::to_owned).collect::<Vec<_>>();
    // The program of a doc test is in a temporary folder.
    let told = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let usual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    above_it.into_iter().chain(told).chain([usual])
}
