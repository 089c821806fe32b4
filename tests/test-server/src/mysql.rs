//! MySQL: the one that the set-up script unpacked, or the system's.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

use crate::product::Product;
use crate::programs;
use crate::recipe::{CommandLine, Recipe, Setting, command_line};

pub(crate) fn recipe(setting: &Setting<'_>) -> io::Result<Recipe> {
    let Program { program, options } = unpacked().or_else(installed).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::NotFound,
            "no MySQL server here (MariaDB's `mysqld` is none): run `tests/run` once, which fetches one, or put one on PATH",
        )
    })?;
    let small = || vec!["--loose-innodb-redo-log-capacity=16M".into()];
    let quiet = vec!["--mysqlx=OFF".into(), "--secure-file-priv=".into()];

    Ok(Recipe {
        init: command_line(
            program.clone(),
            [options.clone(), setting.common(), small(), vec!["--initialize-insecure".into()]],
        ),
        serve: command_line(program, [options, setting.common(), setting.serving(), small(), quiet]),
    })
}

struct Program {
    program: PathBuf,
    options: CommandLine,
}

/// The packages unpacked into a folder: their `mysqld` runs with their own loader and libraries, as the system's may be
/// older.
fn unpacked() -> Option<Program> {
    let given = env::var_os("MYSQL_ROOT_DIR").map(PathBuf::from);
    given.into_iter().chain(programs::target_folders().map(|target| target.join("mysql-server"))).find_map(in_root)
}

fn in_root(root: PathBuf) -> Option<Program> {
    let text = |path: PathBuf| path.to_str().map(String::from);
    let mysqld = root.join("usr/sbin/mysqld").canonicalize().ok()?;
    let root = mysqld.ancestors().nth(3)?.to_owned();
    let libraries = library_folders(&root);
    let loader = libraries.iter().find_map(|folder| entry(folder, "ld-linux"))?;
    let path = env::join_paths(libraries).ok()?.into_string().ok()?;
    Some(Program {
        program: loader,
        options: vec![
            "--library-path".into(),
            path,
            text(mysqld)?,
            "--no-defaults".into(),
            format!("--lc-messages-dir={}", text(root.join("usr/share/mysql"))?),
            format!("--character-sets-dir={}", text(root.join("usr/share/mysql/charsets"))?),
            format!("--plugin-dir={}", text(root.join("usr/lib/mysql/plugin"))?),
        ],
    })
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

/// The system's `mysqld`, unless it is MariaDB's under its old name.
fn installed() -> Option<Program> {
    let program = programs::find("mysqld")?;
    let output = Command::new(&program).args(["--no-defaults", "--version"]).output().ok()?;
    let version = String::from_utf8_lossy(&output.stdout);
    (output.status.success() && Product::of_version(&version) == Product::MySql)
        .then(|| Program { program, options: vec!["--no-defaults".into()] })
}
