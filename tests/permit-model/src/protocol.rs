//! The protocol of permits, as clients follow it.
//!
//! A statement runs lock by lock, and steps of other clients come between. What holds then, holds for atomic statements, too.

use crate::{
    scenario::{Flaw, Scenario},
    server::{Client, Lock, TURNSTILE},
    state::{End, Phase, State, Struck},
};

impl Scenario {
    /// Runs the client's own next step: a step of its statement, or what it does after the answer.
    pub fn step(&self, state: &mut State, client: Client) {
        let phase = state.phases[client];
        if !state.server.is_alive(client) {
            state.phases[client] = self.after_death(phase);
            return;
        }
        state.phases[client] = match phase {
            Phase::Idle => self.first_statement(state, client),
            Phase::Entering | Phase::Head => self.pass(state, client),
            Phase::Busy => wait_for_turnstile(state, client),
            Phase::Queued if !state.server.holds(client, TURNSTILE) => phase,
            Phase::Queued if self.is_exclusive(client) => Phase::Climbing,
            Phase::Queued => Phase::Head,
            Phase::Climbing => self.climb(state, client),
            Phase::Working if self.holds_all(state, client) => Phase::Releasing,
            Phase::Working => clean(state, client, End::Lost),
            Phase::Reentering => self.reenter(state, client),
            Phase::Releasing => release(state, client, End::Ok),
            Phase::Cleaning(end) => release(state, client, end),
            Phase::Asking(struck) => self.after_question(state, client, struck),
            Phase::Ended(End::Ok) if self.endless => Phase::Idle,
            Phase::Ended(_) => phase,
        };
    }

    /// Returns the slots that ENTER, or a poll of the head, may find free. It may find any of them, because a statement tries
    /// each slot at a moment of its own.
    pub fn free_slots(&self, state: &State, client: Client) -> Vec<Lock> {
        let tries = matches!(state.phases[client], Phase::Entering | Phase::Head)
            && state.server.is_alive(client)
            && !state.has_all_slots(self, client);
        self.slots(client).filter(|slot| tries && state.server.is_free(*slot)).collect()
    }

    fn first_statement(&self, state: &mut State, client: Client) -> Phase {
        if self.is_exclusive(client) && self.has(Flaw::ExclusiveWithoutTurnstile) {
            return self.climb(state, client);
        }
        if self.is_exclusive(client) {
            return wait_for_turnstile(state, client);
        }
        if self.has(Flaw::SlotsBeforeTurnstile) && self.slots(client).any(|slot| state.server.try_acquire(client, slot))
        {
            return Phase::Entering;
        }
        if state.server.try_acquire(client, TURNSTILE) { Phase::Entering } else { Phase::Busy }
    }

    /// Is refused at once, because the session holds a lock of the family.
    fn reenter(&self, state: &mut State, client: Client) -> Phase {
        if !self.has(Flaw::UpgradeWaits) || self.is_exclusive(client) {
            return Phase::Working;
        }
        if state.server.holds(client, TURNSTILE) {
            state.server.release(client, TURNSTILE);
            return Phase::Working;
        }
        if state.server.waits_for(client).is_none() {
            state.server.wait(client, TURNSTILE);
        }
        Phase::Reentering
    }

    /// Runs what ENTER or a poll does after it has tried the slots.
    fn pass(&self, state: &mut State, client: Client) -> Phase {
        let early = usize::from(self.has(Flaw::TurnstileReleasedBeforeLastSlot));
        let may_pass = state.server.slots_held(client) + early >= self.needs(client);
        if may_pass && state.server.holds(client, TURNSTILE) {
            state.server.release(client, TURNSTILE);
            return state.phases[client];
        }
        if state.has_all_slots(self, client) { Phase::Working } else { Phase::Head }
    }

    fn climb(&self, state: &mut State, client: Client) -> Phase {
        let next = self.slots(client).find(|slot| !state.server.holds(client, *slot));
        match next {
            None => return Phase::Working,
            Some(slot) if state.server.waits_for(client).is_none() => state.server.wait(client, slot),
            Some(_) => {}
        }
        Phase::Climbing
    }

    fn holds_all(&self, state: &State, client: Client) -> bool {
        let turnstile = self.is_exclusive(client) && !self.has(Flaw::ExclusiveWithoutTurnstile);
        state.has_all_slots(self, client) && (!turnstile || state.server.holds(client, TURNSTILE))
    }

    /// Decides what to do about the locks that the session holds, after a statement was struck.
    fn after_question(&self, state: &mut State, client: Client, struck: Struck) -> Phase {
        let holds_any = state.server.last_held(client).is_some();
        match struck {
            Struck::First | Struck::Later if self.has(Flaw::StruckMeansNotHeld) => Phase::Ended(End::Interrupted),
            Struck::First if holds_any => {
                state.server.kill(client);
                Phase::Ended(End::InDoubt)
            }
            Struck::First | Struck::Later => clean(state, client, End::Interrupted),
            Struck::Reentry if self.has(Flaw::StruckReentryReleases) => {
                while let Some(lock) = state.server.last_held(client) {
                    state.server.release(client, lock);
                }
                Phase::Working
            }
            Struck::Reentry => {
                state.server.kill(client);
                Phase::Working
            }
            Struck::Release if self.holds_all(state, client) => Phase::Releasing,
            Struck::Release => clean(state, client, End::Lost),
            Struck::Cleaning(end) => clean(state, client, end),
        }
    }

    /// A client learns of its session's death by its next statement.
    fn after_death(&self, phase: Phase) -> Phase {
        match phase {
            Phase::Reentering | Phase::Asking(Struck::Reentry) => Phase::Working,
            Phase::Working if self.has(Flaw::DeadEndsOk) => Phase::Ended(End::Ok),
            Phase::Working | Phase::Releasing | Phase::Cleaning(End::Lost) => Phase::Ended(End::Lost),
            Phase::Asking(Struck::Release | Struck::Cleaning(End::Lost)) => Phase::Ended(End::Lost),
            Phase::Ended(_) => phase,
            _ => Phase::Ended(End::Failed),
        }
    }
}

fn wait_for_turnstile(state: &mut State, client: Client) -> Phase {
    state.server.wait(client, TURNSTILE);
    Phase::Queued
}

/// Releases the next lock, or reads the answer if there is none.
fn release(state: &mut State, client: Client, end: End) -> Phase {
    let Some(lock) = state.server.last_held(client) else { return Phase::Ended(end) };
    state.server.release(client, lock);
    state.phases[client]
}

pub fn clean(state: &State, client: Client, end: End) -> Phase {
    if state.server.last_held(client).is_some() { Phase::Cleaning(end) } else { Phase::Ended(end) }
}
