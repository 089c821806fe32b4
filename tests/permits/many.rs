//! Several permits for one section.

use std::time::Duration;

use diesel_named_lock::NamedLockError;

use testkit::world::*;

use crate::stage::*;

#[test]
fn a_section_holds_several_permits_and_others_the_rest() {
    let name = fresh("several");
    let two = hold(permits(&name, 3).permits(2).unwrap());
    assert_eq!([1, 2].map(|number| holder(&slot(&name, number))), [Some(two.id); 2]);
    assert_eq!(holder(&turnstile(&name)), None);
    let one = hold(permits(&name, 3).permit());
    assert_eq!(permits(&name, 3).permit().try_run(&mut connect(), |_| Outcome::Ok(())).unwrap(), None);
    two.end().unwrap();
    one.end().unwrap();
    assert_all_free(&name, 3);
}

#[test]
fn all_permits_may_be_held_by_one() {
    let name = fresh("all");
    let all = hold(permits(&name, 64).permits(64).unwrap());
    assert_eq!(permits(&name, 64).permit().try_run(&mut connect(), |_| Outcome::Ok(())).unwrap(), None);
    all.end().unwrap();
    assert_all_free(&name, 64);
}

/// While it waits for the second one, nobody else gets the first.
#[test]
fn a_section_that_needs_several_is_not_starved() {
    let name = fresh("not_starved");
    let (one, two) = (hold(permits(&name, 2).permit()), hold(permits(&name, 2).permit()));
    let both = start_as_head(permits(&name, 2).permits(2).unwrap().timeout(LONG), &turnstile(&name));
    one.end().unwrap();
    wait_until("the first one", || holder(&slot(&name, 1)) == Some(both.id));
    assert_eq!(permits(&name, 2).permit().try_run(&mut connect(), |_| Outcome::Ok(())).unwrap(), None);
    two.end().unwrap();
    both.outcome().0.unwrap();
    assert_all_free(&name, 2);
}

#[test]
fn a_section_that_does_not_get_all_of_them_keeps_none() {
    let name = fresh("none");
    let one = hold(permits(&name, 3).permit());
    for millis in [0, 120] {
        let mut conn = connect();
        let all = permits(&name, 3).permits(3).unwrap().timeout(Duration::from_millis(millis));
        match all.run(&mut conn, |_| Outcome::Ok(())) {
            Err(NamedLockError::Timeout { holder, .. }) => {
                assert_eq!(holder.map(|holder| holder.connection_id.get()), Some(one.id));
            }
            other => panic!("{other:?}"),
        }
        [2, 3].into_iter().for_each(|number| assert_free(&slot(&name, number)));
        assert_free(&turnstile(&name));
        permits(&name, 3).permits(2).unwrap().run(&mut conn, |_| Outcome::Ok(())).unwrap();
    }
    one.end().unwrap();
}
