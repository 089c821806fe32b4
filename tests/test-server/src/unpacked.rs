//! Packages that the set-up script unpacked into a folder, down to the C library.

use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::programs;
use crate::recipe::CommandLine;

/// A folder of unpacked packages.
///
/// Its programs run with its own loader and libraries, because the system's may be older or newer.
pub(crate) struct Unpacked {
    root: PathBuf,
    loader: CommandLine,
}

impl Unpacked {
    /// The folder `name` beside this build's output, unless packages were unpacked into `elsewhere`.
    pub(crate) fn find(name: &str, elsewhere: Option<PathBuf>) -> Option<Unpacked> {
        let usual = programs::target_folders().map(|target| target.join(name));
        elsewhere.into_iter().chain(usual).find_map(Self::at)
    }

    fn at(root: PathBuf) -> Option<Unpacked> {
        let root = root.canonicalize().ok()?;
        let libraries = library_folders(&root);
        let loader = libraries.iter().find_map(|folder| entry(folder, "ld-linux"))?;
        let path = env::join_paths(libraries).ok()?.into_string().ok()?;
        Some(Unpacked { root, loader: vec![text(loader), "--library-path".into(), path] })
    }

    /// A program in the folder, as a command line without arguments.
    pub(crate) fn program(&self, path: &str) -> Option<CommandLine> {
        let program = self.path(path);
        program.is_file().then(|| self.loader.iter().cloned().chain([text(program)]).collect())
    }

    /// An option that names something in the folder.
    pub(crate) fn option(&self, name: &str, path: &str) -> String {
        format!("--{name}={}", text(self.path(path)))
    }

    /// A path in the folder.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }
}

fn text(path: PathBuf) -> String {
    path.to_string_lossy().into_owned()
}

/// `lib` and `usr/lib` with their folders per architecture: which of them a package uses has changed over the years.
fn library_folders(root: &Path) -> Vec<PathBuf> {
    ["usr/lib", "lib", "usr/lib64", "lib64"]
        .iter()
        .map(|folder| root.join(folder))
        .flat_map(|folder| entry(&folder, "linux-gnu").into_iter().chain([folder]))
        .filter(|folder| folder.is_dir())
        .collect()
}

/// What in this folder has this in its name.
fn entry(folder: &Path, part: &str) -> Option<PathBuf> {
    let mut entries = fs::read_dir(folder).ok()?.flatten();
    entries.find(|entry| entry.file_name().to_string_lossy().contains(part)).map(|entry| entry.path())
}
