//! Slots behind a turnstile. What one statement does to several locks is noted lock by lock.

use super::*;
use crate::{
    slots::Slots,
    statement::slots::{Answer, CountHeld, Enter, Entered, FirstHeld, TakeSlot},
};

fn is_held_by_own(server: &Server, name: &LockName) -> bool {
    server.holders.get(name.as_str()).is_some_and(|(holder, _)| *holder == OWN)
}

fn enter(server: &mut Server, slots: &Slots, is_last: bool) -> Entered {
    let answer = if slots.all().iter().any(|name| is_held_by_own(server, name)) {
        Answer::HeldBefore
    } else if get_lock_for(server, OWN, slots.turnstile()) == acquire::Answer::Busy {
        Answer::Busy
    } else {
        take_slot(server, slots, 0..slots.slots().len(), is_last)
    };
    Entered { answer, session: OWN, beyond: None }
}

fn take_slot(server: &mut Server, slots: &Slots, mut tried: impl Iterator<Item = usize>, is_last: bool) -> Answer {
    let granted = acquire::Answer::Granted(OWN);
    let slot = tried.find(|&slot| get_lock_for(server, OWN, &slots.slots()[slot]) == granted);
    if slot.is_some() && is_last {
        release_for(server, OWN.get(), slots.turnstile());
    }
    slot.map_or(Answer::Full, Answer::Slot)
}

fn answers(tried: &[usize]) -> impl Iterator<Item = Answer> + use<'_> {
    let others = [Answer::Full, Answer::Busy, Answer::HeldBefore, Answer::UnderPseudoId, Answer::Unclear];
    tried.iter().take(2).copied().map(Answer::Slot).chain(others)
}

fn entered(slots: &Slots) -> Vec<Entered> {
    let tried: Vec<_> = (0..slots.slots().len()).collect();
    let lies = answers(&tried).map(|answer| Entered { answer, session: OWN, beyond: None });
    lies.chain([Entered { answer: Answer::Slot(0), session: OTHER, beyond: Some(OTHER) }]).collect()
}

fn taken(others: &[usize]) -> Vec<(Answer, ConnectionId)> {
    let elsewhere = [(Answer::Slot(others[0]), OTHER), (Answer::SlotOnly(others[0]), OTHER)];
    answers(others).chain([Answer::SlotOnly(others[0])]).map(|answer| (answer, OWN)).chain(elsewhere).collect()
}

fn each(names: &[LockName], answer: Option<acquire::Answer>) -> Vec<Said> {
    names.iter().map(|name| Said::GetLock(name.to_string(), answer)).collect()
}

/// Whatever the session holds afterwards, it did not hold before.
fn none_held_before(names: &[LockName]) -> impl Iterator<Item = Said> + use<'_> {
    let free = Some(Holding { asker: OWN, holder: None, in_transaction: false });
    names.iter().map(move |name| Said::WhoHolds(name.to_string(), free))
}

fn said_of_slot(slots: &Slots, slot: usize, session: ConnectionId, is_last: bool) -> Vec<Said> {
    let granted = Said::GetLock(slots.slots()[slot].to_string(), Some(acquire::Answer::Granted(session)));
    let released = Said::Release(slots.turnstile().to_string(), Some(release::Answer::Released));
    [granted].into_iter().chain(is_last.then_some(released)).collect()
}

fn said_of_entering(slots: &Slots, entered: Option<&Entered>, is_last: bool) -> Vec<Said> {
    use acquire::Answer::{Busy, Granted, GrantedUnderPseudoId, HeldBefore, Unclear};
    let Some(Entered { answer, session, .. }) = entered else { return each(slots.all(), None) };
    let at_turnstile = |answer| Said::GetLock(slots.turnstile().to_string(), Some(answer));
    let acquired = match answer {
        Answer::SlotOnly(_) | Answer::Unclear => return each(slots.all(), Some(Unclear)),
        Answer::HeldBefore => return each(slots.all(), Some(HeldBefore(*session))),
        Answer::UnderPseudoId => return vec![at_turnstile(GrantedUnderPseudoId)],
        Answer::Busy => vec![at_turnstile(Busy)],
        Answer::Full => vec![at_turnstile(Granted(*session))],
        Answer::Slot(slot) => {
            let passed = [at_turnstile(Granted(*session))];
            passed.into_iter().chain(said_of_slot(slots, *slot, *session, is_last)).collect()
        }
    };
    none_held_before(slots.all()).chain(acquired).collect()
}

fn said_of_taking(question: &TakeSlot<'_>, answer: Option<&(Answer, ConnectionId)>) -> Vec<Said> {
    let others: Vec<_> = question.others.iter().map(|&slot| question.slots.slots()[slot].clone()).collect();
    match answer {
        None => each(&others, None),
        Some((Answer::Slot(slot), session)) => said_of_slot(question.slots, *slot, *session, question.is_last),
        Some((Answer::SlotOnly(slot), session)) => said_of_slot(question.slots, *slot, *session, false),
        Some((Answer::Full, _)) => each(&others, Some(acquire::Answer::Busy)),
        Some(_) => each(&others, Some(acquire::Answer::Unclear)),
    }
}

/// Those behind the first one are not known.
fn said_of_first_held(question: &FirstHeld<'_>, answer: Option<&Option<usize>>) -> Vec<Said> {
    let asker = ConnectionId::from(question.session);
    let known = answer.map_or(0, |held| held.map_or(question.names.len(), |held| held + 1));
    let holding = |index| {
        answer.map(|held| {
            let holder = (*held == Some(index)).then_some(asker);
            Holding { asker, holder, in_transaction: false }
        })
    };
    let names = question.names[..known].iter().enumerate();
    names.map(|(index, name)| Said::WhoHolds(name.to_string(), holding(index))).collect()
}

impl<const SIZE: usize, const IS_LAST: bool> Scripted for Enter<'_, SIZE, IS_LAST> {
    fn honest(&self, server: &mut Server) -> Box<dyn Any> {
        Box::new(enter(server, self.0, IS_LAST))
    }

    fn lies(&self) -> Vec<Box<dyn Any>> {
        entered(self.0).into_iter().map(|lie| Box::new(lie) as Box<dyn Any>).collect()
    }

    fn said(&self, answer: Option<&dyn Any>) -> Vec<Said> {
        said_of_entering(self.0, answer.and_then(|answer| answer.downcast_ref()), IS_LAST)
    }
}

scripted! {
    TakeSlot<'_>: (self, server, answer) => {
            (take_slot(server, self.slots, self.others.iter().copied(), self.is_last), OWN)
        },
        taken(self.others), said_of_taking(self, answer);
    FirstHeld<'_>: (self, server, answer) => self.names.iter().position(|name| is_held_by_own(server, name)),
        vec![None, Some(0)], said_of_first_held(self, answer);
    CountHeld<'_>: (self, server, _answer) => (self.names.iter().filter(|name| is_held_by_own(server, name)).count(), OWN),
        vec![], [Said::Else];
}
