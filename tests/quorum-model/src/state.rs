//! A moment of a run: the servers, the clients, and what the claims need to remember.

use crate::{
    client::{Link, Pending, Process, Session, Stage},
    scenario::{Client, Fault, Flaw, Scenario, Server},
    server::{Host, Owner},
};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The servers that the names of the nodes have led to from the beginning, and one for the name that is swapped.
    pub hosts: Vec<Host>,
    pub clients: Vec<Process>,
    pub faults_left: u8,
    pub joins_left: u8,
    pub swapped: Option<Server>,
}

impl State {
    pub fn new(scenario: &Scenario) -> Self {
        let spare = usize::from(scenario.kinds.contains(&Fault::Swap));
        Self {
            hosts: vec![Host::default(); scenario.servers() + spare],
            clients: (0..scenario.clients.len()).map(|client| Process::new(scenario, client)).collect(),
            faults_left: scenario.faults,
            joins_left: scenario.joins,
            swapped: None,
        }
    }

    /// Returns the server that a node's name leads to.
    pub fn server_of(&self, name: Server) -> Server {
        if self.swapped == Some(name) { self.hosts.len() - 1 } else { name }
    }

    /// Returns whether the client's live session with the node owns the lock.
    pub fn owns(&self, client: Client, node: usize) -> bool {
        match self.clients[client].links[node].session {
            Session::Alive(server) => self.hosts[server].is_owned_by(client),
            Session::None | Session::Dead => false,
        }
    }

    pub fn is_over(&self) -> bool {
        self.clients.iter().all(Process::is_settled)
    }

    /// Makes states equal whose difference doesn't matter.
    pub fn normalise(&mut self, scenario: &Scenario) {
        let may_join = |client: &Process| self.joins_left > 0 && client.stage != Stage::Releasing;
        if !self.clients.iter().any(|client| !client.is_settled() && (client.may_connect() || may_join(client))) {
            self.hosts.iter_mut().for_each(|host| host.is_down = false);
        }
        for client in &mut self.clients {
            let is_asked = client.links.iter().any(|link| matches!(link.order, Pending::Holds(_)));
            if !is_asked && !client.has_newcomer() {
                client.clock = 0;
            }
        }
        if !scenario.has(Flaw::GrantIsAnAnswer) {
            for host in &mut self.hosts {
                host.strays = [host.strays.iter().sum(), 0, 0];
            }
        }
        if scenario.clients_are_alike() && !scenario.keeps_numbers {
            self.sort_clients();
        }
    }

    /// Clients that are alike are in an order that depends on what they do.
    fn sort_clients(&mut self) {
        if (1..self.clients.len()).all(|client| self.key(client - 1) <= self.key(client)) {
            return;
        }
        let mut order: Vec<Client> = (0..self.clients.len()).collect();
        order.sort_by_key(|client| self.key(*client));
        let new = |client: Client| order.iter().position(|old| *old == client).unwrap();
        for host in &mut self.hosts {
            if let Some(Owner::Session(client)) = &mut host.owner {
                *client = new(*client);
            }
        }
        let old = std::mem::take(&mut self.clients);
        for client in &order {
            let mut process = old[*client].clone();
            let overlapped = (0..old.len()).filter(|other| process.overlapped & 1 << other != 0);
            process.overlapped = overlapped.map(|other| 1 << new(other)).sum();
            self.clients.push(process);
        }
    }

    /// Clients that differ have different keys, nearly always. If not, they stay as they are.
    fn key(&self, client: Client) -> (Stage, u8, u64) {
        let process = &self.clients[client];
        let held = process.held();
        let add = |code, (node, link): (usize, &Link)| code << 9 | link.code() << 1 | u64::from(held.contains(node));
        (process.stage, process.attempts_left, process.links.iter().enumerate().fold(0, add))
    }
}
