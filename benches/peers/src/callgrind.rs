//! The instructions that a program executes, by where they come from.

use std::{collections::BTreeMap, env, fs, path::Path, process::Command};

/// Where instructions come from, as far as a name tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    Ours,
    Diesel,
    ClientLibrary,
    Allocator,
    /// Copying, comparing, system calls.
    CLibrary,
    /// Rust's library, if it is not inlined into the above; and the benchmark itself.
    RustLibrary,
}

/// So many instructions are from there.
pub type Instructions = BTreeMap<Origin, f64>;

/// Runs this very program under valgrind, and counts.
pub fn count(arguments: &[&str], database_url: &str) -> Instructions {
    let profile = env::temp_dir().join(format!("callgrind.{}", std::process::id()));
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet", "--compress-strings=no", "--compress-pos=no"])
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(env::current_exe().expect("this program"))
        .args(arguments)
        .env("DATABASE_URL", database_url)
        .status()
        .expect("valgrind");
    assert!(status.success(), "{arguments:?} under valgrind: {status}");
    let instructions = sum(&fs::read_to_string(&profile).expect("what valgrind found"));
    fs::remove_file(profile).expect("to remove it");
    instructions
}

/// Adds up a profile, whose format stands in valgrind's manual, "Callgrind Format Specification".
fn sum(profile: &str) -> Instructions {
    let (mut object, mut file, mut function, mut callee) = ("", "", "", "");
    let mut after_call = false;
    let mut instructions = Instructions::new();
    for line in profile.lines() {
        match line.split_once('=') {
            Some(("ob", name)) => object = name,
            Some(("fl" | "fi" | "fe", name)) => file = name,
            Some(("fn", name)) => function = name,
            Some(("cfn", name)) => callee = name,
            Some(("calls", _)) => after_call = true,
            _ if line.starts_with(|first: char| first.is_ascii_digit()) => {
                let cost: f64 = line.split(' ').nth(1).and_then(|cost| cost.parse().ok()).expect("a cost");
                let caller = origin(object, file, function);
                if !after_call {
                    *instructions.entry(caller).or_default() += cost;
                } else if is_allocator(callee) && !is_c_library(object) {
                    // What the allocator calls in turn has names of its own, or none: so all of the call is taken, and
                    // taken away from where it would be counted otherwise.
                    *instructions.entry(Origin::Allocator).or_default() += cost;
                    *instructions.entry(Origin::CLibrary).or_default() -= cost;
                }
                after_call = false;
            }
            _ => {}
        }
    }
    instructions
}

fn origin(object: &str, file: &str, function: &str) -> Origin {
    if object.contains("libmariadb") || object.contains("libmysqlclient") {
        return Origin::ClientLibrary;
    }
    if Path::new(object) != env::current_exe().expect("this program") {
        return Origin::CLibrary;
    }
    // By file, since a function has others inlined; code of Rust's own library belongs to the function that it is in,
    // named first in `<ours as Diesel's>::function`, and last in nothing.
    let function = function.trim_start_matches(['<', '&']);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the crate's folder");
    if Path::new(file).starts_with(root.join("src")) || file.starts_with("src/") {
        Origin::Ours
    } else if ["diesel-2", "diesel-async-"]
        .iter()
        .any(|name| file.contains(&format!("/{name}")) || file.starts_with(name))
    {
        Origin::Diesel
    } else if ["/mysql_async-", "/mysql_common-"].iter().any(|folder| file.contains(folder)) {
        Origin::ClientLibrary
    } else if function.starts_with("diesel_named_lock::") {
        Origin::Ours
    } else if function.starts_with("diesel::") {
        Origin::Diesel
    } else {
        Origin::RustLibrary
    }
}

fn is_c_library(object: &str) -> bool {
    object.contains("/libc.so") || object.contains("/ld-linux")
}

fn is_allocator(function: &str) -> bool {
    matches!(function.split(['@', '\'']).next(), Some("malloc" | "calloc" | "realloc" | "free" | "posix_memalign"))
}
