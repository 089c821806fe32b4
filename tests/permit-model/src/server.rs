//! A server's locks: exclusive, owned by sessions, handed to their waiters first come, first served.

/// The number of a client, and of its session.
pub type Client = usize;

/// The number of a lock of the family: the turnstile, then the slots from 1.
pub type Lock = usize;

pub const TURNSTILE: Lock = 0;

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Server {
    locks: Vec<Users>,
    killed: Vec<bool>,
}

#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
struct Users {
    owner: Option<Client>,
    waiters: Vec<Client>,
}

impl Server {
    pub fn new(slots: usize, clients: usize) -> Self {
        Self { locks: vec![Users::default(); 1 + slots], killed: vec![false; clients] }
    }

    /// Runs `GET_LOCK(lock, 0)`.
    pub fn try_acquire(&mut self, client: Client, lock: Lock) -> bool {
        let is_free = self.is_free(lock);
        if is_free {
            self.locks[lock].owner = Some(client);
        }
        is_free
    }

    /// Runs `GET_LOCK(lock, …)`: acquires the lock, or joins its waiters.
    pub fn wait(&mut self, client: Client, lock: Lock) {
        if !self.try_acquire(client, lock) {
            self.locks[lock].waiters.push(client);
        }
    }

    /// Leaves the waiters, as by a timeout or `KILL QUERY`.
    pub fn stop_waiting(&mut self, client: Client) {
        for lock in &mut self.locks {
            lock.waiters.retain(|waiter| *waiter != client);
        }
    }

    /// Runs `RELEASE_LOCK(lock)`. The first waiter acquires the lock at once.
    pub fn release(&mut self, client: Client, lock: Lock) {
        assert!(self.holds(client, lock));
        let lock = &mut self.locks[lock];
        lock.owner = (!lock.waiters.is_empty()).then(|| lock.waiters.remove(0));
    }

    /// Runs `KILL`.
    pub fn kill(&mut self, client: Client) {
        self.killed[client] = true;
        self.stop_waiting(client);
        while let Some(lock) = self.last_held(client) {
            self.release(client, lock);
        }
    }

    pub fn is_alive(&self, client: Client) -> bool {
        !self.killed[client]
    }

    pub fn is_free(&self, lock: Lock) -> bool {
        self.locks[lock].owner.is_none()
    }

    pub fn holds(&self, client: Client, lock: Lock) -> bool {
        self.locks[lock].owner == Some(client)
    }

    pub fn owner(&self, lock: Lock) -> Option<Client> {
        self.locks[lock].owner
    }

    pub fn slots(&self) -> impl Iterator<Item = Lock> {
        TURNSTILE + 1..self.locks.len()
    }

    pub fn slots_held(&self, client: Client) -> usize {
        self.slots().filter(|slot| self.holds(client, *slot)).count()
    }

    pub fn waits_for(&self, client: Client) -> Option<Lock> {
        self.locks.iter().position(|lock| lock.waiters.contains(&client))
    }

    /// Returns the lock that is released next: the last slot first, the turnstile last.
    pub fn last_held(&self, client: Client) -> Option<Lock> {
        (TURNSTILE..self.locks.len()).rev().find(|lock| self.holds(client, *lock))
    }
}
