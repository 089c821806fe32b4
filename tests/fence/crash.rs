//! Tokens outlast the server's process.

use diesel::{connection::SimpleConnection, prelude::*};
use diesel_named_lock::{NamedLockError, fence::FenceError};
use rustix::process::{Pid, Signal, kill_process};
use test_server::{Product, Server};

use testkit::world::SOON;

use crate::stage::*;

testkit::trials![tokens_continue_after_a_crash_and_a_restart_of_the_server];

/// A server of its own, for it is hurt.
fn server_with_fences() -> Server {
    let server = Server::start(Product::wanted()).expect("a server");
    connect(&server).batch_execute(UP).expect("the table");
    server
}

fn connect(server: &Server) -> MysqlConnection {
    MysqlConnection::establish(server.url()).expect("a connection")
}

fn kill(server: &Server) {
    let pid = server.pid().and_then(|pid| Pid::from_raw(pid as i32)).expect("a process");
    kill_process(pid, Signal::KILL).expect("SIGKILL");
    assert!(server.ends_within(SOON), "the server outlived SIGKILL");
}

fn tokens_continue_after_a_crash_and_a_restart_of_the_server() {
    let mut server = server_with_fences();
    assert_eq!(tokens(&mut connect(&server), &["stock", "stock"]), [1, 2]);
    // At once after a token was given out, at the beginning of the work.
    let late: Result<(), FenceError> = connect(&server).with_fenced_lock("stock", SOON, |_, token| {
        assert_eq!(token.get(), 3);
        kill(&server);
        Ok(())
    });
    assert!(matches!(late, Err(FenceError::Lock(NamedLockError::Lost { .. }))), "{late:?}");
    server.start_again().expect("the server");
    assert_eq!(token(&mut connect(&server), "stock"), 4);

    // And an orderly end: the server may be gone before it has answered.
    let _ = connect(&server).batch_execute("SHUTDOWN");
    assert!(server.ends_within(SOON), "the server does not end");
    server.start_again().expect("the server");
    assert_eq!(token(&mut connect(&server), "stock"), 5);
}
