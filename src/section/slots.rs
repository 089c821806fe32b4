//! Slots behind a turnstile. Model-checked by `tests/permit-model`.

use std::{sync::Arc, time::Duration};

use diesel::result::QueryResult;
use log::warn;

use crate::{
    connection_id::ConnectionId,
    deadline::Deadline,
    driver::{
        Driver,
        retry::{ask_again, pauses},
    },
    error::NamedLockError,
    log_target::TARGET,
    name::LockName,
    names::Names,
    slots::Slots,
    statement::{
        acquire,
        slots::{Answer, CountHeld, Enter, Entered, FirstHeld, TakeSlot},
    },
};

use super::{
    Hold, Request,
    ask::who_am_i,
    waiting::{explain_failed, timed_out},
};

/// The pauses between two looks at the slots, by the session that is first in line.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

impl Hold {
    /// Acquires this many slots, any of them.
    pub(super) async fn acquire_slots<D: Driver<C>, C>(
        &mut self,
        conn: &mut C,
        slots: &Arc<Slots>,
        wanted: usize,
        request: &Request,
    ) -> Result<(), NamedLockError> {
        let pause = match self.enter::<D, C>(conn, slots, wanted, request.deadline).await? {
            Answer::Slot(_) => Duration::ZERO,
            Answer::Full => FIRST_PAUSE,
            Answer::Busy => {
                self.get_lock::<D, C>(conn, request.deadline, request.first_wait).await?;
                self.held = 1;
                Duration::ZERO
            }
            Answer::HeldBefore if request.reentrant && wanted == 1 => {
                return self.borrow_slot::<D, C>(conn, slots).await;
            }
            Answer::HeldBefore => return Err(already_held(slots, self.session)),
            Answer::UnderPseudoId => {
                return Err(self.refuse_pseudo_id::<D, C>(conn, slots.turnstile().clone(), request.deadline).await);
            }
            Answer::SlotOnly(_) | Answer::Unclear => return Err(interrupted(slots.turnstile(), request.deadline)),
        };
        self.take_slots::<D, C>(conn, slots, wanted, request.deadline, pause).await?;
        (self.in_doubt, self.was_free) = (false, false);
        Ok(())
    }

    /// Tries once, without waiting.
    async fn enter<D: Driver<C>, C>(
        &mut self,
        conn: &mut C,
        slots: &Arc<Slots>,
        wanted: usize,
        deadline: Deadline,
    ) -> Result<Answer, NamedLockError> {
        self.names = Names::One(slots.turnstile().clone());
        self.slots = Some(slots.clone());
        let is_last = wanted == 1;
        // Without a wait, another section that is just passing the turnstile would look as if no slot were free.
        let mut pauses = pauses().take(if deadline.waits() { 0 } else { 5 });
        let Entered { answer, session, beyond } = loop {
            self.in_doubt = true;
            match (ask_to_enter::<D, C>(conn, slots, is_last).await, pauses.next()) {
                (Ok(Entered { answer: Answer::Busy, session, .. }), Some(pause)) => {
                    // What the session will hold of this family, it acquires here.
                    (self.was_free, self.session) = (true, session);
                    D::pause(pause).await;
                }
                (Ok(entered), _) => break entered,
                (Err(error), _) => {
                    return Err(explain_failed::<D, C>(conn, slots.turnstile(), deadline, error).await);
                }
            }
        };
        if let Some(other) = beyond {
            warn_of_more(slots, other);
        }
        self.session = session;
        match answer {
            Answer::Slot(slot) => {
                self.held = usize::from(!is_last);
                self.append(slots.slots()[slot].clone());
                self.hold_next(slots, is_last);
            }
            Answer::Full => self.held = 1,
            Answer::Busy => self.was_free = true,
            Answer::HeldBefore => {}
            Answer::UnderPseudoId | Answer::SlotOnly(_) | Answer::Unclear => return Ok(answer),
        }
        self.in_doubt = false;
        Ok(answer)
    }

    /// In the turn, until this many slots are held.
    async fn take_slots<D: Driver<C>, C>(
        &mut self,
        conn: &mut C,
        slots: &Slots,
        wanted: usize,
        deadline: Deadline,
        mut pause: Duration,
    ) -> Result<(), NamedLockError> {
        let mut turn = 0;
        while self.slots.is_some() {
            // The turnstile is held, too.
            let is_last = self.held == wanted;
            let mut others: Vec<_> = (0..slots.slots().len()).filter(|&slot| !self.has(&slots.slots()[slot])).collect();
            // Another one is awaited each time.
            let first = turn % others.len();
            others.rotate_left(first);
            let awaited = &slots.slots()[others[0]];
            if !pause.is_zero() && deadline.has_passed() {
                return Err(timed_out(awaited.clone(), deadline));
            }
            (self.in_doubt, self.was_free) = (true, true);
            let pause_now = deadline.at_most(pause).as_secs_f64();
            let question = TakeSlot { slots, others: &others, pause: pause_now, is_last };
            let (answer, session) = match D::ask(conn, &question).await {
                Ok(answer) => answer,
                Err(error) => return Err(explain_failed::<D, C>(conn, awaited, deadline, error).await),
            };
            match answer {
                Answer::Slot(slot) => {
                    self.check_slot::<D, C>(conn, &slots.slots()[slot], session, deadline).await?;
                    self.hold_next(slots, is_last);
                    pause = Duration::ZERO;
                }
                Answer::SlotOnly(slot) => {
                    // A proxy has released the turnstile in vain in another session, which may hold the slot.
                    self.check_slot::<D, C>(conn, &slots.slots()[slot], session, deadline).await?;
                    return Err(interrupted(awaited, deadline));
                }
                Answer::Full => pause = (pause * 3 / 2).clamp(FIRST_PAUSE, LONGEST_PAUSE),
                _ => return Err(interrupted(awaited, deadline)),
            }
            self.in_doubt = false;
            turn += 1;
        }
        Ok(())
    }

    fn has(&self, name: &LockName) -> bool {
        self.names.as_slice()[..self.held].contains(name)
    }

    /// A proxy may have acquired it in another session than the turnstile.
    async fn check_slot<D: Driver<C>, C>(
        &mut self,
        conn: &mut C,
        slot: &LockName,
        session: ConnectionId,
        deadline: Deadline,
    ) -> Result<(), NamedLockError> {
        self.append(slot.clone());
        self.check_answer::<D, C>(conn, acquire::Answer::Granted(session), deadline).await
    }

    /// Makes this the next name after those that are held.
    fn append(&mut self, name: LockName) {
        let held = &self.names.as_slice()[..self.held];
        self.names = held.iter().cloned().chain([name]).collect::<Vec<_>>().into();
    }

    /// The next name is held, a slot. `is_last`: the turnstile was released.
    fn hold_next(&mut self, slots: &Slots, is_last: bool) {
        self.held += 1;
        if is_last {
            let without = self.names.as_slice().iter().filter(|name| *name != slots.turnstile());
            self.names = without.cloned().collect::<Vec<_>>().into();
            (self.held, self.slots) = (self.names.as_slice().len(), None);
        }
    }

    /// The inner section runs under the slot of the outer one.
    async fn borrow_slot<D: Driver<C>, C>(&mut self, conn: &mut C, slots: &Slots) -> Result<(), NamedLockError> {
        let held = self.first_held::<D, C>(conn, slots.slots(), self.session).await;
        match held {
            Ok(Some(slot)) => {
                self.append(slots.slots()[slot].clone());
                self.hold_next(slots, true);
                self.borrowed.push(0);
                Ok(())
            }
            Ok(None) => Err(already_held(slots, self.session)),
            Err(source) => {
                // No lock is in doubt, but the connection is.
                self.kill::<D, C>(conn).await;
                Err(NamedLockError::Broken { name: slots.turnstile().clone(), source })
            }
        }
    }

    /// The inner section runs under the turnstile of the outer one, which holds all slots, too. Returns whether there is one.
    pub(super) async fn borrow_turnstile<D: Driver<C>, C>(
        &mut self,
        conn: &mut C,
        slots: &Slots,
    ) -> Result<bool, NamedLockError> {
        self.names = Names::One(slots.turnstile().clone());
        let is_outer = self.is_held_before::<D, C>(conn, 0).await?;
        if is_outer {
            self.borrowed.push(0);
            self.held = 1;
        }
        // Of this name only, and others are asked for together with it.
        self.was_free = false;
        Ok(is_outer)
    }

    /// Refuses an upgrade before it waits: two of them would wait for each other.
    pub(super) async fn refuse_upgrade<D: Driver<C>, C>(
        &mut self,
        conn: &mut C,
        slots: &Slots,
    ) -> Result<(), NamedLockError> {
        match ask_again::<D, C, _>(conn, &CountHeld { names: slots.all() }).await {
            Ok((count, _)) if count <= self.held => Ok(()),
            Ok((_, session)) => Err(already_held(slots, session)),
            Err(source) => {
                self.kill::<D, C>(conn).await;
                Err(NamedLockError::Broken { name: self.name(self.held).clone(), source })
            }
        }
    }

    async fn first_held<D: Driver<C>, C>(
        &self,
        conn: &mut C,
        names: &[LockName],
        session: ConnectionId,
    ) -> QueryResult<Option<usize>> {
        ask_again::<D, C, _>(conn, &FirstHeld { names, session: session.get() }).await
    }

    /// After a statement with no clear answer, any of the locks may be held.
    ///
    /// Those that the session did not hold before are released. Otherwise, they may belong to an outer section, as a single lock may
    /// (see [`settle`](Self::settle)).
    pub(super) async fn settle_slots<D: Driver<C>, C>(&mut self, conn: &mut C, slots: &Slots) {
        let Ok(session) = who_am_i::<D, C>(conn).await else { return self.kill::<D, C>(conn).await };
        while !self.killed {
            let others: Vec<_> = slots.all().iter().filter(|name| !self.has(name)).cloned().collect();
            match self.first_held::<D, C>(conn, &others, session).await {
                Ok(None) => break,
                Ok(Some(index)) if self.was_free && session == self.session => {
                    self.append(others[index].clone());
                    self.held += 1;
                }
                _ => self.kill::<D, C>(conn).await,
            }
        }
    }
}

/// By the smallest statement that has as many attempts.
async fn ask_to_enter<D: Driver<C>, C>(conn: &mut C, slots: &Slots, is_last: bool) -> QueryResult<Entered> {
    match (slots.slots().len(), is_last) {
        (..=4, true) => D::ask(conn, &Enter::<4, true>(slots)).await,
        (..=4, false) => D::ask(conn, &Enter::<4, false>(slots)).await,
        (..=16, true) => D::ask(conn, &Enter::<16, true>(slots)).await,
        (..=16, false) => D::ask(conn, &Enter::<16, false>(slots)).await,
        (_, true) => D::ask(conn, &Enter::<64, true>(slots)).await,
        (_, false) => D::ask(conn, &Enter::<64, false>(slots)).await,
    }
}

fn already_held(slots: &Slots, session: ConnectionId) -> NamedLockError {
    NamedLockError::AlreadyHeld { name: slots.family.clone(), connection_id: Some(session) }
}

fn interrupted(name: &LockName, deadline: Deadline) -> NamedLockError {
    NamedLockError::Interrupted { name: name.clone(), waited: deadline.elapsed(), source: None }
}

fn warn_of_more(slots: &Slots, session: ConnectionId) {
    let (beyond, count, connection) = (&slots.beyond, slots.slots().len(), session.get());
    warn!(
        target: TARGET, connection;
        "`{beyond}` is held by connection {connection}, although there are {count} permits: another program uses a larger \
         number, and so many sections may run at once"
    );
}
