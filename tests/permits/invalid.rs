//! Permits that can't exist are refused without a server.

use diesel_named_lock::{
    LockName, NamedLockError,
    permits::{InvalidPermits, Permits, SharedLock},
};

fn refused(name: &str, count: u32) -> InvalidPermits {
    match Permits::new(name, count) {
        Err(NamedLockError::InvalidPermits(invalid)) => invalid,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_number_is_from_1_to_64() {
    for count in [0, 65, u32::MAX] {
        assert_eq!(refused("mail", count), InvalidPermits::Count(count));
    }
    for count in [1, 64] {
        assert_eq!(Permits::new("mail", count).unwrap().count(), count);
    }
}

#[test]
fn as_many_may_be_acquired_at_once_as_there_are() {
    let permits = Permits::new("mail", 3).unwrap();
    for wanted in [0, 4, u32::MAX] {
        match permits.permits(wanted) {
            Err(NamedLockError::InvalidPermits(InvalidPermits::Wanted { wanted: given, count: 3, .. })) => {
                assert_eq!(given, wanted);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(permits.permits(1).unwrap(), permits.permit());
    assert_ne!(permits.permits(3).unwrap(), permits.permit());
}

#[test]
fn a_name_leaves_room_for_what_is_added_to_it() {
    for letter in ["a", "é", "字"] {
        let (long, too_long) = (letter.repeat(52), letter.repeat(53));
        assert_eq!(Permits::MAX_NAME_CHARS, 52);
        let permit = Permits::new(&*long, 64).unwrap().permit();
        assert_eq!(permit.names()[0].as_str(), format!("{long}:permit"));
        let exclusive = SharedLock::new(&*long).unwrap().exclusive();
        assert_eq!(exclusive.names()[0].as_str(), format!("{long}:shared"));
        match refused(&too_long, 3) {
            InvalidPermits::NameTooLong { name, chars: 53, .. } => assert_eq!(name.as_str(), too_long),
            other => panic!("{other:?}"),
        }
        assert!(matches!(SharedLock::new(&*too_long), Err(NamedLockError::InvalidPermits(_))));
    }
}

#[test]
fn a_name_that_no_lock_may_have_no_permits_may_have() {
    for name in ["", "a\0", "🔒"] {
        assert_eq!(Permits::new(name, 3).unwrap_err().to_string(), LockName::new(name).unwrap_err().to_string(),);
    }
}

#[test]
fn a_static_is_refused_exactly_if_a_value_is() {
    let cases = [("mail", 0), ("mail", 1), ("mail", 64), ("mail", 65), ("", 1)];
    for (name, count) in cases {
        let of_static = std::panic::catch_unwind(|| Permits::from_static(name, count));
        assert_eq!(of_static.ok(), Permits::new(name, count).ok(), "{name:?}, {count}");
    }
    let long: &'static str = "é".repeat(53).leak();
    assert!(std::panic::catch_unwind(|| SharedLock::from_static(long)).is_err());
    assert_eq!(SharedLock::from_static(&long[2..]), SharedLock::new(&long[2..]).unwrap());
}
