//! The contenders: threads of this process, each with a quorum of its own, and other processes, each with a few threads.

use std::{
    os::unix::process::ExitStatusExt,
    panic,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use testkit::child::{self, Child};

use super::{
    contender::{Contender, Plan, Scene},
    history::{Event, Log, Outcome, Scratch, Tail, Thread, now, sections},
};
use crate::stage::{ANSWER_WITHIN, TestQuorum, servers, urls};

const THREADS: u32 = 4;
const PROCESSES: u32 = 3;
/// Of each process. They share a quorum, and its queue.
const THREADS_OF_PROCESS: u32 = 2;

/// A process starts this test, and so becomes a contender.
const CHILD: [&str; 3] = ["--exact", "storm::crew::a_contender_alone_ends_all_its_sections_well", "--nocapture"];

pub struct Crew {
    scene: Scene,
    log: Log,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<TestQuorum>>,
    children: Vec<Mutex<Member>>,
    /// The number of the next process. A thread of this one counts as one, too.
    next: AtomicU32,
}

struct Member {
    process: u32,
    child: Child,
}

impl Crew {
    pub fn start(scene: &Scene) -> Self {
        let log = Log::open(&scene.history).expect("the history");
        let stop = Arc::new(AtomicBool::new(false));
        let contend = |process| {
            let (scene, stop) = (scene.clone(), stop.clone());
            thread::spawn(move || {
                let mut contender = Contender::new(&scene, scene.quorum(), Thread { process, thread: 0 });
                while !stop.load(Ordering::Relaxed) {
                    contender.contend();
                }
                contender.quorum
            })
        };
        let threads = (0..THREADS).map(contend).collect();
        let member = |process| Mutex::new(Member { process, child: start_child(scene, process) });
        let children = (THREADS..THREADS + PROCESSES).map(member).collect();
        Self { scene: scene.clone(), log, stop, threads, children, next: AtomicU32::new(THREADS + PROCESSES) }
    }

    /// `kill -9` of a process, whatever it does, and a new one in its place. Returns whether one could be had.
    pub fn replace_one(&self) -> bool {
        let Ok(mut member) = self.one().try_lock() else { return false };
        let process = self.next.fetch_add(1, Ordering::Relaxed);
        let new = Member { process, child: start_child(&self.scene, process) };
        self.kill(std::mem::replace(&mut member, new));
        true
    }

    fn one(&self) -> &Mutex<Member> {
        &self.children[fastrand::usize(..self.children.len())]
    }

    fn kill(&self, Member { process, child }: Member) {
        let status = child.kill();
        assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "process {process} ended by itself: {status}");
        self.log.write(&Event::Killed { process });
    }

    /// `SIGSTOP` of a process, and `SIGCONT` after this time.
    pub fn freeze_one(&self, time: Duration) {
        let Ok(member) = self.one().try_lock() else { return };
        let from = now();
        member.signal(Signal::STOP);
        thread::sleep(time);
        member.signal(Signal::CONT);
        // It may not run at once.
        self.log.write(&Event::Frozen { process: member.process, from, to: now() });
    }

    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Whether all threads have done their last section.
    pub fn has_stopped(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Kills the processes, and returns the quorums of the threads, with all that they have been through.
    pub fn end(mut self) -> Vec<TestQuorum> {
        for member in std::mem::take(&mut self.children) {
            self.kill(member.into_inner().expect("no panic"));
        }
        self.threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    }
}

impl Member {
    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id() as i32).expect("a process id");
        kill_process(pid, signal).expect("a process that lives");
    }
}

fn start_child(scene: &Scene, process: u32) -> Child {
    let [a, b, c] = &scene.urls;
    let history = scene.history.to_str().expect("text");
    let within = scene.answer_within.as_millis().to_string();
    Child::start(&[a, b, c, &scene.name, history, &within, &process.to_string()], &CHILD)
}

/// The part of a contender, if this process is one. It ends by `kill -9`.
fn be_a_contender() -> Option<()> {
    let arguments = child::arguments()?;
    let [a, b, c, name, history, within, process] = &arguments[..] else { panic!("seven arguments: {arguments:?}") };
    let scene = Scene {
        urls: [a, b, c].map(Clone::clone),
        name: name.clone(),
        history: history.into(),
        answer_within: Duration::from_millis(within.parse().expect("a number")),
    };
    let process = process.parse().expect("a number");
    let log = Log::open(&scene.history).expect("the history");
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        log.write(&Event::Found { process, what: panic.to_string() });
        print(panic);
    }));
    let quorum = scene.quorum();
    thread::scope(|scope| {
        for thread in 0..THREADS_OF_PROCESS {
            let mut contender = Contender::new(&scene, quorum.clone(), Thread { process, thread });
            scope.spawn(move || {
                loop {
                    contender.contend();
                }
            });
        }
    });
    Some(())
}

#[test]
fn a_contender_alone_ends_all_its_sections_well() {
    if be_a_contender().is_some() {
        return;
    }
    let scratch = Scratch::new();
    let scene = Scene {
        urls: urls(servers()).map(str::to_owned),
        name: testkit::world::fresh("contender"),
        history: scratch.path(),
        answer_within: ANSWER_WITHIN,
    };
    let mut contender = Contender::new(&scene, scene.quorum(), Thread { process: 0, thread: 0 });
    for _ in 0..20 {
        assert_eq!(contender.section(Plan::calm()), Outcome::Ok);
    }
    let sections = sections(&Tail::of(&scene.history).unwrap().read());
    assert_eq!(sections.len(), 20);
    assert!(sections.iter().all(|section| section.outcome() == Some(Outcome::Ok)), "{sections:#?}");
}
