//! What each fault changes, and what a session leaves behind.

use crate::{
    client::{End, Pending, Session, Stage},
    quorum::protocol::Order,
    scenario::{Client, Flaw, Scenario, Server},
    server::{Host, Owner},
    state::State,
};

impl State {
    pub fn kill(&mut self, client: Client, node: usize) {
        let link = &mut self.clients[client].links[node];
        if let Session::Alive(server) = link.session {
            self.hosts[server].release(client);
        }
        link.session = Session::Dead;
    }

    pub fn crash(&mut self, server: Server) {
        let host = &mut self.hosts[server];
        *host = Host { is_down: true, ..Host::default() };
        for link in self.clients.iter_mut().flat_map(|client| &mut client.links) {
            if link.session == Session::Alive(server) {
                link.session = Session::Dead;
            }
        }
    }

    pub fn die(&mut self, scenario: &Scenario, client: Client) {
        for node in self.clients[client].nodes() {
            self.give_up(client, node);
        }
        self.end(scenario, client, Stage::Ended(End::Died));
    }

    /// The client doesn't know what becomes of the session, of its lock, or of the order that was on its way.
    pub fn give_up(&mut self, client: Client, node: usize) {
        let link = &mut self.clients[client].links[node];
        let may_still_acquire = matches!(link.order, Pending::Order(Order::Acquire | Order::Wait));
        if let Session::Alive(server) = link.session {
            self.hosts[server].give_up(client, may_still_acquire);
        }
        (link.session, link.order) = (Session::None, Pending::Nothing);
    }

    /// An order of a session that was given up is executed after all.
    pub fn execute_stray(&mut self, scenario: &Scenario, server: Server, client: Client) {
        let host = &mut self.hosts[server];
        host.strays[client] -= 1;
        host.owner = Some(Owner::Ghost);
        if scenario.has(Flaw::GrantIsAnAnswer) {
            let of_server = |node: &usize| self.clients[client].links[*node].name == server;
            self.clients[client]
                .nodes()
                .find(of_server)
                .into_iter()
                .for_each(|node| self.hear_answer(client, node, None));
        }
    }
}
