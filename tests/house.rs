//! The order in `src/`, as CONTRIBUTING.md tells it.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

/// From the lowest. What is on a floor uses its neighbours and what is below, never what is above.
const FLOORS: [&[&str]; 8] = [
    &[
        "backoff",
        "connection_id",
        "deadline",
        "error",
        "error_text",
        "family",
        "guard_error",
        "holder",
        "idle_limit",
        "keep_alive_error",
        "log_target",
        "name",
        "names",
        "operator_error",
        "owned",
        "permits_error",
        "slots",
        "watch",
    ],
    &["driver", "statement"],
    &["section"],
    &["lock", "permits"],
    &["queue"],
    &["operator"],
    &["blocking", "fence", "job", "leadership", "migration", "nonblocking", "quorum"],
    &["docs", "lib"],
];
const SQL: [&str; 9] =
    ["sql_query", "batch_execute", "push_sql", "dsl::sql", "\"SELECT ", "\"INSERT ", "\"UPDATE ", "\"SET ", "\"KILL "];
const MAX_LINES: usize = 400;

#[test]
fn no_file_uses_a_floor_above_its_own() {
    let on_floor = |(floor, modules): (usize, &&'static [&'static str])| modules.iter().map(move |name| (*name, floor));
    let floors: HashMap<&str, usize> = FLOORS.iter().enumerate().flat_map(on_floor).collect();
    let floor = |module: &str| *floors.get(module).unwrap_or_else(|| panic!("`{module}` is on no floor: give it one"));
    // The program's `crate` is the program, a user of the library.
    for file in files(Path::new("src")).into_iter().filter(|file| !file.starts_with("src/bin")) {
        let own = floor(&module(&file));
        for used in code(&file).split("crate::").skip(1).flat_map(first_names) {
            assert!(floor(&used) <= own, "{} uses `{used}`, which is above it", file.display());
        }
    }
}

#[test]
fn sql_is_written_on_the_statements_floor_only() {
    for file in files(Path::new("src")).iter().filter(|file| !["statement", "driver"].contains(&&*module(file))) {
        let code = code(file);
        let sql: Vec<_> = SQL.into_iter().filter(|sql| code.contains(sql)).collect();
        assert!(sql.is_empty(), "{} has {sql:?}", file.display());
    }
}

#[test]
fn no_file_is_too_long() {
    for file in ["src", "tests", "examples", "benches"].into_iter().flat_map(|folder| files(Path::new(folder))) {
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        assert!(lines <= MAX_LINES, "{} has {lines} lines, more than {MAX_LINES}", file.display());
    }
}

/// A folder's files of Rust, at any depth.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, others): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let rust = others.into_iter().filter(|file| file.extension().is_some_and(|extension| extension == "rs"));
    rust.chain(folders.iter().flat_map(|folder| files(folder))).collect()
}

/// `lock` for `src/lock.rs`, `job` for `src/job/due.rs`.
fn module(file: &Path) -> String {
    file.iter().nth(1).unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned()
}

/// A file without comments, and so without the examples in its documentation.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The first name of a path, or of each path in braces: `a` and `d` of `{a::{b, c}, d}`.
fn first_names(paths: &str) -> Vec<String> {
    let first = |path: &str| path.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let Some(list) = paths.strip_prefix('{') else { return vec![first(paths)] };
    let outside_of_inner_braces = list.chars().scan(1, |depth, c| {
        *depth += i32::from(c == '{') - i32::from(c == '}');
        (*depth > 0).then_some(if *depth == 1 { c } else { ' ' })
    });
    let list: String = outside_of_inner_braces.collect();
    list.split(',').map(first).filter(|name: &String| !name.is_empty()).collect()
}
