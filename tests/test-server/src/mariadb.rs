//! MariaDB, from the system's packages.

use std::io;
use std::path::{Path, PathBuf};

use crate::programs;
use crate::recipe::{Recipe, Setting, command_line};

pub(crate) fn recipe(setting: &Setting<'_>) -> io::Result<Recipe> {
    let find = |name| {
        programs::find(name).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                format!("no `{name}` here: run `tests/run` once, or install the packages mariadb-server-core and mariadb-client-core"),
            )
        })
    };
    let no_defaults = || vec!["--no-defaults".into()];
    let install = vec!["--auth-root-authentication-method=normal".into(), "--skip-test-db".into()];
    let plugins = || extra("usr/lib/mysql/plugin").map(|folder| format!("--plugin-dir={}", folder.display()));
    let small = || vec!["--innodb-log-file-size=16M".into()];

    Ok(Recipe {
        init: command_line(find("mariadb-install-db")?, [no_defaults(), install, setting.common(), small()]),
        serve: command_line(
            find("mariadbd")?,
            [no_defaults(), plugins().into_iter().collect(), setting.common(), setting.serving(), small()],
        ),
    })
}

/// Galera's library, as the option `--wsrep-provider` takes it.
///
/// # Errors
///
/// Where there is none; the message says what to do.
pub fn galera_library() -> io::Result<PathBuf> {
    let library = "usr/lib/galera/libgalera_smm.so";
    extra(library).or_else(|| Some(Path::new("/").join(library)).filter(|file| file.is_file())).ok_or_else(|| {
        let advice = "no Galera here: run `tests/run` once, which fetches it, or install the package galera-4";
        io::Error::new(io::ErrorKind::NotFound, advice)
    })
}

/// A part of the packages that the set-up script unpacked, because `mariadb-server-core` lacks it.
fn extra(path: &str) -> Option<PathBuf> {
    programs::target_folders().map(|target| target.join("mariadb-extras").join(path)).find(|path| path.exists())
}
