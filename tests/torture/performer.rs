//! Does what a plan says, and tells the parent what came of it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    thread,
    time::{Duration, Instant},
};

use diesel::connection::{AnsiTransactionManager, TransactionManager};

use crate::{
    history::{Outcome, Report, SectionId},
    locking::{self, Conn, Locking, Order, Verdict, WorkError},
    message::Message,
    tables::{NAMES, insert_event, read_counter, write_counter},
    violation::{Kind, Violation},
    workload::{End, Plan},
};

/// One thread of a worker.
#[derive(Debug, Clone, Copy)]
pub struct Performer {
    pub process: u8,
    pub life: u16,
    pub thread: u8,
    pub locking: Locking,
}

/// What a work panics with that is to panic. Unlike `panic!`, this prints nothing.
struct Chosen;

impl Performer {
    pub fn section_id(self, number: u32) -> SectionId {
        SectionId::new(self.process, self.life, self.thread, number)
    }

    /// Runs a section and what is inside of it. `connection`: its session, where that is known.
    ///
    /// Panics on if the inner section was to panic: through the outer one.
    pub fn perform(self, conn: &mut Conn, plan: &Plan, connection: Option<u64>) {
        let (begun, mut waited) = (Instant::now(), None);
        let mut work = |conn: &mut Conn| {
            waited.get_or_insert_with(|| begun.elapsed());
            self.work(conn, plan, connection)
        };
        let names = plan.locks.iter().map(|&lock| NAMES[lock]).collect();
        let order = Order { names, timeout: plan.timeout, reentrant: plan.reentrant, transaction: plan.transaction };
        let section = || locking::section(self.locking, conn, &order, &mut work);
        let verdict = catch_unwind(AssertUnwindSafe(section));
        let waited = waited.unwrap_or_else(|| begun.elapsed());
        match verdict {
            Ok(verdict) => self.report(plan, connection, waited, verdict),
            Err(panic) => {
                self.report(plan, connection, waited, Verdict { outcome: Outcome::Panicked, alone: false });
                resume_unwind(panic);
            }
        }
    }

    fn report(self, plan: &Plan, connection: Option<u64>, waited: Duration, verdict: Verdict) {
        let Verdict { outcome, alone } = verdict;
        let section = self.section_id(plan.number);
        let (locks, timeout, within) = (plan.locks.len(), plan.timeout, plan.within);
        Message::Section(Report { section, connection, locks, timeout, waited, outcome, alone, within }).send();
    }

    /// A read-modify-write of the counter of every lock, with nothing but the locks to protect it.
    fn work(self, conn: &mut Conn, plan: &Plan, connection: Option<u64>) -> Result<(), WorkError> {
        let names = || plan.locks.iter().map(|&lock| NAMES[lock]);
        let section = self.section_id(plan.number).0;
        names().try_for_each(|name| insert_event(conn, section, name, "enter"))?;
        if plan.leaves_open {
            AnsiTransactionManager::begin_transaction(&mut **conn)?;
        }
        let read = names().map(|name| read_counter(conn, name)).collect::<Result<Vec<_>, _>>()?;
        plan.dawdle.into_iter().for_each(thread::sleep);
        for (name, value) in names().zip(read) {
            write_counter(conn, name, section, value + 1)?;
        }
        // Only now, for it may be over the same counters.
        match &plan.inner {
            Some(inner) if plan.catches => self.perform_all(conn, inner, connection),
            Some(inner) => self.perform(conn, inner, connection),
            None => {}
        }
        names().try_for_each(|name| insert_event(conn, section, name, "leave"))?;
        match plan.end {
            End::Ok => Ok(()),
            End::Err => Err(WorkError::Chosen),
            End::Panic => resume_unwind(Box::new(Chosen)),
        }
    }

    /// Runs a section, and takes the panics that were to be.
    pub fn perform_all(self, conn: &mut Conn, plan: &Plan, connection: Option<u64>) {
        let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.perform(conn, plan, connection))) else { return };
        if !panic.is::<Chosen>() {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default();
            let what = format!("{} panicked: {text}", self.section_id(plan.number));
            Message::Violation(Violation::new(Kind::Impossible, what)).send();
        }
    }
}
