//! `KILL QUERY` at the question with which a lock is handed on.

use diesel::r2d2::Pool;
use diesel_named_lock::pool::NamedLockPool;
use testkit::{striking::Striking, world::*};

use crate::line::*;

#[test]
fn a_lock_is_handed_on_however_often_the_question_is_struck() {
    for times in [1, 2, 4, 5, 9] {
        let (proxy, name) = (Striking::to(server().tcp_url()), lock_name("struck"));
        let pool = Pool::builder().max_size(2).connection_timeout(SOON).build(Manager::new(proxy.url())).unwrap();
        let locks = NamedLockPool::builder(pool).max_hand_offs(1000).max_hand_off_time(SOON * 10).build();
        let first = |conn: &mut Conn| {
            let own = id(conn);
            proxy.strike(times, "");
            own
        };
        let (first, others) = in_line(&locks, &name, 1, first, |conn, _| id(conn));
        let first = first.unwrap_or_else(|error| panic!("struck {times} times: {error}"));
        assert_eq!(others[0].as_ref().ok(), Some(&first), "struck {times} times: {others:?}");
        assert_eq!(proxy.struck(), times);
        assert!(is_alive(first), "struck {times} times");
        assert_free(name.as_str());
    }
}
