//! A client that has started another process, which inherits the connection that holds the lock: as after a `fork`.

use std::{
    fs,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use diesel_named_lock::{NamedLock, NamedLockError, NamedLockExt};
use rustix::process::{Pid, Signal, kill_process};
use testkit::child::{self, Child};

use crate::{
    guards::{IDLE_LIMIT, IDLE_LIMIT_OF_ONE_SECOND, OFTEN},
    scenario::{Outcome::*, SOON, Scenario, scenario},
    sql::{PATIENCE, connect, get_lock},
    stage::Stage,
};

/// Which argument makes a child start another process. Another argument says whether it is to release its guard.
pub const CHILD: &str = "starts";
const RELEASES: &str = "releases";
const DOES_NOT: &str = "does not";

pub fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("started_process_outlives_its_killed_client", outlives_its_killed_client, &[ProcessKilled])
            .free_within(SOON)
            .since("the end of the started process"),
        scenario("started_process_and_killed_client_with_an_idle_limit", with_an_idle_limit, &[ProcessKilled])
            .free_within(IDLE_LIMIT_OF_ONE_SECOND)
            .since("the kill (idle limit 1 s)"),
        scenario("started_process_while_the_guard_is_released", while_the_guard_is_released, &[Ok]),
    ]
}

/// In a child: says who it has started under its lock; then releases it, is told that the other process has ended, and says
/// whether the connection is sound.
pub fn main(arguments: &[String]) {
    let [url, name, _, releases, idle_limit, parent] = arguments else { panic!("{arguments:?}") };
    let mut lock = NamedLock::new(&**name).expect("a valid name").timeout(PATIENCE);
    if !idle_limit.is_empty() {
        lock = lock.idle_limit(IDLE_LIMIT);
    }
    let guard = lock.acquire(connect(url)).unwrap_or_else(|failed| panic!("{failed}"));
    let watched = guard.keep_alive(OFTEN).unwrap_or_else(|failed| panic!("{failed}"));
    // It ends with the test at the latest.
    let mut command = Command::new("tail");
    command.args(["-f", "/dev/null", "--pid", parent]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut started = command.spawn().expect("tail");
    child::say(started.id());
    if releases != RELEASES {
        loop {
            thread::park();
        }
    }
    let mut conn = watched.into_guard().release().unwrap_or_else(|failed| panic!("{failed}"));
    child::say("released");
    started.wait().expect("its end");
    let again = conn.with_named_lock(&**name, Duration::ZERO, |_| Result::<_, NamedLockError>::Ok(()));
    child::say(again.is_ok());
}

/// A client that holds the lock, and what it has started.
fn start(stage: &Stage, releases: &str, idle_limit: &str) -> (Child, Started) {
    let parent = std::process::id().to_string();
    let mut client = Child::start(&[stage.server.url(), &stage.name, CHILD, releases, idle_limit, &parent], &[]);
    let started = client.hear().parse().expect("a process id");
    (client, Started(Pid::from_raw(started).expect("a process id")))
}

struct Started(Pid);

impl Started {
    /// libmariadb lets processes inherit its connections.
    fn has_sockets(&self) -> bool {
        let files = fs::read_dir(format!("/proc/{}/fd", self.0.as_raw_nonzero())).expect("a process that lives");
        files
            .flatten()
            .filter_map(|file| fs::read_link(file.path()).ok())
            .any(|to| to.to_string_lossy().starts_with("socket:"))
    }

    fn kill(&self) {
        kill_process(self.0, Signal::KILL).expect("a process that lives");
    }
}

fn outlives_its_killed_client(stage: &Stage) {
    let (client, started) = start(stage, DOES_NOT, "");
    client.kill();
    stage.saw(ProcessKilled);
    if started.has_sockets() {
        let free = get_lock(&mut *stage.control(), &stage.name, Duration::from_secs(1)).expect("GET_LOCK");
        stage.check(!free, "the lock was free although the connection is open");
        stage.note("the connection was inherited, and the lock held on".to_owned());
    }
    let ended = Instant::now();
    started.kill();
    stage.free_since(ended);
}

fn with_an_idle_limit(stage: &Stage) {
    let (client, started) = start(stage, DOES_NOT, "idle limit");
    let killed = Instant::now();
    client.kill();
    stage.saw(ProcessKilled);
    stage.free_since(killed);
    started.kill();
}

fn while_the_guard_is_released(stage: &Stage) {
    let (mut client, started) = start(stage, RELEASES, "");
    assert_eq!(client.hear(), "released");
    stage.free_now();
    started.kill();
    stage.check(client.hear() == "true", "the connection is not sound when the started process has ended");
    stage.saw(Ok);
}
