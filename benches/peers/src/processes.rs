//! Two processes of eight threads each, that want one lock: is each served, and how long does a thread wait at most?

use std::{
    env,
    io::{BufRead, BufReader, Write, stdin},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use diesel_named_lock::pool::NamedLockPool;
use test_server::{Product, Server};

use crate::{
    figure::{Aim, Figure},
    threads::{pool, work},
};

const NAME: &str = "bench:processes";
const PATIENCE: Duration = Duration::from_secs(60);
const THREADS: usize = 8;
const TIME: Duration = Duration::from_secs(5);

pub fn measure() -> Vec<Figure> {
    let server = Server::start(Product::wanted()).expect("a private server");
    let mut processes: Vec<_> = (0..2).map(|_| Process::start(server.url())).collect();
    processes.iter_mut().for_each(|process| assert_eq!(process.line(), "ready"));
    processes.iter_mut().for_each(|process| process.go.write_all(b"go\n").expect("a process that listens"));
    let served: Vec<(f64, f64)> = processes.iter_mut().map(Process::served).collect();
    let sections: f64 = served.iter().map(|(sections, _)| sections).sum();
    let figure = |(number, (sections_of_one, longest_wait)): (usize, &(f64, f64))| {
        let title = format!("process {}: the longest wait of a thread, and its share of the sections", number + 1);
        Figure::new("Two processes of 8 threads each, one lock", &server, title, *longest_wait, "ms")
            .ratio("share", sections_of_one / sections)
            .aim(Aim::RatioAtLeast(0.4))
    };
    served.iter().enumerate().map(figure).collect()
}

struct Process {
    child: Child,
    go: ChildStdin,
    told: BufReader<ChildStdout>,
}

impl Process {
    fn start(url: &str) -> Self {
        let this = env::current_exe().expect("this very program");
        let mut child = Command::new(this)
            .args(["share", url])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("another process");
        let (go, told) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        Self { child, go, told: BufReader::new(told) }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.told.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }

    /// How many sections it had, and the longest wait in milliseconds.
    fn served(&mut self) -> (f64, f64) {
        let line = self.line();
        assert!(self.child.wait().expect("a child of ours").success());
        let (sections, wait) = line.split_once(' ').expect("two figures");
        (sections.parse().expect("a number"), wait.parse().expect("a number"))
    }
}

/// One of the processes.
pub fn share(url: &str) {
    let locks = NamedLockPool::new(pool(url, 4));
    println!("ready");
    stdin().read_line(&mut String::new()).expect("the word to go");
    let (sections, longest_wait) = (AtomicU64::new(0), AtomicU64::new(0));
    let start = Instant::now();
    let run = || {
        while start.elapsed() < TIME {
            let asked = Instant::now();
            let section = |conn: &mut _| {
                longest_wait.fetch_max(asked.elapsed().as_micros() as u64, Ordering::Relaxed);
                work(conn)
            };
            locks.with_named_lock(NAME, PATIENCE, section).expect("a section");
            sections.fetch_add(1, Ordering::Relaxed);
        }
    };
    thread::scope(|scope| (0..THREADS).for_each(|_| drop(scope.spawn(run))));
    println!("{} {}", sections.into_inner(), longest_wait.into_inner() as f64 / 1000.0);
}
