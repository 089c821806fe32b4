//! Several servers that are one to their users, but not to a named lock.

pub mod galera;
pub mod group;
pub mod replicas;

use std::{fs, io, net::TcpListener, sync::Mutex, thread};

use diesel::{MysqlConnection, connection::SimpleConnection, prelude::*};
use rustix::process::{Pid, Signal, kill_process};
use test_server::{Product, Server};

use crate::world::{SOON, fresh, get_lock, number, wait_until};

/// A private server.
pub fn start(options: &[&str]) -> Server {
    let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
    Server::start_with(Product::wanted(), &options).unwrap_or_else(|error| panic!("{error}"))
}

/// Starts what these numbers stand for, all at once.
pub fn side_by_side<const N: usize, T: Send>(start: impl Fn(usize) -> T + Sync) -> [T; N] {
    thread::scope(|scope| {
        let start = &start;
        let starting: [_; N] = std::array::from_fn(|number| scope.spawn(move || start(number)));
        starting.map(|started| started.join().unwrap())
    })
}

pub fn connect_to(server: &Server) -> MysqlConnection {
    MysqlConnection::establish(server.url()).expect("a connection")
}

/// To the server's process.
pub fn signal(server: &Server, signal: Signal) {
    let pid = server.pid().and_then(|pid| Pid::from_raw(pid as i32)).expect("a private server");
    kill_process(pid, signal).expect("a process");
}

/// Stops the server's process: it answers no client, and its connections stay open.
pub fn stop(server: &Server) {
    signal(server, Signal::STOP);
    // Until one of its threads sees the signal, the others run on.
    wait_until("all threads to stop", || has_stopped(server).unwrap_or(false));
}

fn has_stopped(server: &Server) -> io::Result<bool> {
    for task in fs::read_dir(format!("/proc/{}/task", server.pid().expect("a private server")))? {
        let stat = fs::read_to_string(task?.path().join("stat"))?;
        // "1234 (its name) T …"
        if !stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T')) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A server that was stopped runs on.
pub fn resume(server: &Server) {
    signal(server, Signal::CONT);
}

pub fn kill_9(server: &Server) {
    signal(server, Signal::KILL);
    assert!(server.ends_within(SOON));
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

/// What is written on the one server arrives at the other.
#[track_caller]
pub fn assert_follows(one: &mut MysqlConnection, other: &mut MysqlConnection) {
    let table = fresh("arrives");
    one.batch_execute(&format!("CREATE TABLE test.{table} (n INT PRIMARY KEY)")).unwrap();
    let count = format!("SELECT COUNT(*) AS number FROM information_schema.TABLES WHERE TABLE_NAME = '{table}'");
    wait_until("the second server to follow the first", || number(other, &count) == Some(1));
}

#[track_caller]
pub fn assert_both_grant(one: &mut MysqlConnection, other: &mut MysqlConnection) {
    let name = fresh("both");
    assert_eq!([get_lock(one, &name, 0), get_lock(other, &name, 0)], [Some(1), Some(1)]);
}
