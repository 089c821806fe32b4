//! MariaDB: the system's, or another release that the set-up script unpacked.

use std::io;
use std::path::{Path, PathBuf};

use crate::product::Product;
use crate::programs;
use crate::recipe::{CommandLine, Recipe, Setting, command_line};
use crate::unpacked::Unpacked;

pub(crate) fn recipe(product: Product, setting: &Setting<'_>) -> io::Result<Recipe> {
    match product.folder() {
        Some(name) => unpacked(name, setting),
        None => installed(setting),
    }
}

fn installed(setting: &Setting<'_>) -> io::Result<Recipe> {
    let find = |name| {
        let program = programs::find(name).map(|program| vec![program.to_string_lossy().into_owned()]);
        program.ok_or_else(|| {
            not_found(format!("no `{name}` here: run `tests/run` once, or install the packages mariadb-server-core and mariadb-client-core"))
        })
    };
    let install = vec!["--auth-root-authentication-method=normal".into(), "--skip-test-db".into()];
    let plugins = extra("usr/lib/mysql/plugin").map(|folder| format!("--plugin-dir={}", folder.display()));

    Ok(Recipe {
        init: command_line([find("mariadb-install-db")?, no_defaults(), install, setting.common(), small()]),
        serve: command_line([
            find("mariadbd")?,
            no_defaults(),
            plugins.into_iter().collect(),
            setting.common(),
            setting.serving(),
            small(),
        ]),
    })
}

fn unpacked(name: &str, setting: &Setting<'_>) -> io::Result<Recipe> {
    let no_server =
        || not_found(format!("no MariaDB in target/{name}: run `tests/run --all-servers` once, which fetches it"));
    let root = Unpacked::find(name, None).ok_or_else(no_server)?;
    let share = ["usr/share/mariadb", "usr/share/mysql"].into_iter().find(|share| root.path(share).is_dir());
    let share = share.ok_or_else(no_server)?;
    let options = vec![
        root.option("basedir", "usr"),
        root.option("lc-messages-dir", share),
        root.option("character-sets-dir", &format!("{share}/charsets")),
        root.option("plugin-dir", "usr/lib/mysql/plugin"),
    ];
    let mariadbd = root.program("usr/sbin/mariadbd").ok_or_else(no_server)?;
    let mariadbd = command_line([mariadbd, no_defaults(), options, setting.common(), small()]);
    let shell = ["sh", "-c", include_str!("bootstrap.sh"), "bootstrap"].map(String::from);
    let folders = vec![root.path(share).to_string_lossy().into_owned(), setting.data()];

    Ok(Recipe {
        init: command_line([shell.into(), folders, mariadbd.clone()]),
        serve: command_line([mariadbd, setting.serving()]),
    })
}

fn no_defaults() -> CommandLine {
    vec!["--no-defaults".into()]
}

fn small() -> CommandLine {
    vec!["--innodb-log-file-size=16M".into()]
}

/// The library of Galera that belongs to the [product wanted](Product::wanted), as the option `--wsrep-provider` takes it.
///
/// # Errors
///
/// The error if there is none, which says what to do.
pub fn galera_library() -> io::Result<PathBuf> {
    let library = "usr/lib/galera/libgalera_smm.so";
    let found = match Product::wanted().folder() {
        Some(name) => Unpacked::find(name, None).map(|root| root.path(library)).filter(|file| file.is_file()),
        None => extra(library).or_else(|| Some(Path::new("/").join(library)).filter(|file| file.is_file())),
    };
    found.ok_or_else(|| {
        not_found("no Galera here: run `tests/run` once, which fetches it, or install the package galera-4")
    })
}

/// A part of the packages that the set-up script unpacked, because `mariadb-server-core` lacks it.
fn extra(path: &str) -> Option<PathBuf> {
    programs::target_folders().map(|target| target.join("mariadb-extras").join(path)).find(|path| path.exists())
}

fn not_found(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, what.into())
}
