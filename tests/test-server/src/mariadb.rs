//! MariaDB, from the system's packages.

use std::io;

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
    let small = || vec!["--innodb-log-file-size=16M".into()];

    Ok(Recipe {
        init: command_line(find("mariadb-install-db")?, [no_defaults(), install, setting.common(), small()]),
        serve: command_line(find("mariadbd")?, [no_defaults(), setting.common(), setting.serving(), small()]),
    })
}
