//! Servers that list their locks, accounts with few rights, and sessions that wait.

use std::{
    sync::{Arc, Mutex, OnceLock},
    thread::JoinHandle,
};

use diesel::{MysqlConnection, connection::SimpleConnection, prelude::*};
use diesel_named_lock::{
    LockName, NamedLockError, NamedLockExt,
    operator::{LockState, NamedLocks, named_locks},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use test_server::Server;

use testkit::{clusters::start, world::*};

/// A connection to the shared server, which lists its locks: MariaDB by its plugin.
pub fn operator() -> MysqlConnection {
    static PREPARED: OnceLock<()> = OnceLock::new();
    PREPARED.get_or_init(|| {
        assert!(server().pid().is_some(), "unset DATABASE_URL: these tests make accounts and install a plugin");
        if !is_mysql() {
            let install = "INSTALL PLUGIN IF NOT EXISTS metadata_lock_info SONAME 'metadata_lock_info'";
            connect().batch_execute(install).expect("the plugin that `tests/setup.sh` fetched");
        }
    });
    connect()
}

/// A server whose Performance Schema lists its locks: MySQL's always does.
pub fn with_performance_schema() -> &'static Server {
    static PRIVATE: OnceLock<Server> = OnceLock::new();
    match is_mysql() {
        true => server(),
        false => PRIVATE.get_or_init(|| start(&["--performance-schema-instrument=wait/lock/metadata/sql/mdl=ON"])),
    }
}

/// A connection of a new account of the shared server, whose name and rights are these.
pub fn connect_as(account: &str, rights: &[&str]) -> MysqlConnection {
    let quoted = format!("'{}'@'localhost'", account.replace('\'', "''"));
    let mut root = operator();
    root.batch_execute(&format!("CREATE USER {quoted}; GRANT SELECT ON test.* TO {quoted}")).expect("a new account");
    for right in rights {
        root.batch_execute(&format!("GRANT {right} TO {quoted}")).expect("a right");
    }
    reconnect_as(account)
}

pub fn reconnect_as(account: &str) -> MysqlConnection {
    let encoded = utf8_percent_encode(account, NON_ALPHANUMERIC).to_string();
    MysqlConnection::establish(&server().url().replacen("root", &encoded, 1)).expect("a connection of a new account")
}

/// A name in a scope of its own, and the scope.
pub fn scoped(name: &str) -> (LockName, String) {
    let scope = fresh("scope");
    (LockName::scoped(&scope, name).unwrap(), scope)
}

/// What is listed of this lock.
pub fn state(seen: &NamedLocks, name: &LockName) -> Option<LockState> {
    let listed = seen.with_prefix(name.as_str()).find(|lock| lock.name.eq_ignore_ascii_case(name.as_str()));
    listed.cloned()
}

/// Awaits that the list shows this of the lock.
#[track_caller]
pub fn wait_for_state(conn: &mut MysqlConnection, name: &LockName, what: &str, shows: impl Fn(&LockState) -> bool) {
    let mut last = None;
    wait_until(what, || {
        last = state(&named_locks(conn).unwrap(), name);
        last.as_ref().is_some_and(&shows)
    });
}

/// Connection ids in the order in which their sections ran.
pub type Order = Arc<Mutex<Vec<u64>>>;

/// A thread whose section waits for the lock.
pub fn wait_elsewhere(
    mut conn: MysqlConnection,
    name: &LockName,
    ran: &Order,
) -> JoinHandle<Result<(), NamedLockError>> {
    let (name, ran, own) = (name.clone(), Arc::clone(ran), id(&mut conn));
    std::thread::spawn(move || {
        conn.with_named_lock(&name, SOON, |_| {
            ran.lock().unwrap().push(own);
            Ok(())
        })
    })
}
