//! Permits and shared locks in `list`, and for `holder` and `break`.

use diesel::MysqlConnection;
use diesel_named_lock::{
    NamedLock, NamedLockGuard,
    permits::{Permits, SharedLock},
};
use serde_json::Value;
use testkit::world::{assert_free, assert_free_soon, connect, fresh, wait_until};

use crate::stage::*;

fn hold(lock: NamedLock) -> (u64, NamedLockGuard<MysqlConnection>) {
    let guard = lock.acquire(connect()).unwrap_or_else(|failed| panic!("{}", failed.error));
    (guard.connection_id().get(), guard)
}

/// The first four words of each row of this family.
fn rows(name: &str) -> Vec<String> {
    listing_server();
    let list = finish(tool(&["list"]));
    assert_eq!((list.status, &*list.stderr), (0, ""));
    let of_family =
        list.stdout.lines().filter(|row| row.to_lowercase().starts_with(&format!("{name}:").to_lowercase()));
    of_family.map(|row| row.split_whitespace().take(4).collect::<Vec<_>>().join(" ").to_lowercase()).collect()
}

fn in_json(name: &str) -> Value {
    listing_server();
    let list = finish(tool(&["list", "--json"]));
    assert_eq!((list.status, &*list.stderr), (0, ""));
    let list: Value = serde_json::from_str(&list.stdout).expect("JSON");
    let is_wanted = |entry: &&Value| entry["name"].as_str().is_some_and(|it| it.eq_ignore_ascii_case(name));
    let locks = list["locks"].as_array().expect("a list");
    assert!(!locks.iter().any(|lock| lock["name"].as_str().is_some_and(|it| it.starts_with(&format!("{name}:")))));
    let families = list["families"].as_array().expect("a list");
    families.iter().find(is_wanted).cloned().unwrap_or_else(|| panic!("{name}: {list:#}"))
}

#[test]
fn permits_are_listed_together_with_the_first_in_line() {
    let name = fresh("mail");
    let permits = Permits::new(&name, 3).unwrap();
    let ((one, _one), (two, _two)) = (hold(permits.permit()), hold(permits.permits(2).unwrap()));
    let held = [format!("{name}:permit#1 holds {one} root"), format!("{name}:permit#2 +1 holds {two}")];
    assert_eq!(rows(&name), held);

    let mut waits = tool(&["run", "--name", &name, "--permits", "3", "true"]);
    let mut waits = testkit::program::Program::start(&mut waits);
    let mut first = 0;
    wait_until("the first in line to be listed", || {
        let listed = in_json(&name);
        first = listed["first_in_line"]["session"]["connection_id"].as_u64().unwrap_or_default();
        first != 0
    });
    assert_eq!(rows(&name), [&held[..], &[format!("{name}:permit#wait first {first} root")]].concat());

    let family = in_json(&name);
    assert_eq!(family["kind"], "permits");
    assert_eq!(family["holders"].as_array().map(Vec::len), Some(2));
    let holder = &family["holders"][1];
    assert_eq!((&holder["session"]["connection_id"], &holder["session"]["user"]), (&two.into(), &"root".into()));
    assert_eq!((&holder["numbers"], &holder["exclusive"]), (&vec![2, 3].into(), &false.into()));
    assert_eq!(family["first_in_line"]["lock"], format!("{name}:permit#wait"));
    assert!(family["waiters"].is_array());
    drop((_one, _two));
    assert_eq!(waits.status(), 0, "{}", waits.stderr);
}

#[test]
fn those_that_share_a_lock_are_listed_and_one_that_has_it_exclusively_once() {
    let name = fresh("index");
    let lock = SharedLock::new(&name).unwrap();
    let ((one, _one), (two, _two)) = (hold(lock.shared()), hold(lock.shared()));
    let sharing = [format!("{name}:shared#1 shares {one} root"), format!("{name}:shared#2 shares {two} root")];
    assert_eq!(rows(&name), sharing);
    drop((_one, _two));
    let (alone, _alone) = hold(lock.exclusive());
    assert_eq!(rows(&name), [format!("{name}:shared#wait exclusive {alone} root")]);
    let family = in_json(&name);
    assert_eq!((&family["kind"], &family["first_in_line"]), (&"shared".into(), &Value::Null));
    assert_eq!(family["holders"].as_array().map(Vec::len), Some(1));
    assert_eq!(family["holders"][0]["exclusive"], true);
}

/// Also MySQL's list, which has lower case.
#[test]
fn the_name_that_is_listed_is_one_for_holder_and_break() {
    let name = fresh("Broken");
    let permits = Permits::new(&name, 2).unwrap();
    let ((one, kept), (two, broken)) = (hold(permits.permit()), hold(permits.permit()));
    let listed = in_json(&name)["holders"][1]["lock"].as_str().expect("a name").to_owned();
    assert_eq!(listed.to_lowercase(), format!("{name}:permit#2").to_lowercase());
    let told = finish(tool(&["holder", &listed]));
    assert_eq!(told.status, 0);
    assert!(told.stdout.starts_with(&format!("connection {two} (root@")), "{}", told.stdout);
    let killed = finish(tool(&["break", &listed, "--yes"]));
    assert_eq!((killed.status, &*killed.stderr), (0, ""));
    assert!(killed.stdout.starts_with(&format!("killed connection {two} (root@")), "{}", killed.stdout);
    assert_free_soon(&format!("{name}:permit#2"));
    broken.release().map(drop).unwrap_err();
    let told = finish(tool(&["holder", &format!("{name}:permit#1")]));
    assert!(told.stdout.starts_with(&format!("connection {one} (root@")), "{}", told.stdout);
    kept.release().unwrap();
    assert_free(&format!("{name}:permit#1"));
}

#[test]
fn holder_and_break_say_so_if_the_permits_or_the_shared_lock_of_a_free_name_are_held() {
    let name = fresh("several");
    let ((one, _one), (two, _two)) =
        (hold(Permits::new(&name, 2).unwrap().permit()), hold(SharedLock::new(&name).unwrap().shared()));
    for arguments in [&["holder", &name][..], &["holder", &format!("{name}:permit")], &["break", &name, "--yes"]] {
        let told = finish(tool(arguments));
        assert_eq!((told.status, &*told.stderr), (1, ""));
        for (what, session) in
            [(format!("permits of `{name}` are"), one), (format!("the shared lock `{name}` is"), two)]
        {
            let part = format!("; {what} held by connection {session} (");
            assert!(told.stdout.contains(&part), "{}", told.stdout);
        }
    }
}
