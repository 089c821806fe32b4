//! A worker process: a pool, and threads that run sections until the parent says stop.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use clap::Parser;
use diesel::r2d2::Pool;
use diesel_named_lock::pool::{HandedOffEvent, HandleLockEvent, NamedLockPool};

use crate::{
    control::Control,
    leaders,
    locking::{Locking, Locks, Place},
    look::look_at,
    manager::Manager,
    message::Message,
    performer::Performer,
    tasks::Tasks,
    violation::{Kind, Violation},
    workload::{Plan, Planner},
};

/// What the parent wants of a worker: its command line.
#[derive(Debug, Clone, Parser)]
pub struct Orders {
    #[arg(long)]
    pub url: String,
    #[arg(long)]
    pub tcp_url: String,
    #[arg(long)]
    pub seed: u64,
    #[arg(long)]
    pub process: u8,
    #[arg(long)]
    pub life: u16,
    #[arg(long)]
    pub threads: u8,
    #[arg(long)]
    pub tasks: u8,
    #[arg(long)]
    pub leaders: u8,
    #[arg(long)]
    pub connections: u32,
    /// So many of the threads take their sections through a `NamedLockPool`.
    #[arg(long)]
    pub in_turn: u8,
    /// Leave out the pool's test at check-out.
    #[arg(long)]
    pub untested: bool,
    #[arg(long)]
    pub locking: Locking,
    /// Only short timeouts.
    #[arg(long)]
    pub hasty: bool,
}

/// A section, or the wait for a connection, that takes longer has hung.
pub const HANGS: Duration = Duration::from_secs(60);

pub fn run(orders: &Orders) {
    // A parent that is killed while this process is stopped could not end it otherwise.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));

    let pool = Pool::builder()
        .max_size(orders.connections)
        .connection_timeout(2 * HANGS)
        .test_on_check_out(!orders.untested)
        .idle_timeout(None)
        .max_lifetime(None)
        .error_handler(Box::new(diesel::r2d2::NopErrorHandler))
        .build(Manager::new(&orders.url))
        .expect("a pool");
    let locks = NamedLockPool::builder(pool).event_handler(Box::new(Teller));
    // In every other process.
    let locks = if orders.process % 2 == 1 { locks.group_confirmation() } else { locks }.build();
    let workers = usize::from(orders.threads + orders.tasks + orders.leaders);
    let (control, watch) = (Control::new(workers), Watch::new(workers));
    let tasks = (orders.tasks > 0).then(|| Tasks::new(orders));
    thread::scope(|scope| {
        for thread in 0..orders.threads {
            let (locks, control, watch) = (&locks, &control, &watch);
            scope.spawn(move || run_sections(orders, thread, locks, control, watch));
        }
        for (tasks, task) in tasks.iter().flat_map(|tasks| (0..orders.tasks).map(move |task| (tasks, task))) {
            let (control, watch) = (&control, &watch);
            scope.spawn(move || tasks.run_sections(orders, orders.threads + task, control, watch));
        }
        for leader in 0..orders.leaders {
            let (control, watch, thread) = (&control, &watch, orders.threads + orders.tasks + leader);
            scope.spawn(move || leaders::lead(orders, thread, control, watch));
        }
        scope.spawn(|| watch.look(orders, &control));
        // Here, so that the end of the input is noticed whatever the threads do.
        control.obey_input();
    });
    wait_until_connected(locks.pool());
}

/// What OpenSSL cleans up at the end of a process crashes a thread of the pool that is connecting.
fn wait_until_connected(pool: &Pool<Manager>) {
    const BOUND: Duration = Duration::from_secs(3);

    let start = Instant::now();
    while pool.state().connections < pool.max_size() && start.elapsed() < BOUND {
        thread::sleep(Duration::from_millis(1));
    }
}

#[derive(Debug)]
pub struct Teller;

impl HandleLockEvent for Teller {
    fn handle_handed_off(&self, _: HandedOffEvent<'_>) {
        Message::HandedOff.send();
    }
}

fn run_sections(orders: &Orders, thread: u8, locks: &Locks, control: &Control, watch: &Watch) {
    let Orders { process, life, locking, .. } = *orders;
    let in_turn = (thread < orders.in_turn).then_some(locks);
    let performer = Performer { process, life, thread, locking, locks: in_turn };
    let mut planner = Planner::new(orders, thread);
    while control.may_go_on() {
        let plan = planner.next_plan();
        watch.begin(thread, plan.number);
        match (in_turn, plan.guarded) {
            (Some(locks), None) => performer.perform_all(Place::InTurn(locks), &plan, None),
            (Some(locks), Some(guarded)) => performer.perform_all(Place::OwnedInTurn(locks, guarded), &plan, None),
            (None, _) => on_a_connection(locks.pool(), performer, &plan),
        }
        watch.end(thread);
        planner.pause().into_iter().for_each(thread::sleep);
    }
}

fn on_a_connection(pool: &Pool<Manager>, performer: Performer<'_>, plan: &Plan) {
    match pool.get() {
        Ok(mut conn) => {
            let connection = look_at(&mut conn, &[], performer);
            let place = match plan.guarded {
                Some(guarded) if performer.locking == Locking::Ours => Place::Owned(conn, guarded),
                _ => Place::On(&mut conn),
            };
            performer.perform_all(place, plan, connection);
        }
        Err(error) => {
            let Performer { process, life, .. } = performer;
            let what = format!("process {process} (life {life}) got no connection: {error}");
            Message::Violation(Violation::new(Kind::NeverWoken, what)).send();
        }
    }
}

/// Since when each thread has been at its section.
pub struct Watch {
    start: Instant,
    /// Milliseconds after `start`; 0: at none.
    since: Vec<AtomicU64>,
    numbers: Mutex<Vec<u32>>,
}

impl Watch {
    fn new(threads: usize) -> Self {
        Self {
            start: Instant::now(),
            since: (0..threads).map(|_| AtomicU64::new(0)).collect(),
            numbers: Mutex::new(vec![0; threads]),
        }
    }

    fn now(&self) -> u64 {
        self.start.elapsed().as_millis() as u64 + 1
    }

    pub fn begin(&self, thread: u8, number: u32) {
        self.numbers.lock().unwrap()[usize::from(thread)] = number;
        self.since[usize::from(thread)].store(self.now(), Ordering::Relaxed);
    }

    pub fn end(&self, thread: u8) {
        self.since[usize::from(thread)].store(0, Ordering::Relaxed);
    }

    /// Ends the process when a thread hangs: nothing else could end it.
    fn look(&self, orders: &Orders, control: &Control) {
        while control.is_running() {
            thread::sleep(Duration::from_millis(100));
            let hangs = |since: &AtomicU64| {
                let since = since.load(Ordering::Relaxed);
                since > 0 && u128::from(self.now() - since) > HANGS.as_millis()
            };
            if let Some(thread) = self.since.iter().position(hangs) {
                let number = self.numbers.lock().unwrap()[thread];
                let id = crate::history::SectionId::new(orders.process, orders.life, thread as u8, number);
                let what = format!("{id} did not come to an end in {HANGS:?}");
                Message::Violation(Violation::new(Kind::NeverWoken, what)).send();
                std::process::exit(1);
            }
        }
    }
}
