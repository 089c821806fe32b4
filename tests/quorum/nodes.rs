//! Nodes that fail: refusing, silent, killed, restarted, moved, read-only.

use std::{
    thread,
    time::{Duration, Instant},
};

use diesel::{connection::SimpleConnection, r2d2::Pool};
use diesel_named_lock::quorum::{NodeState, QuorumError};
use testkit::{
    clusters::{resume, stop},
    proxy::Proxy,
    world::{Manager, fresh, id, number, wait_until},
};

use crate::stage::*;

type Outcome<T = ()> = Result<T, QuorumError>;

/// Nothing listens there.
const REFUSING: &str = "mysql://root@127.0.0.1:1/test";

#[test]
fn one_node_that_refuses_connections_is_done_without() {
    let [a, b, _] = urls(servers());
    let quorum = nodes([a, b, REFUSING]).answer_within(ANSWER_WITHIN).build().unwrap();
    let name = fresh("refusing");
    let guard = quorum.acquire(&lock(&name)).unwrap();
    assert_eq!(guard.nodes(), ["a", "b"]);
    guard.release().unwrap();
    // Now it is known to be down, and costs nothing.
    let start = Instant::now();
    quorum.run(&lock(&name), |_| Outcome::Ok(())).unwrap();
    assert!(start.elapsed() < ANSWER_WITHIN, "it was asked again");
    assert_free(servers(), &name);
}

#[test]
fn two_nodes_that_refuse_connections_are_no_majority_and_the_third_is_not_asked_for_the_lock() {
    let [a, ..] = urls(servers());
    let quorum = nodes([a, REFUSING, REFUSING]).answer_within(Duration::from_millis(300)).build().unwrap();
    let name = fresh("alone");
    let outcome = quorum.run(&lock(&name).timeout(Duration::from_secs(1)), |_| Outcome::Ok(()));
    let error = outcome.expect_err("no majority");
    assert!(matches!(error, QuorumError::NoMajority { needed: 2, .. }), "{error}");
    assert!(error.is_transient() && !error.work_ran());
    // Also after attempts that did not ask them any more.
    for node in ["b", "c"] {
        assert_failed(&error, node, "127.0.0.1");
    }
    assert_free(servers(), &name);
}

#[test]
fn a_node_that_is_back_is_used_again() {
    let proxy = Proxy::to(&servers()[1]);
    let [a, _, c] = urls(servers());
    let quorum = nodes([a, proxy.url(), c]).answer_within(SHORT).build().unwrap();
    let name = fresh("back");
    proxy.silence();
    quorum.run(&lock(&name), |_| Outcome::Ok(())).unwrap();
    proxy.resume();
    wait_until("all nodes to be used", || {
        let guard = quorum.acquire(&lock(&name)).unwrap();
        let all = guard.nodes() == NAMES;
        guard.release().unwrap();
        all
    });
    assert_free(servers(), &name);
}

/// With a connection to each node that is there, the second through a proxy.
fn with_silent_b(test: impl FnOnce(&TestQuorum, &Proxy, &str)) {
    let proxy = Proxy::to(&servers()[1]);
    let [a, _, c] = urls(servers());
    let pools = [a, proxy.url(), c].map(pool_to);
    let quorum = nodes_of(&pools).answer_within(ANSWER_WITHIN).build().unwrap();
    let name = fresh("silent");
    quorum.run(&lock(&name), |_| Outcome::Ok(())).expect("a section");
    wait_until("an idle connection", || pools.iter().all(|pool| pool.state().idle_connections > 0));
    test(&quorum, &proxy, &name);
    proxy.resume();
    wait_until("the lock to be free everywhere", || holders(servers(), &name) == [None; 3]);
    assert_free(servers(), &name);
}

#[test]
fn a_node_that_is_silent_costs_one_section_its_time_for_an_answer_and_the_next_ones_nothing() {
    with_silent_b(|quorum, proxy, name| {
        proxy.silence();
        let start = Instant::now();
        quorum.run(&lock(name), |_| Outcome::Ok(())).unwrap();
        assert!(start.elapsed() >= ANSWER_WITHIN * 4 / 5, "nobody waited for it");
        let start = Instant::now();
        quorum.run(&lock(name), |_| Outcome::Ok(())).unwrap();
        assert!(start.elapsed() < ANSWER_WITHIN, "it was waited for again");
    });
}

#[test]
fn a_node_that_goes_silent_in_a_section_does_not_hold_up_its_end() {
    with_silent_b(|quorum, proxy, name| {
        let mut ended = Instant::now();
        let section = quorum.run(&lock(name), |_| {
            proxy.silence();
            ended = Instant::now();
            Outcome::Ok(())
        });
        section.expect("two have confirmed");
        assert!(ended.elapsed() < ANSWER_WITHIN, "it was waited for: {:?}", ended.elapsed());
    });
}

#[test]
fn a_first_node_that_goes_silent_while_a_section_waits_there_is_left_out() {
    let proxy = Proxy::to(&servers()[0]);
    let [_, b, c] = urls(servers());
    let waiting = nodes([proxy.url(), b, c]).answer_within(SHORT).build().unwrap();
    let (holding, name) = (quorum(), fresh("silent_first"));
    let held = holding.acquire(&lock(&name)).unwrap();
    thread::scope(|scope| {
        let section = scope.spawn(|| waiting.run(&lock(&name), |conn| Outcome::Ok(id(conn))));
        wait_until_waiting_on(&servers()[0]);
        proxy.silence();
        held.release().unwrap();
        section.join().unwrap().expect("a section on the other two");
    });
    proxy.resume();
    wait_until("the lock to be free everywhere", || holders(servers(), &name) == [None; 3]);
    assert_free(servers(), &name);
}

#[test]
fn two_nodes_that_are_one_server_are_refused_with_their_names() {
    let [a, b, _] = urls(servers());
    let quorum = nodes([a, b, a]).build().unwrap();
    let error = quorum.run(&lock(&fresh("same")), |_| Outcome::Ok(())).expect_err("no quorum");
    let QuorumError::SameServer { first, second, .. } = &error else { panic!("{error}") };
    assert_eq!([first.as_str(), second], ["a", "c"]);
}

#[test]
fn a_pool_that_leads_to_another_server_than_before_is_left_out() {
    let [fourth, ..] = start_three();
    let proxy = Proxy::to(&servers()[1]);
    let [a, _, c] = urls(servers());
    let quorum = nodes([a, proxy.url(), c]).answer_within(ANSWER_WITHIN).build().unwrap();
    let name = fresh("moved");
    quorum.run(&lock(&name), |_| Outcome::Ok(())).unwrap();
    proxy.lead_to(&fourth);
    proxy.close();
    let guard = quorum.acquire(&lock(&name)).unwrap();
    assert_eq!(guard.nodes(), ["a", "c"]);
    guard.release().unwrap();

    let all_moved = nodes([a, proxy.url(), REFUSING]).answer_within(SHORT).build().unwrap();
    let waiting = lock(&name).timeout(Duration::from_secs(1));
    all_moved.run(&waiting, |_| Outcome::Ok(())).expect("for a quorum of its own, it has always been there");
    proxy.lead_to(&servers()[1]);
    proxy.close();
    let error = all_moved.run(&waiting, |_| Outcome::Ok(())).expect_err("one of three");
    assert_failed(&error, "b", "leads to another server than before");
}

#[test]
fn the_home_is_the_first_node_that_can_be_written_to_unless_it_is_chosen() {
    let servers = start_three();
    let name = fresh("home");
    connect_to(&servers[0]).batch_execute("SET GLOBAL read_only = ON").unwrap();
    let port = |conn: &mut _| number(conn, "SELECT @@port AS number");
    let ports = servers.each_ref().map(|server| port(&mut connect_to(server)));
    let home = |quorum: &TestQuorum| {
        let found = quorum.run(&lock(&name).timeout(Duration::from_secs(2)), |conn| Outcome::Ok(port(&mut **conn)))?;
        Outcome::Ok(ports.iter().position(|other| *other == found).unwrap())
    };
    let of = || nodes(urls(&servers)).answer_within(SHORT);
    assert_eq!(home(&of().build().unwrap()).unwrap(), 1, "the first is read-only");
    assert_eq!(home(&of().home("c").build().unwrap()).unwrap(), 2);
    assert_eq!(home(&of().required_home("c").build().unwrap()).unwrap(), 2);
    assert_eq!(home(&of().home("a").build().unwrap()).unwrap(), 0);

    kill_9(&servers[2]);
    assert_eq!(home(&of().home("c").build().unwrap()).unwrap(), 1, "the next best");
    let error = home(&of().required_home("c").build().unwrap()).expect_err("no home");
    assert!(matches!(error, QuorumError::NoMajority { .. }), "{error}");
}

#[test]
fn a_section_survives_the_kill_of_one_node_and_not_of_two() {
    let mut servers = start_three();
    let (quorum, name) = (quorum_of(&servers), fresh("killed"));
    let one = quorum.run(&lock(&name), |_| {
        kill_9(&servers[2]);
        Outcome::Ok(())
    });
    one.expect("two of three");
    let two = quorum.run(&lock(&name), |_| {
        kill_9(&servers[1]);
        Outcome::Ok(())
    });
    let lost = two.expect_err("one of three");
    assert!(matches!(lost, QuorumError::Lost { .. }) && lost.work_ran() && !lost.is_transient(), "{lost}");
    assert_eq!(*state(&lost, "a"), NodeState::Confirmed, "{lost}");
    assert!(matches!(state(&lost, "b"), NodeState::Failed(_)), "{lost}");

    servers[1].start_again().unwrap();
    servers[2].start_again().unwrap();
    quorum.run(&lock(&name), |_| Outcome::Ok(())).expect("they are back");
    assert_free(&servers, &name);
}

#[test]
fn a_node_that_was_restarted_in_a_section_does_not_confirm() {
    let mut servers = start_three();
    let (quorum, name) = (quorum_of(&servers), fresh("restarted"));
    let guard = quorum.acquire(&lock(&name)).unwrap();
    for node in [1, 2] {
        kill_9(&servers[node]);
        servers[node].start_again().unwrap();
    }
    let lost = guard.release().expect_err("both have forgotten the lock");
    assert_eq!(*state(&lost, "a"), NodeState::Confirmed, "{lost}");
    quorum.run(&lock(&name), |_| Outcome::Ok(())).expect("they are the same servers still");
    assert_free(&servers, &name);
}

#[test]
fn a_node_that_is_stopped_in_a_section_and_runs_on_later_keeps_no_lock() {
    let servers = start_three();
    let quorum = nodes(urls(&servers)).answer_within(SHORT).build().unwrap();
    let name = fresh("stopped");
    for node in [2, 0] {
        let section = quorum.run(&lock(&name), |_| {
            stop(&servers[node]);
            Outcome::Ok(())
        });
        section.expect("two of three");
        resume(&servers[node]);
        wait_until("the lock to be free everywhere", || holders(&servers, &name) == [None; 3]);
        wait_until("the node to be used again", || {
            let guard = quorum.acquire(&lock(&name)).unwrap();
            let all = guard.nodes() == NAMES;
            guard.release().unwrap();
            all
        });
    }
    assert_free(&servers, &name);
}

#[test]
fn a_section_that_does_not_wait_runs_although_a_node_goes_silent_and_blames_no_other() {
    with_silent_b(|quorum, proxy, name| {
        proxy.silence();
        let section = quorum.try_run(&lock(name), |_| Outcome::Ok(()));
        assert_eq!(section.expect("two of three"), Some(()));
        let guard = quorum.acquire(&lock(name)).unwrap();
        // The other one may be back: its new connections get through.
        assert!(["a", "c"].iter().all(|node| guard.nodes().contains(node)), "{:?}", guard.nodes());
        guard.release().unwrap();
    });
}

#[test]
fn connections_that_are_silent_for_ever_do_not_keep_out_a_node_that_answers_others() {
    let proxy = Proxy::to(&servers()[1]);
    let [a, _, c] = urls(servers());
    let (pools, name) = ([a, proxy.url(), c].map(pool_to), fresh("for_ever"));
    let pool = &pools[1];
    // Ten times that, until another look follows one that hangs.
    let quorum = nodes_of(&pools).answer_within(Duration::from_millis(800)).build().unwrap();
    let [one, another] = [(), ()].map(|()| pool.get().expect("a connection"));
    drop((one, another));
    proxy.silence();
    // One is for the section, and one for the look whether the node is back.
    quorum.run(&lock(&name), |_| Outcome::Ok(())).unwrap();
    wait_until("the node to be used again", || {
        let guard = quorum.acquire(&lock(&name)).unwrap();
        let all = guard.nodes() == NAMES;
        guard.release().unwrap();
        all
    });
}

/// A firewall that forgets connections lets new ones through: without a bound, each section would leave one more thread behind.
#[test]
fn a_node_for_which_32_threads_wait_is_not_asked_until_they_have_their_answers() {
    let (b, c) = (Proxy::to(&servers()[1]), Proxy::to(&servers()[2]));
    let pool = |url| Pool::builder().max_size(40).min_idle(Some(0)).build_unchecked(Manager::new(url));
    let pools = [servers()[0].url(), b.url(), c.url()].map(pool);
    let quorum = nodes_of(&pools).answer_within(SHORT).build().unwrap();
    let name = fresh("waited_for");
    let guards: Vec<_> = (0..32).map(|each| quorum.acquire(&lock(&format!("{name}_{each}"))).unwrap()).collect();
    b.silence();
    guards.into_iter().for_each(|guard| guard.release().expect("two have confirmed"));
    // So that it needs the node.
    drop(c);
    let run = || quorum.run(&lock(&name).timeout(Duration::from_millis(100)), |_| Outcome::Ok(()));
    wait_until("the node to answer others", || {
        let error = run().expect_err("no thread of that section waits for the node").to_string();
        error.contains("32 threads still wait for it")
    });
    b.resume();
    wait_until("the node to be used again", || run().is_ok());
}
