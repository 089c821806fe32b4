//! The links of one attempt, and the answers that are awaited from them.

use std::{sync::Arc, thread, time::Instant};

use diesel::r2d2::{ManageConnection, PooledConnection};

use super::{
    answers::Late,
    error::NodeState,
    link::{Common, Guard, Link, Said, Task},
    node::Node,
    node_set::NodeSet,
};
use crate::driver::status::{self, NamedLockConnection};

/// One link to each node, at most.
pub(super) struct Links<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection,
{
    common: Arc<Common<M>>,
    nodes: Vec<Linked<M>>,
    awaited: NodeSet,
}

struct Linked<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection,
{
    node: Arc<Node<M>>,
    link: Option<Link<M>>,
    /// When the answer that is awaited must be there.
    due: Option<Instant>,
}

impl<M> Links<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection + Send + 'static,
{
    pub(super) fn new(nodes: &[Arc<Node<M>>], common: Arc<Common<M>>) -> Self {
        let unlinked = |node: &Arc<Node<M>>| Linked { node: node.clone(), link: None, due: None };
        Self { common, nodes: nodes.iter().map(unlinked).collect(), awaited: NodeSet::default() }
    }

    /// Makes a link to the node, unless the node is known to be down.
    pub(super) fn connect(&mut self, node: usize) -> Result<(), NodeState> {
        self.nodes[node].node.check_up()?;
        self.link(node)
    }

    /// Makes a link that looks now and then whether the node is there, unless there is a link.
    pub(super) fn look_out(&mut self, node: usize) {
        if self.nodes[node].link.is_none() {
            let _ = self.link(node);
        }
    }

    fn link(&mut self, index: usize) -> Result<(), NodeState> {
        let linked = &mut self.nodes[index];
        let link = Link::to(linked.node.clone(), index, self.common.clone());
        let link = link.map_err(|error| NodeState::Failed(format!("no thread for it: {error}")))?;
        self.common.members.listen_to(index, Some(link.slot()));
        linked.link = Some(link);
        Ok(())
    }

    pub(super) fn is_linked(&self, node: usize) -> bool {
        self.nodes[node].link.is_some()
    }

    /// The thread releases what it holds.
    pub(super) fn cut(&mut self, node: usize) {
        self.common.members.listen_to(node, None);
        self.nodes[node].link = None;
    }

    /// The same, for a thread that may be waiting for a silent server.
    pub(super) fn dismiss(&mut self, node: usize) {
        if let Some(link) = &self.nodes[node].link {
            self.common.answers.expect(link.slot());
            drop(self.abandon(node));
        }
    }

    /// Sends a task whose answer is awaited until `due`.
    pub(super) fn ask(&mut self, node: usize, task: Task<M>, due: Option<Instant>) {
        self.nodes[node].due = due;
        self.awaited.insert(node);
        match &self.nodes[node].link {
            Some(link) if self.common.answers.expect(link.slot()) => drop(link.send(task)),
            // Nobody answers.
            _ => self.nodes[node].due = Some(Instant::now()),
        }
    }

    /// Gives a connection that was lent back to its thread. If that has ended, the connection is closed: by another thread, since that may
    /// take long.
    pub(super) fn give_back(&self, node: usize, guard: Box<Guard<M>>) {
        let task = Task::TakeBack(guard);
        let unsent = match &self.nodes[node].link {
            Some(link) => link.send(task).err().map(|unsent| unsent.0),
            None => Some(task),
        };
        if let Some(Task::TakeBack(mut guard)) = unsent {
            status::mark_broken(&mut **guard);
            let _ = thread::Builder::new().name("named-lock-link".into()).spawn(move || drop(guard));
        }
    }

    /// When the first of the awaited answers must be there.
    pub(super) fn due(&self) -> Option<Instant> {
        self.awaited.iter().filter_map(|node| self.nodes[node].due).min()
    }

    /// The nodes whose answers are late.
    pub(super) fn late(&self) -> NodeSet {
        let now = Instant::now();
        self.awaited.iter().filter(|node| self.nodes[*node].due.is_some_and(|due| due <= now)).collect()
    }

    /// Waits for the next answer. `None`: none is awaited, or one is late.
    pub(super) fn next_due(&mut self) -> Option<(usize, Said<M>)> {
        let due = self.due()?;
        self.next(Some(due))
    }

    /// Waits for the next answer. `None`: there is none until then.
    pub(super) fn next(&mut self, until: Option<Instant>) -> Option<(usize, Said<M>)> {
        let (slot, said) = self.common.answers.next(until)?;
        let is_its = |linked: &Linked<M>| linked.link.as_ref().is_some_and(|link| link.slot() == slot);
        let node = self.nodes.iter().position(is_its).expect("a link whose answer is awaited stays");
        self.awaited.remove(node);
        Some((node, said))
    }
}

impl<M> Links<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection,
{
    /// Nobody awaits the node's answer any more. Returns it if it has come at the last moment. Otherwise, the link is cut.
    pub(super) fn abandon(&mut self, node: usize) -> Option<Said<M>> {
        self.awaited.remove(node);
        let linked = &mut self.nodes[node];
        let slot = linked.link.as_ref()?.slot();
        // Counted before it is one, because its thread may end at once.
        linked.node.add_stray();
        let late = self.common.answers.abandon(slot);
        if !matches!(late, Late::Stray) {
            linked.node.end_stray();
        }
        match late {
            Late::Answer(said) => Some(said),
            Late::Stray | Late::Gone => {
                self.common.members.listen_to(node, None);
                linked.link = None;
                None
            }
        }
    }
}

impl<M> Drop for Links<M>
where
    M: ManageConnection,
    PooledConnection<M>: NamedLockConnection,
{
    fn drop(&mut self) {
        for node in self.awaited.iter() {
            self.abandon(node);
        }
    }
}
