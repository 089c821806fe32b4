//! What a section costs, counted by the servers.

use diesel::r2d2::Pool;
use diesel_named_lock::quorum::QuorumError;
use testkit::{
    round_trips::asked,
    world::{Manager, SOON, fresh, wait_until},
};

use crate::stage::*;

/// The check-out's test, where it leads, its limit; the lock; the release; the limit as it was.
const ROUND_TRIPS: i64 = 6;

#[test]
fn a_section_that_need_not_wait_takes_six_round_trips_on_each_node_and_prepares_nothing() {
    let pool = |url| Pool::builder().max_size(1).connection_timeout(SOON).build(Manager::new(url)).unwrap();
    let pools = urls(servers()).map(pool);
    let (quorum, lock) =
        (nodes_of(&pools).answer_within(ANSWER_WITHIN).build().unwrap(), lock(&fresh("counted")).wait_forever());
    let section = || quorum.run(&lock, |_| Ok::<_, QuorumError>(())).expect("a section");
    let counted = || {
        wait_until("the connections to be back", || pools.iter().all(|pool| pool.state().idle_connections == 1));
        pools.each_ref().map(|pool| asked(&mut pool.get().unwrap()))
    };
    section();
    let [first, second] = [counted(), counted()];
    section();
    let third = counted();
    for node in 0..NAMES.len() {
        // What the counting itself adds is the same each time.
        let added = |which: fn(&(i64, i64)) -> i64| {
            let [first, second, third] = [first, second, third].map(|counts| which(&counts[node]));
            third - second - (second - first)
        };
        assert_eq!((added(|counts| counts.0), added(|counts| counts.1)), (ROUND_TRIPS, 0), "on {}", NAMES[node]);
    }
}
