//! Three servers, one of which is killed.

use std::{error::Error, io, thread, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use test_server::{Product, Server};

pub fn start_three() -> io::Result<Vec<Server>> {
    thread::scope(|scope| {
        let starting = [(); 3].map(|()| scope.spawn(|| Server::start(Product::wanted())));
        starting.into_iter().map(|server| server.join().expect("no panic")).collect()
    })
}

/// As a machine that loses its power.
pub fn kill(server: &Server) {
    let killed = || -> Result<(), Box<dyn Error>> {
        let pid = server.pid().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)).ok_or("a server of our own")?;
        Ok(kill_process(pid, Signal::KILL)?)
    };
    killed().expect("a process");
    assert!(server.ends_within(Duration::from_secs(10)), "it was killed");
}
