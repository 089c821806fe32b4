//! Leaders: a thread of each process campaigns, writes by its term, and resigns.
//!
//! A leader writes on another connection than its lock's. So its events are worth something only if its resignation was
//! confirmed; but no leader may overwrite what another one has written, for the fence refuses it.

use std::{
    thread,
    time::{Duration, Instant},
};

use diesel::{Connection, ConnectionError, MysqlConnection, RunQueryDsl, sql_query, sql_types::Text};
use diesel_named_lock::{
    fence::{self, FenceError},
    leadership::{CampaignError, LeaderElection, Leadership},
};
use fastrand::Rng;

use crate::{
    control::Control,
    history::{Outcome, Report, SectionId},
    locking::{Verdict, told_by},
    manager,
    message::Message,
    subject::Share,
    tables::{LEADER, Value, insert_event, write_counter},
    violation::{Kind, Violation},
    worker::{Orders, Watch},
};

const TIMEOUT: Duration = Duration::from_secs(2);

/// What became of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Update {
    Done,
    /// It was told that it leads no more.
    SteppedDown,
    /// A newer term has begun.
    Refused,
}

pub fn lead(orders: &Orders, thread: u8, control: &Control, watch: &Watch) {
    let Orders { seed, process, life, .. } = *orders;
    let mut rng = Rng::with_seed(seed ^ u64::from(process) << 16 ^ u64::from(life));
    let url = orders.url.clone();
    let connect = move || manager::connect(&url).map(|(conn, _)| conn);
    let election = LeaderElection::new(LEADER, connect).expect("a valid name").longest_pause(Duration::from_millis(50));
    let mut desk = Desk { url: &orders.url, conn: None };
    for number in 1.. {
        if !control.may_go_on() {
            break;
        }
        watch.begin(thread, number);
        let section = SectionId::new(process, life, thread, number);
        lead_once(&election, &mut desk, section, Duration::from_micros(rng.u64(..20_000)));
        watch.end(thread);
        thread::sleep(Duration::from_micros(rng.u64(..5_000)));
    }
}

fn lead_once(election: &LeaderElection<MysqlConnection>, desk: &mut Desk<'_>, section: SectionId, time: Duration) {
    let begun = Instant::now();
    let campaign = election.campaign(TIMEOUT);
    let waited = begun.elapsed();
    let (connection, verdict) = match campaign {
        Ok(leader) => (Some(leader.connection_id().get()), term(leader, desk, section, time)),
        Err(error) => (None, not_elected(&error)),
    };
    let Verdict { outcome, alone } = verdict;
    Message::Section(Report {
        section,
        connection,
        in_turn: false,
        by_guard: false,
        updates: 1,
        timeout: Some(TIMEOUT),
        waited,
        outcome,
        alone,
        within: false,
    })
    .send();
}

fn not_elected(error: &CampaignError) -> Verdict {
    match error {
        CampaignError::Lock(error) => told_by(error),
        _ => Verdict { outcome: Outcome::Broken, alone: false },
    }
}

/// One update, and some time.
fn term(leader: Leadership<MysqlConnection>, desk: &mut Desk<'_>, section: SectionId, time: Duration) -> Verdict {
    desk.write(&leader, |conn, _| Ok(insert_event(conn, section.0, Share::all_of(LEADER), "enter")?));
    let update = desk.write(&leader, |conn, leader| conn.transaction(|conn| update(conn, leader, section)));
    leader.stepped_down(time);
    desk.write(&leader, |conn, _| Ok(insert_event(conn, section.0, Share::all_of(LEADER), "leave")?));
    match leader.resign() {
        Err(error) => told_by(&error),
        Ok(()) if update == Update::Done => Verdict { outcome: Outcome::Ok, alone: true },
        Ok(()) => {
            let what = format!("{section} led to its end, and its update was {update:?}");
            Message::Violation(Violation::new(Kind::FalseOk, what)).send();
            Verdict { outcome: Outcome::WorkFailed, alone: true }
        }
    }
}

/// Once only, also if nobody knows whether the last attempt was committed.
fn update(
    conn: &mut MysqlConnection,
    leader: &Leadership<MysqlConnection>,
    section: SectionId,
) -> Result<(), FenceError> {
    fence::check(conn, LEADER, leader.term().expect("the table is there"))?;
    let query = format!("SELECT IF(section = {}, -1, value) AS value FROM counters WHERE name = ?", section.0);
    let Value { value } = sql_query(query).bind::<Text, _>(LEADER).get_result(conn)?;
    if value >= 0 { Ok(write_counter(conn, LEADER, section.0, value + 1)?) } else { Ok(()) }
}

/// Where a leader writes.
struct Desk<'d> {
    url: &'d str,
    conn: Option<MysqlConnection>,
}

impl Desk<'_> {
    /// Tries until it is done, on another connection each time.
    fn write(
        &mut self,
        leader: &Leadership<MysqlConnection>,
        write: impl Fn(&mut MysqlConnection, &Leadership<MysqlConnection>) -> Result<(), FenceError>,
    ) -> Update {
        while leader.is_leader() {
            let Ok(mut conn) = self.conn.take().map_or_else(|| self.connect(), Ok) else { continue };
            match write(&mut conn, leader) {
                Ok(()) => {
                    self.conn = Some(conn);
                    return Update::Done;
                }
                Err(FenceError::Stale { .. }) => return Update::Refused,
                Err(_) => {}
            }
        }
        Update::SteppedDown
    }

    fn connect(&self) -> Result<MysqlConnection, ConnectionError> {
        MysqlConnection::establish(self.url)
    }
}
