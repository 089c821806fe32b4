//! A thread that looks on: which session holds which lock, and for how long after its section was dropped.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use diesel::{
    QueryableByName,
    prelude::*,
    sql_query,
    sql_types::{BigInt, Nullable},
};
use testkit::world::{connect, number, process_list, wait_until};

/// A session that waits looks once a second whether its connection is closed. So a second may pass, and a moment more until it has ended.
const BOUND: Duration = Duration::from_secs(2);
/// As many looks as there are in that time; on a busy machine, the server takes longer for either.
const LOOKS: u32 = 250;

#[derive(QueryableByName)]
struct Holder {
    #[diesel(sql_type = BigInt)]
    lock: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    session: Option<i64>,
}

/// When the section of a session was dropped.
#[derive(Default)]
pub struct Dropped(Mutex<HashMap<i64, Instant>>);

impl Dropped {
    pub fn note(&self, session: i64) {
        self.0.lock().unwrap().insert(session, Instant::now());
    }

    pub fn contains(&self, session: i64) -> bool {
        self.0.lock().unwrap().contains_key(&session)
    }
}

pub struct Witness {
    stop: Arc<AtomicBool>,
    names: Vec<String>,
    dropped: Arc<Dropped>,
    thread: JoinHandle<Duration>,
}

impl Witness {
    pub fn start(names: Vec<String>, dropped: Arc<Dropped>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let (stop, names, dropped) = (stop.clone(), names.clone(), dropped.clone());
            move || look_on(&names, &dropped, &stop)
        });
        Self { stop, names, dropped, thread }
    }

    /// Waits until nothing is left of what was dropped. Returns for how long a lock was held at most after that.
    pub fn finish(self) -> Duration {
        let (mut conn, holders) = (connect(), holders_of(&self.names));
        wait_until("every lock to be free", || {
            sql_query(&holders).load::<Holder>(&mut conn).unwrap().iter().all(|held| held.session.is_none())
        });
        let alive = self.dropped.count_of_sessions();
        wait_until("the sessions to be gone", || number(&mut conn, &alive) == Some(0));
        self.stop.store(true, SeqCst);
        self.thread.join().expect("no lock is held for too long")
    }
}

fn look_on(names: &[String], dropped: &Dropped, stop: &AtomicBool) -> Duration {
    let (mut conn, query) = (connect(), holders_of(names));
    // Since when, and in how many looks.
    let mut seen: HashMap<(i64, i64), (Instant, u32)> = HashMap::new();
    let mut longest = Duration::ZERO;
    let mut last_look = Instant::now();
    while !stop.load(SeqCst) {
        let look = Instant::now();
        let holders = sql_query(&query).load::<Holder>(&mut conn).unwrap();
        let of_dropped = |Holder { lock, session }: Holder| {
            // One that was in line may get its lock later.
            let since = dropped.0.lock().unwrap().get(&session?)?.max(&last_look).to_owned();
            let key = (lock, session?);
            let (since, looks) = seen.get(&key).copied().unwrap_or((since, 0));
            Some((key, (since, looks + 1)))
        };
        seen = holders.into_iter().filter_map(of_dropped).collect();
        for ((lock, session), (since, looks)) in &seen {
            let (held, name) = (look.saturating_duration_since(*since), &names[*lock as usize]);
            assert!(held < BOUND || *looks < LOOKS, "{name} is held by {session}, {held:?} after its drop");
            longest = longest.max(held);
        }
        last_look = look;
        thread::sleep(Duration::from_millis(2));
    }
    longest
}

fn holders_of(names: &[String]) -> String {
    let of = |(index, name): (usize, &String)| {
        format!("SELECT {index} AS `lock`, CAST(IS_USED_LOCK('{name}') AS SIGNED) AS session")
    };
    let all: Vec<_> = names.iter().enumerate().map(of).collect();
    all.join(" UNION ALL ")
}

impl Dropped {
    fn count_of_sessions(&self) -> String {
        let ids: Vec<_> = self.0.lock().unwrap().keys().map(i64::to_string).collect();
        format!("SELECT COUNT(*) AS number FROM {} WHERE ID IN ({})", process_list(), ids.join(", "))
    }
}
