//! Whether two nodes are one server.

use std::{
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use diesel::r2d2::{ManageConnection, PooledConnection};

use super::node::Node;
use crate::{
    driver::{
        blocking::{Blocking, ready},
        status::NamedLockConnection,
    },
    lock::NamedLock,
    name::LockName,
    section::ask::who_holds,
    statement::held_on::ServerRun,
};

/// Returns the names of two nodes that are one server. `runs` is what each has said about itself.
pub(super) fn find_same_server<M>(nodes: &[Arc<Node<M>>], runs: &[Option<&ServerRun>]) -> Option<[String; 2]>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection + Send + 'static,
{
    let pairs = (0..nodes.len()).flat_map(|second| (0..second).map(move |first| [first, second]));
    let mut alike = pairs.filter(|[first, second]| runs[*first].is_some() && runs[*first] == runs[*second]);
    let same = alike.find(|[first, second]| is_same_server(&nodes[*first], &nodes[*second]))?;
    Some(same.map(|node| nodes[node].name.clone()))
}

/// Returns whether a lock that is acquired by one of them is seen to be held by the other one. What servers say about themselves may be the
/// same for two of them.
fn is_same_server<M>(one: &Arc<Node<M>>, other: &Arc<Node<M>>) -> bool
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection + Send + 'static,
{
    let (answers, answered) = mpsc::channel();
    let nodes = [one.clone(), other.clone()];
    let asking = thread::Builder::new().name("named-lock-link".into()).spawn(move || {
        let _ = answers.send(is_seen(&nodes));
    });
    asking.is_ok() && answered.recv_timeout(one.answer_within).unwrap_or_default()
}

fn is_seen<M>([one, other]: &[Arc<Node<M>>; 2]) -> bool
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection,
{
    let conns = [one, other].map(|node| node.pool.get_timeout(node.answer_within).ok());
    let [Some(mut conn), Some(mut looking)] = conns else { return false };
    let name = LockName::unused("same server");
    let Ok(lock) = NamedLock::new(&name) else { return false };
    let seen = lock.timeout(Duration::ZERO).section(&mut conn, |_| {
        ready(who_holds::<Blocking, _>(&mut looking, &name)).is_ok_and(|found| !found.is_free())
    });
    seen.is_ok_and(|section| section.value)
}
