//! Passwords and encryption.

use std::fs;

use diesel::connection::SimpleConnection;
use testkit::{
    program::Program,
    world::{connect, fresh, is_mysql, server, wait_until},
};

use crate::{stage::*, terminal::Terminal};

/// With characters that mean something in a URL.
const PASSWORD: &str = "p@ss/w:rd#%";
const IN_URL: &str = "p%40ss%2Fw%3Ard%23%25";

/// A new account with that password, and what else it requires.
fn account(requires: &str) -> String {
    let name = fresh("u").replace('_', "");
    let name = &name[name.len() - 12..];
    let create = format!("CREATE USER '{name}'@'%' IDENTIFIED BY '{PASSWORD}' {requires}");
    connect().batch_execute(&format!("{create}; GRANT SELECT ON test.* TO '{name}'@'%'")).expect("a new account");
    name.to_owned()
}

fn url_of(account: &str, server_url: &str) -> String {
    server_url.replacen("root@", &format!("{account}@"), 1)
}

#[test]
fn the_password_comes_from_the_url_or_a_file() {
    let name = account("");
    for server_url in [server().url(), server().tcp_url()] {
        let url = url_of(&name, server_url);
        let refused = finish(tool_at(&url, &["holder", "x"]));
        assert_eq!(refused.status, 69, "{}", refused.stdout);

        let in_url = finish(tool_at(&url_of(&format!("{name}:{IN_URL}"), server_url), &["holder", "x"]));
        assert_eq!(in_url.stdout, "`x` is free\n", "{}", in_url.stderr);

        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("password");
        fs::write(&file, format!("{PASSWORD}\n")).expect("a file");
        let file = file.to_str().expect("a plain path");
        let by_file = finish(tool_at(&url, &["holder", "x", "--password-file", file]));
        assert_eq!(by_file.stdout, "`x` is free\n", "{}", by_file.stderr);
    }
    let refused = finish(tool(&["holder", "x", "--password-file", "/no/such/file"]));
    assert_eq!(refused.status, 64);
    assert_one_sentence(&refused.stderr, "the password file /no/such/file: No such file");
}

#[test]
fn the_password_is_asked_for_on_the_terminal_which_does_not_show_it() {
    let url = url_of(&account(""), server().url());
    let (mut terminal, mut program) = Terminal::start(&tool_at(&url, &["holder", "x", "--ask-password"]));
    program.stdout.wait_for("Password: ");
    wait_until("the terminal to show nothing", || !terminal.echoes());
    terminal.type_in(&format!("{PASSWORD}\n"));
    program.stdout.wait_for("`x` is free");
    assert_eq!(program.status(), 1);
    assert!(!program.stdout.to_string().contains(PASSWORD), "{}", program.stdout);
    assert!(terminal.echoes());
}

#[test]
fn without_a_terminal_nobody_is_asked_for_a_password() {
    let mut in_no_session = std::process::Command::new("setsid");
    in_no_session.args([
        "--wait",
        env!("CARGO_BIN_EXE_named-lock"),
        "holder",
        "x",
        "--ask-password",
        "--url",
        server().url(),
    ]);
    let refused = Program::start(&mut in_no_session).finish();
    assert_eq!(refused.status, 64);
    assert_one_sentence(&refused.stderr, "no terminal to ask for the password");
}

/// MariaDB has certificates of its own from 11.4 on.
fn has_tls() -> bool {
    is_mysql() || !server().version().starts_with("10.")
}

#[test]
fn encryption_is_what_the_url_says_and_never_less() {
    let holder = |account: &str, mode: &str| {
        let url = url_of(&format!("{account}:{IN_URL}"), server().tcp_url());
        finish(tool_at(&format!("{url}?ssl_mode={mode}"), &["holder", "x"]))
    };
    let (any, encrypted) = (account(""), account("REQUIRE SSL"));
    for mode in ["disabled", "preferred"] {
        assert_eq!(holder(&any, mode).status, 1, "{mode}");
    }
    if has_tls() {
        assert_eq!(holder(&encrypted, "disabled").status, 69);
        for mode in ["preferred", "required", "REQUIRED"] {
            assert_eq!(holder(&encrypted, mode).status, 1, "{mode}");
        }
        for mode in ["verify_ca", "verify_identity"] {
            let refused = holder(&any, mode);
            assert_eq!(refused.status, 69, "a certificate that nobody knows: {mode}");
            assert_one_sentence(&refused.stderr, "certificate");
        }
        let refused = holder(&any, "required&ssl_ca=/no/such/file");
        assert_eq!(refused.status, 69, "{}", refused.stdout);
        assert_one_sentence(&refused.stderr, "No such file");
    } else {
        for mode in ["required", "verify_ca", "verify_identity"] {
            let refused = holder(&any, mode);
            assert_eq!(refused.status, 69, "{mode}");
            assert_one_sentence(&refused.stderr, "no connection to the server at 127.0.0.1:");
        }
    }
}

/// MySQL's is for no name. The driver means to let that pass for `verify_ca`, and does not know how newer versions of its TLS say it.
#[test]
fn a_certificate_of_a_known_authority_must_be_for_the_name_too() {
    if !is_mysql() {
        return;
    }
    let (_, socket) = server().url().split_once("unix_socket=").expect("a private server");
    let authority = std::path::Path::new(socket).with_file_name("data").join("ca.pem");
    assert!(authority.exists(), "{}", authority.display());
    for mode in ["ssl_mode=verify_ca&", "ssl_mode=verify_identity&", ""] {
        let url = format!("{}?{mode}ssl_ca={}", server().tcp_url(), authority.display());
        let refused = finish(tool_at(&url, &["holder", "x"]));
        assert_eq!(refused.status, 69, "{mode}");
        assert_one_sentence(&refused.stderr, "not valid for any names");
    }
}
