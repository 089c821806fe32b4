//! Comments and documents are spelled right. Those outside of the tests have none of the turns that make a sentence hard to read.

use std::{
    fs,
    path::{Path, PathBuf},
};

use unicase::UniCase;

/// A turn, and what to write.
const TURNS: [(&str, &str); 30] = [
    ("how manieth", "the number of"),
    ("meanwhile", "the condition, such as \"while it waits\""),
    ("all the same", "\"nevertheless\", or the condition"),
    ("beforehand", "\"before\", or the condition"),
    ("whatever way", "however"),
    ("whoever", "the session, thread or program that"),
    ("let go of", "release"),
    ("lets go of", "releases"),
    ("letting go of", "releasing"),
    ("give back", "release, return"),
    ("gives back", "releases, returns"),
    ("given back", "released, returned"),
    ("take the lock", "acquire the lock"),
    ("takes the lock", "acquires the lock"),
    ("took the lock", "acquired the lock"),
    ("goes on", "continues, or is resumed"),
    ("go on", "continue"),
    ("the work's", "the closure's"),
    ("the work has", "the closure has"),
    ("of ours", "of this crate"),
    ("only where", "only if"),
    ("except where", "unless"),
    ("or where", "or if"),
    ("zero where", "zero if"),
    ("none where", "none if"),
    ("where it is", "if it is"),
    ("where there is", "if there is"),
    ("where the server", "if the server"),
    ("where another", "if another"),
    ("where no", "if no"),
];

const DOCUMENTS: [&str; 4] = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "examples/README.md"];

#[test]
fn nothing_is_misspelled() {
    let mut wrong = Vec::new();
    for (file, text) in prose(&["src", "docs", "examples", "tests", "benches"]) {
        // A word with a digit is a name.
        for word in
            text.split(|c: char| !c.is_alphanumeric()).filter(|word| word.chars().all(|c| c.is_ascii_alphabetic()))
        {
            if let Some(right) = typos_dict::WORD.find(&UniCase::new(word)) {
                wrong.push(format!("{}: {word}, which may be {}", file.display(), right.join(" or ")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_turn_has_to_be_read_twice() {
    let mut found = Vec::new();
    for (file, text) in prose(&["src", "docs", "examples"]) {
        let text = format!(" {} ", text.to_lowercase().replace(|c: char| !c.is_alphanumeric() && c != '\'', " "));
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for (turn, instead) in TURNS {
            for (at, _) in text.match_indices(turn) {
                let is_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
                if !is_word(text[..at].chars().next_back()) && !is_word(text[at + turn.len()..].chars().next()) {
                    let around: String = text[at..].chars().take(60).collect();
                    found.push(format!("{}: \"{around}…\": write {instead}", file.display()));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The documents of the folders, and the comments of their files of Rust, without code.
fn prose(folders: &[&str]) -> Vec<(PathBuf, String)> {
    let root = fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).unwrap();
    let mut files: Vec<PathBuf> = DOCUMENTS.iter().map(|file| root.join(file)).collect();
    for folder in folders {
        collect(&root.join(folder), &mut files);
    }
    let without_code = |file: PathBuf| {
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let text = if file.extension().is_some_and(|end| end == "rs") { comments(&text) } else { text };
        let text = outside_of_code(&text);
        (file, text)
    };
    files.into_iter().map(without_code).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target" && name != "prose") {
            collect(&path, files);
        } else if path.extension().is_some_and(|end| end == "rs" || end == "md") {
            files.push(path);
        }
    }
}

/// With an `x` for each line of code, over which no turn reaches.
fn comments(text: &str) -> String {
    let comment = |line: &str| {
        line.trim_start().strip_prefix("//").map(|text| text.trim_start_matches(['/', '!', ' ']).to_owned())
    };
    text.lines().map(|line| comment(line).unwrap_or_else(|| "x".to_owned())).collect::<Vec<_>>().join("\n")
}

/// Without blocks between fences, spans between backticks, and the targets of links.
fn outside_of_code(text: &str) -> String {
    let mut in_block = false;
    let lines = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        in_block ^= fence;
        !in_block && !fence && !line.starts_with('[')
    });
    let text = lines.collect::<Vec<_>>().join("\n");
    let outside_of_spans: String = text.split('`').step_by(2).collect::<Vec<_>>().join(" x ");
    let link = |part: &str| part.split_once(')').map_or_else(String::new, |(_, rest)| rest.to_owned());
    let mut parts = outside_of_spans.split("](");
    let first = parts.next().unwrap_or_default().to_owned();
    first + &parts.map(link).collect::<String>()
}
