//! Servers that list their locks, accounts with few rights, and sessions that wait.

use std::{
    net::TcpListener,
    sync::{Arc, Mutex, OnceLock},
    thread::JoinHandle,
};

use diesel::{MysqlConnection, connection::SimpleConnection, prelude::*};
use diesel_named_lock::{
    LockName, NamedLockError, NamedLockExt,
    operator::{LockState, NamedLocks, named_locks},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rustix::process::{Pid, Signal, kill_process};
use test_server::{Product, Server};

use testkit::world::*;

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

/// A private server.
pub fn start(options: &[&str]) -> Server {
    let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
    Server::start_with(Product::wanted(), &options).unwrap_or_else(|error| panic!("{error}"))
}

pub fn connect_to(server: &Server) -> MysqlConnection {
    MysqlConnection::establish(server.url()).expect("a connection")
}

/// To the server's process.
pub fn signal(server: &Server, signal: Signal) {
    let pid = server.pid().and_then(|pid| Pid::from_raw(pid as i32)).expect("a private server");
    kill_process(pid, signal).expect("a process");
}

/// Stops the server's process where it is: it answers nobody, and its connections stay open.
pub fn stop(server: &Server) {
    signal(server, Signal::STOP);
}

/// A loopback port for what connects rather late: below those that the system gives to connections that leave.
pub fn low_port() -> u16 {
    static TAKEN: Mutex<Vec<u16>> = Mutex::new(Vec::new());
    let mut taken = TAKEN.lock().unwrap();
    let port = std::iter::repeat_with(|| fastrand::u16(20_000..32_000))
        .find(|port| !taken.contains(port) && TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port");
    taken.push(port);
    port
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
