//! Private servers: one that is never hurt, and others that are.

use std::sync::{Arc, Mutex, OnceLock};

use test_server::{Product, Server};

use crate::scenario::Fate;

/// Servers that have been through a scenario, or were started for one, and live.
static SPARE: Mutex<Vec<Arc<Server>>> = Mutex::new(Vec::new());

/// A server for a scenario that has this in store for it.
pub fn for_fate(fate: Fate) -> Arc<Server> {
    static UNHARMED: OnceLock<Arc<Server>> = OnceLock::new();
    match fate {
        Fate::Unharmed => Arc::clone(UNHARMED.get_or_init(start)),
        Fate::Stopped | Fate::Killed => spare(),
    }
}

/// A server that serves nobody else.
pub fn spare() -> Arc<Server> {
    let spare = SPARE.lock().unwrap().pop();
    spare.unwrap_or_else(start)
}

/// For the next scenario that needs one.
pub fn give_back(server: Arc<Server>) {
    SPARE.lock().unwrap().push(server);
}

fn start() -> Arc<Server> {
    Arc::new(Server::start(Product::wanted()).unwrap_or_else(|error| panic!("{error}")))
}
