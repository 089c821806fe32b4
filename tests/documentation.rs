//! What the documentation says of itself is so: where its links lead, the tests that it names, the examples that it lists.

use std::{
    fs,
    path::{Path, PathBuf},
};

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The targets of links and pictures in Markdown: `](target)` and `[label]: target`.
fn targets(text: &str) -> Vec<&str> {
    let inline = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let references = text.lines().filter_map(|line| line.strip_prefix('[')?.split_once("]: "));
    inline.chain(references.map(|(_, target)| target)).collect()
}

#[test]
fn every_link_of_the_readme_leads_to_a_file_or_to_a_guide_on_docs_rs() {
    const GUIDES: &str = "https://docs.rs/diesel-named-lock/latest/diesel_named_lock/docs/";
    let (readme, guides) = (read("README.md"), read("src/docs/mod.rs"));
    let mut checked = 0;
    for target in targets(&readme) {
        if let Some(page) = target.strip_prefix(GUIDES) {
            let guide = page.strip_suffix("index.html").expect("the page of a module").trim_end_matches('/');
            assert!(guide.is_empty() || guides.contains(&format!("pub mod {guide} {{}}")), "there is no guide {guide}");
            checked += 1;
        } else if !target.starts_with("https://") {
            assert!(Path::new(target).is_file(), "there is no {target}");
        }
    }
    assert!(checked > 10, "only {checked} links to guides");
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
