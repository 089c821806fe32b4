//! A server's side of the lock.

use crate::scenario::Client;

pub const MAX_CLIENTS: usize = 3;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Host {
    pub owner: Option<Owner>,
    /// Whether it crashed, and has not restarted.
    pub is_down: bool,
    /// How many orders may still acquire the lock for sessions that their clients have given up, by client.
    pub strays: [u8; MAX_CLIENTS],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// The session of a client.
    Session(Client),
    /// A session that its client has given up. It is gone at any later moment, or never.
    Ghost,
}

impl Host {
    /// Acquires the lock for the client's session if the lock is free.
    pub fn try_acquire(&mut self, client: Client) -> bool {
        let is_free = self.owner.is_none();
        if is_free {
            self.owner = Some(Owner::Session(client));
        }
        is_free
    }

    /// Releases the lock if the client's session owns it.
    pub fn release(&mut self, client: Client) -> bool {
        let is_owner = self.is_owned_by(client);
        if is_owner {
            self.owner = None;
        }
        is_owner
    }

    pub fn is_owned_by(&self, client: Client) -> bool {
        self.owner == Some(Owner::Session(client))
    }

    /// The client gives up its session, which may still have the lock, or still be waiting for it.
    pub fn give_up(&mut self, client: Client, may_still_acquire: bool) {
        if self.is_owned_by(client) {
            self.owner = Some(Owner::Ghost);
        }
        self.strays[client] += u8::from(may_still_acquire);
    }
}
