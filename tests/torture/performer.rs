//! Does what a plan says, and tells the parent what came of it.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    thread,
    time::Instant,
};

use diesel::connection::{AnsiTransactionManager, TransactionManager};

use crate::{
    history::{Outcome, Report, SectionId},
    locking::{self, Conn, Locking, Locks, Order, Place, Verdict, WorkError},
    look::look_at,
    message::Message,
    tables::{insert_event, read_counter, write_counter},
    violation::{Kind, Violation},
    workload::{End, Plan},
};

/// One thread of a worker.
#[derive(Debug, Clone, Copy)]
pub struct Performer<'l> {
    pub process: u8,
    pub life: u16,
    pub thread: u8,
    pub locking: Locking,
    /// Where it queues for its sections, if it does.
    pub locks: Option<&'l Locks>,
}

/// What a work panics with that is to panic. Unlike `panic!`, this prints nothing.
pub struct Chosen;

impl Performer<'_> {
    pub fn section_id(self, number: u32) -> SectionId {
        SectionId::new(self.process, self.life, self.thread, number)
    }

    /// Runs a section and what is inside of it. `connection` is its session, if known.
    ///
    /// Panics on if the inner section was to panic: through the outer one.
    pub fn perform(self, place: Place<'_>, plan: &Plan, mut connection: Option<u64>) {
        let (begun, mut waited) = (Instant::now(), None);
        let in_turn = matches!(place, Place::InTurn(_) | Place::OwnedInTurn(..));
        let by_guard = matches!(place, Place::Owned(..) | Place::OwnedInTurn(..));
        let mut work = |conn: &mut Conn| {
            waited.get_or_insert_with(|| begun.elapsed());
            if in_turn {
                connection = look_at(conn, &plan.subject.kinds(), self);
            }
            self.work(conn, plan, connection)
        };
        let (timeout, reentrant, transaction) = (plan.timeout, plan.reentrant, plan.transaction);
        let order = Order { subject: plan.subject.clone(), timeout, reentrant, transaction };
        let section = || locking::section(self.locking, place, &order, &mut work);
        let outcome = catch_unwind(AssertUnwindSafe(section));
        let waited = waited.unwrap_or_else(|| begun.elapsed());
        let panicked = Verdict { outcome: Outcome::Panicked, alone: false };
        let Verdict { outcome: told, alone } = *outcome.as_ref().unwrap_or(&panicked);
        let (section, updates, within) = (self.section_id(plan.number), plan.subject.counters().len(), plan.within);
        let report =
            Report { section, connection, in_turn, by_guard, updates, timeout, waited, outcome: told, alone, within };
        Message::Section(report).send();
        if let Err(panic) = outcome {
            resume_unwind(panic);
        }
    }

    /// A read-modify-write of the counter of every lock that it has alone, with nothing but the locks to protect it.
    fn work(self, conn: &mut Conn, plan: &Plan, connection: Option<u64>) -> Result<(), WorkError> {
        let (shares, counters) = (plan.subject.shares(), plan.subject.counters());
        let section = self.section_id(plan.number).0;
        shares.iter().try_for_each(|share| insert_event(conn, section, *share, "enter"))?;
        if plan.leaves_open {
            AnsiTransactionManager::begin_transaction(&mut **conn)?;
        }
        let read = counters.iter().map(|name| read_counter(conn, name)).collect::<Result<Vec<_>, _>>()?;
        plan.dawdle.into_iter().for_each(thread::sleep);
        for (name, value) in counters.iter().zip(read) {
            write_counter(conn, name, section, value + 1)?;
        }
        // Only now, for it may be over the same counters.
        if let Some(inner) = &plan.inner {
            let (place, connection) = match self.locks {
                Some(locks) if inner.apart => (Place::InTurn(locks), None),
                _ => (Place::On(conn), connection),
            };
            let perform = if plan.catches { Self::perform_all } else { Self::perform };
            perform(self, place, inner, connection);
        }
        shares.iter().try_for_each(|share| insert_event(conn, section, *share, "leave"))?;
        match plan.end {
            End::Ok => Ok(()),
            End::Err => Err(WorkError::Chosen),
            End::Panic => resume_unwind(Box::new(Chosen)),
        }
    }

    /// Runs a section, and takes the panics that were to be.
    pub fn perform_all(self, place: Place<'_>, plan: &Plan, connection: Option<u64>) {
        let performed = catch_unwind(AssertUnwindSafe(|| self.perform(place, plan, connection)));
        performed.unwrap_or_else(|panic| self.judge(plan, &*panic));
    }

    /// No other panic than one that was to be.
    pub fn judge(self, plan: &Plan, panic: &(dyn Any + Send)) {
        if !panic.is::<Chosen>() {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default();
            let what = format!("{} panicked: {text}", self.section_id(plan.number));
            Message::Violation(Violation::new(Kind::Impossible, what)).send();
        }
    }
}
