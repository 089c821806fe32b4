//! Something to see on a server that nobody else uses.

use std::{error::Error, thread, time::Duration};

use diesel::{
    MysqlConnection,
    connection::{Connection, SimpleConnection},
};
use diesel_named_lock::{NamedLock, NamedLockError};
use test_server::Server;

const LOCKS: [&str; 3] = ["shop:invoices", "shop:search-index", "shop:stock"];
const THREADS_EACH: u64 = 3;

/// Starts threads that take turns at a few locks for as long as the process lives.
pub fn start(server: &Server) -> Result<(), Box<dyn Error>> {
    if server.product().is_mariadb() {
        // With it, MariaDB also says who waits for which lock. On MySQL it is on by default.
        MysqlConnection::establish(server.url())?.batch_execute(
            "UPDATE performance_schema.setup_instruments SET ENABLED = 'YES' WHERE NAME = 'wait/lock/metadata/sql/mdl'",
        )?;
    }
    for name in LOCKS {
        for number in 0..THREADS_EACH {
            let mut conn = MysqlConnection::establish(server.url())?;
            let lock = NamedLock::new(name)?.wait_forever();
            thread::spawn(move || {
                loop {
                    let work = |_: &mut MysqlConnection| thread::sleep(Duration::from_millis(1500 + 700 * number));
                    let _: Result<_, NamedLockError> = lock.section(&mut conn, work);
                }
            });
        }
    }
    Ok(())
}
