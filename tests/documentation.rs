//! What the documentation says of itself is so: its pictures, its links within the repository, and the tests that it names.

use std::{
    fs,
    path::{Path, PathBuf},
};

use percent_encoding::percent_decode_str;

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The lines `[label]: target`, without what `prefix` says.
fn references<'a>(text: &'a str, prefix: &str) -> Vec<(&'a str, &'a str)> {
    let lines = text.lines().filter_map(|line| line.strip_prefix(prefix)?.strip_prefix('['));
    lines.filter_map(|line| line.split_once("]: ")).collect()
}

#[test]
fn the_pictures_in_the_documentation_are_those_of_the_folder() {
    let (pictures, readme) = (read("src/docs/pictures.md"), read("README.md"));
    let files = references(&readme, "");
    for (label, data) in references(&pictures, "") {
        let (_, file) = files.iter().find(|(other, _)| *other == label).expect(label);
        let encoded = data.strip_prefix("data:image/svg+xml,").expect("an SVG");
        let decoded = percent_decode_str(encoded).decode_utf8().expect("UTF-8");
        assert!(decoded == read(file), "{file} has changed: run docs/pictures");
    }
}

#[test]
fn every_reference_of_the_readme_leads_to_a_file_and_in_the_documentation_to_a_guide_or_picture() {
    let (readme, front_door, pictures) = (read("README.md"), read("src/lib.rs"), read("src/docs/pictures.md"));
    let (guides, pictures) = (references(&front_door, "//! "), references(&pictures, ""));
    let references = references(&readme, "");
    assert_eq!(references.len(), guides.len() + pictures.len());
    for (label, file) in references {
        assert!(Path::new(file).is_file(), "[{label}] leads to {file}");
        assert!(guides.iter().chain(&pictures).any(|(other, _)| *other == label), "[{label}] is not in src/lib.rs");
    }
}

fn files(folder: &str, endings: &[&str]) -> Vec<PathBuf> {
    let mut folders = vec![PathBuf::from(folder)];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.extension() {
                _ if path.is_dir() => folders.push(path),
                Some(ending) if endings.iter().any(|other| *other == ending) => files.push(path),
                _ => {}
            }
        }
    }
    files
}

/// Names of tests are sentences: whatever has six words or more, and is no variable of the server.
fn names_of_tests(text: &str) -> impl Iterator<Item = &str> {
    let is_name = |word: &&str| word.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '_'));
    let names = text.split('`').filter(is_name).filter(|word| word.split('_').count() >= 6);
    names.filter(|word| !word.starts_with("innodb_"))
}

#[test]
fn every_test_that_the_documentation_names_exists() {
    let tests: String = ["src", "tests"].iter().flat_map(|folder| files(folder, &["rs"])).map(read).collect();
    let mut documents = files("src", &["rs", "md"]);
    documents.extend(files("docs", &["md"]));
    documents.extend(["README.md", "CHANGELOG.md", "examples/README.md"].map(PathBuf::from));
    let mut named = 0;
    for document in documents {
        for name in names_of_tests(&read(&document)) {
            named += 1;
            // As a function, or as a scenario's name.
            let exists = tests.contains(&format!("fn {name}(")) || tests.contains(&format!("\"{name}\""));
            assert!(exists, "{} names {name}, and there is no such test", document.display());
        }
    }
    assert!(named > 30, "only {named} found");
}

#[test]
fn every_example_is_listed_with_its_output_and_no_file_of_it_is_long() {
    let list = read("examples/README.md");
    for entry in fs::read_dir("examples").expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() || path.extension().is_some_and(|ending| ending == "rs") {
            let name = path.file_stem().and_then(|name| name.to_str()).expect("a name");
            assert!(list.contains(&format!("\n## `{name}`\n")), "{name} is not in examples/README.md");
        }
    }
    for file in files("examples", &["rs"]) {
        let lines = read(&file).lines().count();
        assert!(lines < 100, "{} has {lines} lines", file.display());
    }
}
