//! Names: what is accepted is one lock on the server, what is not never reaches it.

use std::{borrow::Cow, str::FromStr, time::Duration};

use diesel::connection::SimpleConnection;
use diesel_named_lock::{InvalidName, LockName, NamedLock, NamedLockError, NamedLockExt};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

use testkit::world::*;

/// Runs `test` over values of `strategy`, with connections that are shared by all of them.
fn for_all<S: Strategy>(cases: u32, strategy: S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new(config).run(&strategy, test).unwrap_or_else(|failure| panic!("{failure}"));
}

/// Text from all of Unicode, short and around the limit, with the characters that matter more often than chance has it.
fn text() -> impl Strategy<Value = String> {
    let character = prop_oneof![
        4 => any::<char>(),
        2 => proptest::char::range(' ', '~'),
        2 => proptest::char::range('\u{80}', '\u{FFFF}'),
        1 => prop::sample::select(vec!['\0', '\n', ' ', '\'', '\\', '%', '`', 'ß', 'İ', '\u{FFFF}', '\u{10000}', '🔒']),
    ];
    prop::collection::vec(character, 0..70).prop_map(|characters| characters.into_iter().collect())
}

#[test]
fn every_name_that_is_accepted_is_one_lock_on_the_server() {
    let ours = std::cell::RefCell::new(connect());
    let theirs = std::cell::RefCell::new(connect());
    for_all(400, text().prop_filter("valid", |text| LockName::new(text.as_str()).is_ok()), |text| {
        let (mut ours, mut theirs) = (ours.borrow_mut(), theirs.borrow_mut());
        let outcome: Result<_, NamedLockError> =
            ours.with_named_lock(&text, SOON, |_| Ok((holder(&text), get_lock(&mut *theirs, &text, 0))));
        let (holder_inside, by_hand) = outcome.map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(holder_inside, Some(id(&mut *ours)), "the server does not know it by the name given");
        prop_assert_eq!(by_hand, Some(0), "another program gets the lock of the same name");
        prop_assert_eq!(holder(&text), None);
        Ok(())
    });
}

#[test]
fn a_name_is_accepted_if_and_only_if_it_has_1_to_64_characters_that_the_servers_take() {
    for_all(2000, text(), |text| {
        let chars = text.chars().count();
        let fits = (1..=64).contains(&chars) && text.chars().all(|c| c != '\0' && c <= '\u{FFFF}');
        prop_assert_eq!(LockName::new(text.as_str()).is_ok(), fits);
        prop_assert_eq!(LockName::from_str(&text), LockName::try_from(text.clone()));
        Ok(())
    });
}

/// No statement is sent: the connection has been ended, and nobody notices.
#[test]
fn bad_names_are_refused_before_any_io() {
    let mut conn = connect();
    let own = id(&mut conn);
    kill(own);
    wait_until("the killed session to be gone", || !is_alive(own));
    let too_long = "x".repeat(65);
    for bad in ["", &too_long, "lock🔒", "nul\0"] {
        let outcome: Result<(), NamedLockError> = conn.with_named_lock(bad, SOON, |_| unreachable!("refused"));
        assert!(matches!(outcome, Err(NamedLockError::InvalidName(_))), "{bad:?}: {outcome:?}");
    }
}

#[test]
fn bad_names_leave_the_connection_usable() {
    let (mut conn, name) = (connect(), fresh("usable"));
    let refused: Result<(), NamedLockError> = conn.with_named_lock("", Duration::MAX, |_| unreachable!("refused"));
    assert!(refused.is_err());
    let outcome: Result<_, NamedLockError> = conn.with_named_lock(&name, SOON, |conn| Ok(id(conn)));
    outcome.unwrap();
}

#[test]
fn the_longest_names_are_accepted_by_the_server() {
    let mut conn = connect();
    for longest in ["x".repeat(64), "€".repeat(64), "\u{FFFF}".repeat(64)] {
        let outcome: Result<_, NamedLockError> = conn.with_named_lock(&longest, SOON, |_| Ok(()));
        outcome.unwrap();
    }
}

#[test]
fn an_error_about_a_name_says_which_and_what_to_do() {
    let message = |name: &str| LockName::new(name).unwrap_err().to_string();
    assert_eq!(
        message(&"x".repeat(65)),
        format!(
            "lock name {:?} has 65 characters, more than 64: shorten it, or use `LockName::hashed`",
            "x".repeat(65)
        )
    );
    assert_eq!(
        message("a\0b"),
        "lock name \"a\\0b\" contains '\\0': NUL and characters above U+FFFF can't be in a name; \
         use `LockName::hashed` for arbitrary text"
    );
    assert_eq!(message(""), "lock name is empty: it must have 1 to 64 characters");
}

/// For the same text, the same name for ever: other versions of an application are waiting for it.
#[test]
fn hashed_names_never_change() {
    for (text, name) in [
        ("", "#e3b0c44298fc1c149afbf4c8996fb924"),
        ("abc", "abc#ba7816bf8f01cfea414140de5dae2223"),
        ("Abc", "abc#06d90109c8cce34ec0c776950465421e"),
        ("🔒 NUL\0", "--nul-#ae17651414bb4831de03562250624fe3"),
        (
            "https://example.com/a/very/long/path?with=a&query=string",
            "https://example.com/a/very/long#cca3980ffaee0617f1bfea43e720de6a",
        ),
    ] {
        assert_eq!(LockName::hashed(text).as_str(), name, "{text:?}");
    }
}

#[test]
fn any_text_has_a_hashed_name_that_is_valid() {
    for_all(2000, text(), |text| {
        let name = LockName::hashed(&text);
        prop_assert_eq!(LockName::new(name.as_str()), Ok(name));
        Ok(())
    });
}

#[test]
fn texts_that_differ_never_share_a_lock_once_hashed() {
    // Alike on purpose: the same, but for one edit or for letter case.
    let pair = (text(), text()).prop_flat_map(|(one, other)| {
        let cased = one.to_uppercase();
        let longer = format!("{one} ");
        (Just(one), prop::sample::select(vec![other, cased, longer]))
    });
    let ours = std::cell::RefCell::new(connect());
    let theirs = std::cell::RefCell::new(connect());
    for_all(200, pair, |(one, other)| {
        let (mut ours, mut theirs) = (ours.borrow_mut(), theirs.borrow_mut());
        let (a, b) = (LockName::hashed(&one), LockName::hashed(&other));
        let outcome: Result<_, NamedLockError> =
            ours.with_named_lock(&a, SOON, |_| theirs.try_with_named_lock(&b, |_| Ok::<_, NamedLockError>(())));
        let both_held = outcome.map_err(|error| TestCaseError::fail(error.to_string()))?.is_some();
        prop_assert_eq!(both_held, one != other, "{} and {}", a, b);
        Ok(())
    });
}

#[test]
fn scopes_keep_names_apart() {
    assert_eq!(LockName::scoped("shop", "stock").unwrap().as_str(), "shop:stock");
    assert_eq!(LockName::scoped("shop", "a:b").unwrap().as_str(), "shop:a:b");
    assert!(matches!(LockName::scoped("shop:a", "b"), Err(InvalidName::Scope { .. })), "would be shop:a:b, too");
    assert!(matches!(LockName::scoped("", "stock"), Err(InvalidName::Scope { .. })));
    assert_eq!(LockName::scoped("shop", ""), Err(InvalidName::Empty));
    assert!(matches!(LockName::scoped("shop", &"x".repeat(60)), Err(InvalidName::TooLong { chars: 65, .. })));
}

#[test]
fn names_can_be_given_as_any_kind_of_text() {
    let name = LockName::new("stock").unwrap();
    let text = String::from("stock");
    let all = [
        NamedLock::new("stock"),
        NamedLock::new(&text),
        NamedLock::new(Cow::Borrowed("stock")),
        NamedLock::all_of(&["stock"]),
        NamedLock::all_of(["stock"].iter()),
        NamedLock::all_of(vec![text]),
        NamedLock::all_of([&name, &name]),
    ];
    for lock in all {
        assert_eq!(lock.unwrap().names(), std::slice::from_ref(&name));
    }
    assert_eq!(name, "stock");
    assert_eq!(name, *"stock");
}

#[test]
fn names_are_taken_as_str_string_and_checked_name() {
    let (mut conn, name) = (connect(), fresh("kinds"));
    let checked = LockName::new(name.as_str()).unwrap();
    let outcomes: [Result<Option<u64>, NamedLockError>; 5] = [
        conn.with_named_lock(name.as_str(), SOON, |_| Ok(holder(&name))),
        conn.with_named_lock(name.clone(), SOON, |_| Ok(holder(&name))),
        conn.with_named_lock(&name, SOON, |_| Ok(holder(&name))),
        conn.with_named_lock(&checked, SOON, |_| Ok(holder(&name))),
        conn.with_named_lock(checked.clone(), SOON, |_| Ok(holder(&name))),
    ];
    let own = id(&mut conn);
    for outcome in outcomes {
        assert_eq!(outcome.unwrap(), Some(own));
    }
}

/// Some can't be a client's, and some take bytes of UTF-8 for other letters, or for half of one.
const CHARACTER_SETS: [&str; 8] = [
    "NAMES latin1",
    "NAMES cp1251",
    "NAMES utf8mb3",
    "NAMES binary",
    "NAMES gbk",
    "NAMES sjis",
    "character_set_connection = ucs2",
    "NAMES gbk, character_set_connection = ucs2",
];
const LETTERS: [&str; 3] = ["käse", "ソ能表", "縗\\'"];

/// Alone, and with another one in the same statements.
fn locks_of(name: &str) -> [NamedLock; 2] {
    [NamedLock::new(name), NamedLock::all_of([name, &fresh("with")])].map(|lock| lock.unwrap().timeout(SOON))
}

/// Otherwise it would be released by another name, and go back to the pool held.
#[test]
fn a_name_is_the_same_when_the_work_has_set_another_character_set() {
    for (charset, letters) in CHARACTER_SETS.iter().flat_map(|charset| LETTERS.map(|letters| (charset, letters))) {
        let (pool, name) = (pool_of_one(), fresh(letters));
        for lock in locks_of(&name) {
            let mut conn = pool.get().unwrap();
            conn.batch_execute("SET NAMES utf8mb4").unwrap();
            let outcome: Result<(), NamedLockError> = lock.run(&mut conn, |conn| {
                assert_eq!(holder(&name), Some(id(conn)), "by this name for others, too");
                conn.batch_execute(&format!("SET {charset}"))?;
                assert!(conn.still_holds(&*name)?);
                Ok(())
            });
            assert!(outcome.is_ok(), "{charset}: {outcome:?}");
            drop(conn);
            assert_free(&name);
        }
    }
}

#[test]
fn a_name_is_the_same_for_sessions_of_different_character_sets() {
    for (charset, letters) in CHARACTER_SETS.iter().flat_map(|charset| LETTERS.map(|letters| (charset, letters))) {
        let (mut one, mut other, name) = (connect(), connect(), fresh(letters));
        other.batch_execute(&format!("SET {charset}")).unwrap();
        for lock in locks_of(&name) {
            let inner: Result<_, NamedLockError> = one.with_named_lock(&name, SOON, |_| {
                let inner: Result<(), NamedLockError> = lock.clone().no_wait().run(&mut other, |_| Ok(()));
                Ok(inner)
            });
            let inner = inner.unwrap();
            let is_busy = matches!(&inner, Err(NamedLockError::Timeout { name: busy, .. }) if *busy == *name);
            assert!(is_busy, "{charset}: {inner:?}");
            let own = id(&mut other);
            let seen: Result<_, NamedLockError> = lock.run(&mut other, |_| Ok(holder(&name)));
            assert_eq!(seen.unwrap(), Some(own), "{charset}: the text of a session of UTF-8 names the same lock");
        }
    }
}
