//! MySQL: the one that the set-up script unpacked, or the system's.

use std::path::PathBuf;
use std::process::Command;
use std::{env, io};

use crate::product::Product;
use crate::programs;
use crate::recipe::{CommandLine, Recipe, Setting, command_line};
use crate::unpacked::Unpacked;

pub(crate) fn recipe(setting: &Setting<'_>) -> io::Result<Recipe> {
    let mysqld = unpacked().or_else(installed).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::NotFound,
            "no MySQL server here (MariaDB's `mysqld` is none): run `tests/run` once, which fetches one, or put one on PATH",
        )
    })?;
    let small = || vec!["--loose-innodb-redo-log-capacity=16M".into()];
    let quiet = vec!["--mysqlx=OFF".into(), "--secure-file-priv=".into()];

    Ok(Recipe {
        init: command_line([mysqld.clone(), setting.common(), small(), vec!["--initialize-insecure".into()]]),
        serve: command_line([mysqld, setting.common(), setting.serving(), small(), quiet]),
    })
}

fn unpacked() -> Option<CommandLine> {
    let root = Unpacked::find("mysql-server", env::var_os("MYSQL_ROOT_DIR").map(PathBuf::from))?;
    let options = vec![
        "--no-defaults".into(),
        root.option("lc-messages-dir", "usr/share/mysql"),
        root.option("character-sets-dir", "usr/share/mysql/charsets"),
        root.option("plugin-dir", "usr/lib/mysql/plugin"),
    ];
    Some(command_line([root.program("usr/sbin/mysqld")?, options]))
}

/// The system's `mysqld`, unless it is MariaDB's under its old name.
fn installed() -> Option<CommandLine> {
    let program = programs::find("mysqld")?;
    let output = Command::new(&program).args(["--no-defaults", "--version"]).output().ok()?;
    let version = String::from_utf8_lossy(&output.stdout);
    (output.status.success() && Product::of_version(&version) == Product::MySql)
        .then(|| vec![program.to_string_lossy().into_owned(), "--no-defaults".into()])
}
