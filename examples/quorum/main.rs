//! Two clients want one lock over three servers, and the first server is killed in the middle of a section.
//!
//! `examples/run quorum` starts the three servers. (There is nothing to see on the one server of `DATABASE_URL`.)

use std::{
    error::Error,
    sync::{Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use diesel::{
    MysqlConnection,
    r2d2::{ConnectionManager, Pool},
};
use diesel_named_lock::{
    NamedLock,
    quorum::{Quorum, QuorumError},
};

mod servers;

type Manager = ConnectionManager<MysqlConnection>;

static LOCK: NamedLock = NamedLock::from_static("example:quorum");

fn main() -> Result<(), Box<dyn Error>> {
    let servers = &servers::start_three()?;
    let urls: Vec<String> = servers.iter().map(|server| server.tcp_url().to_owned()).collect();
    // Like two processes: each with its own.
    let (a, b) = (connect(&urls)?, connect(&urls)?);
    println!("two clients, one lock over three servers of {}\n", servers[0].version());
    let story = Story { begin: Instant::now(), sections: Mutex::default() };
    let (holds, held) = mpsc::channel();
    thread::scope(|scope| {
        let story = &story;
        let first = scope.spawn(move || {
            story.run("A", &a, || {
                holds.send(()).expect("the other client waits for it");
                thread::sleep(Duration::from_millis(200));
                story.tell("db-1 is killed");
                servers::kill(&servers[0]);
                thread::sleep(Duration::from_millis(200));
            })
        });
        held.recv().ok();
        story.tell("client B waits, in line on db-1");
        let second = scope.spawn(|| story.run("B", &b, || thread::sleep(Duration::from_millis(100))));
        first.join().expect("client A")?;
        second.join().expect("client B")
    })?;
    story.judge()
}

/// What an application does once.
fn connect(urls: &[String]) -> Result<Quorum<Manager>, Box<dyn Error>> {
    let pool = |url: &String| Pool::builder().max_size(4).min_idle(Some(0)).build_unchecked(Manager::new(url));
    let nodes = ["db-1", "db-2", "db-3"].iter().zip(urls);
    let quorum = nodes.fold(Quorum::builder(), |quorum, (name, url)| quorum.node(*name, pool(url)));
    // For a busy machine. A server that is killed refuses connections, and is not waited for.
    Ok(quorum.answer_within(Duration::from_secs(10)).build()?)
}

struct Story {
    begin: Instant,
    /// When each section began and ended.
    sections: Mutex<Vec<[Duration; 2]>>,
}

impl Story {
    fn run(&self, client: &str, quorum: &Quorum<Manager>, work: impl Fn()) -> Result<(), QuorumError> {
        let guard = quorum.acquire(&LOCK)?;
        let began = self.tell(&format!("client {client} has the lock on {}", guard.nodes().join(", ")));
        work();
        let ended = self.tell(&format!("client {client} is done"));
        let outcome = guard.release();
        let said = outcome.as_ref().err().map_or("Ok".to_owned(), ToString::to_string);
        self.tell(&format!("client {client}: {said}"));
        self.sections.lock().unwrap().push([began, ended]);
        outcome
    }

    fn tell(&self, what: &str) -> Duration {
        let now = self.begin.elapsed();
        println!("{:>6} ms  {what}", now.as_millis());
        now
    }

    fn judge(self) -> Result<(), Box<dyn Error>> {
        let mut sections = self.sections.into_inner()?;
        sections.sort();
        let [[_, end], [next, _]] = sections[..] else { return Err("two sections".into()) };
        if next < end {
            return Err("the two sections overlapped".into());
        }
        println!("\nyes: the two sections did not overlap, although a server died in the middle of the first");
        Ok(())
    }
}
