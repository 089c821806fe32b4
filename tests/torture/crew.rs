//! The worker processes, as the parent has them.

use std::{
    collections::{HashMap, HashSet},
    env,
    io::{self, BufRead, BufReader, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, Sender, channel},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    WORKER, control,
    history::{GivenUp, Gone, Killed, Report},
    message::{Message, word},
    violation::{Kind, Violation},
    worker::Orders,
};

/// More than a worker waits before it says by itself that it hangs.
const PATIENCE: Duration = Duration::from_secs(90);

pub struct Crew {
    workers: Vec<Worker>,
    inbox: Receiver<(u8, u16, Message)>,
    outbox: Sender<(u8, u16, Message)>,
    pub reports: Vec<Report>,
    /// How many of the sections came to run.
    pub ran: usize,
    pub hand_offs: usize,
    pub violations: Vec<Violation>,
    /// Which process, in which life, has opened which session.
    sessions: HashMap<u64, (u8, u16)>,
    pub killed: Vec<Killed>,
    pub gone: Vec<Gone>,
    pub given_up: Vec<GivenUp>,
    /// The last life of each process that said that it is idle.
    idle: Vec<Option<u16>>,
}

struct Worker {
    orders: Orders,
    child: Child,
    input: Option<ChildStdin>,
    reader: Option<JoinHandle<()>>,
}

impl Crew {
    pub fn start(orders: impl IntoIterator<Item = Orders>) -> io::Result<Self> {
        let (outbox, inbox) = channel();
        let workers = orders.into_iter().map(|orders| Worker::start(orders, &outbox)).collect::<Result<Vec<_>, _>>()?;
        let idle = vec![None; workers.len()];
        Ok(Self {
            workers,
            inbox,
            outbox,
            reports: Vec::new(),
            ran: 0,
            hand_offs: 0,
            violations: Vec::new(),
            sessions: HashMap::new(),
            killed: Vec::new(),
            gone: Vec::new(),
            given_up: Vec::new(),
            idle,
        })
    }

    /// Takes in what the workers have told, and looks whether they are alive.
    pub fn listen(&mut self) {
        while let Ok(message) = self.inbox.try_recv() {
            self.take(message);
        }
        for worker in &mut self.workers {
            if let Ok(Some(status)) = worker.child.try_wait() {
                let Orders { process, life, .. } = worker.orders;
                let what = format!("process {process} (life {life}) ended by itself: {status}");
                self.violations.push(Violation::new(Kind::Impossible, what));
            }
        }
    }

    fn take(&mut self, (process, life, message): (u8, u16, Message)) {
        match message {
            Message::Section(report) => {
                self.ran += usize::from(report.outcome.ran());
                self.reports.push(report);
            }
            Message::Opened(connection) => drop(self.sessions.insert(connection, (process, life))),
            Message::Killed(killed) => self.killed.push(killed),
            Message::GivenUp(given_up) => self.given_up.push(given_up),
            Message::HandedOff => self.hand_offs += 1,
            Message::Idle => self.idle[usize::from(process)] = Some(life),
            Message::Violation(violation) => self.violations.push(violation),
        }
    }

    /// Until no worker runs a section and all connections are in their pools. `false` if it does not come to that.
    pub fn pause(&mut self) -> bool {
        self.idle.fill(None);
        self.workers.iter_mut().for_each(|worker| worker.say(control::PAUSE));
        let deadline = Instant::now() + PATIENCE;
        while let Some(busy) = self.busy() {
            if let Ok(message) = self.inbox.recv_timeout(Duration::from_millis(100)) {
                self.take(message);
            }
            self.listen();
            if Instant::now() > deadline {
                self.found(Kind::NeverWoken, format!("process {busy} did not finish its sections within {PATIENCE:?}"));
            }
            if !self.violations.is_empty() {
                return false;
            }
        }
        true
    }

    fn busy(&self) -> Option<u8> {
        let is_idle = |worker: &&Worker| self.idle[usize::from(worker.orders.process)] == Some(worker.orders.life);
        self.workers.iter().find(|worker| !is_idle(worker)).map(|worker| worker.orders.process)
    }

    pub fn go_on(&mut self) {
        self.workers.iter_mut().for_each(|worker| worker.say(control::GO));
    }

    /// `kill -9`, and a new one in its place. Its threads' sections have no end.
    pub fn replace(&mut self, victim: usize) -> io::Result<()> {
        let victim = victim % self.workers.len();
        let worker = &mut self.workers[victim];
        worker.kill();
        let orders = Orders { life: worker.orders.life + 1, ..worker.orders.clone() };
        let Orders { process, life, .. } = worker.orders;
        *worker = Worker::start(orders, &self.outbox)?;
        self.listen();
        self.sessions.retain(|_, of| *of != (process, life));
        Ok(())
    }

    /// `SIGSTOP`, and `SIGCONT` after this time.
    pub fn stop_for(&mut self, victim: usize, time: Duration) {
        let victim = victim % self.workers.len();
        let _stopped = Stopped::new(self.workers[victim].child.id());
        thread::sleep(time);
    }

    /// Takes note of the sessions that are no more, by those that are there.
    pub fn miss(&mut self, present: &[u64]) {
        let present: HashSet<u64> = present.iter().copied().collect();
        let gone = self.sessions.iter().filter(|(connection, _)| !present.contains(connection));
        self.gone.extend(gone.map(|(&connection, &(process, life))| Gone { connection, process, life }));
        self.sessions.retain(|connection, _| present.contains(connection));
    }

    /// Lets every worker finish the sections it is at.
    pub fn end(&mut self) {
        self.workers.iter_mut().for_each(|worker| worker.input = None);
        // If something was found, that is what matters.
        let deadline = Instant::now() + if self.violations.is_empty() { PATIENCE } else { PATIENCE / 20 };
        for index in 0..self.workers.len() {
            let worker = &mut self.workers[index];
            let process = worker.orders.process;
            let ended = worker.ends_by(deadline);
            worker.kill();
            match ended {
                _ if !self.violations.is_empty() => {}
                Some(true) => {}
                Some(false) => self.found(Kind::Impossible, format!("process {process} failed at its end")),
                None => self.found(Kind::NeverWoken, format!("process {process} did not end within {PATIENCE:?}")),
            }
        }
        while let Ok(message) = self.inbox.try_recv() {
            self.take(message);
        }
    }

    fn found(&mut self, kind: Kind, what: String) {
        self.violations.push(Violation::new(kind, what));
    }
}

impl Worker {
    fn start(orders: Orders, outbox: &Sender<(u8, u16, Message)>) -> io::Result<Self> {
        let mut child = Command::new(env::current_exe()?)
            .arg(WORKER)
            .args(arguments(&orders))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take().expect("it is piped"));
        let (outbox, process, life) = (outbox.clone(), orders.process, orders.life);
        let reader = thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Some(message) = Message::read(&line) {
                    let _ = outbox.send((process, life, message));
                }
            }
        });
        Ok(Self { orders, child, input, reader: Some(reader) })
    }

    fn say(&mut self, word: &str) {
        // Of one that is gone, `listen` tells.
        let _ = self.input.as_mut().map(|input| writeln!(input, "{word}"));
    }

    /// Whether it ended well; `None` if it did not end.
    fn ends_by(&mut self, deadline: Instant) -> Option<bool> {
        loop {
            match self.child.try_wait() {
                Ok(None) if Instant::now() > deadline => return None,
                Ok(None) => thread::sleep(Duration::from_millis(2)),
                Ok(Some(status)) => return Some(status.success()),
                Err(_) => return Some(false),
            }
        }
    }

    /// All that it has told is in the inbox afterwards.
    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = self.reader.take().map(JoinHandle::join);
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A process that is stopped, and continues however the stopping ends.
pub struct Stopped(Option<Pid>);

impl Stopped {
    pub fn new(pid: u32) -> Self {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        Self(pid.filter(|&pid| kill_process(pid, Signal::STOP).is_ok()))
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = self.0.map(|pid| kill_process(pid, Signal::CONT));
    }
}

fn arguments(orders: &Orders) -> Vec<String> {
    let Orders {
        url,
        tcp_url,
        seed,
        process,
        life,
        threads,
        tasks,
        leaders,
        connections,
        in_turn,
        untested,
        locking,
        hasty,
    } = orders;
    let mut arguments = vec![
        format!("--url={url}"),
        format!("--tcp-url={tcp_url}"),
        format!("--seed={seed}"),
        format!("--process={process}"),
        format!("--life={life}"),
        format!("--threads={threads}"),
        format!("--tasks={tasks}"),
        format!("--leaders={leaders}"),
        format!("--connections={connections}"),
        format!("--in-turn={in_turn}"),
        format!("--locking={}", word(locking)),
    ];
    arguments.extend(untested.then(|| "--untested".to_owned()));
    arguments.extend(hasty.then(|| "--hasty".to_owned()));
    arguments
}
