//! What was said in a section, lock by lock, and what it proves.

use crate::{
    connection_id::ConnectionId,
    driver::script::{OTHER, OWN, Said},
    statement::{acquire, release},
};

/// What was said of one lock, in order.
pub(super) struct Story<'a> {
    pub(super) name: &'a str,
    pub(super) said: &'a [Said],
}

impl Story<'_> {
    pub(super) fn is_of(&self, said: &Said) -> bool {
        match said {
            Said::GetLock(name, _) | Said::WhoHolds(name, _) | Said::Release(name, _) => name == self.name,
            Said::GetLocks(names, _) => names.iter().any(|name| name == self.name),
            _ => false,
        }
    }

    fn last_release(&self) -> Option<&Said> {
        self.said.iter().rev().find(|said| matches!(said, Said::Release(name, _) if name == self.name))
    }

    /// The answer, if the lock was asked for.
    pub(super) fn asked_for(&self, said: &Said) -> Option<Option<acquire::Answer>> {
        match said {
            Said::GetLock(name, answer) if name == self.name => Some(*answer),
            Said::GetLocks(names, answer) => {
                let index = names.iter().position(|name| name == self.name)?;
                // Those beyond the number were not asked for.
                Some(answer.map(|(count, answer)| if index < count { answer } else { acquire::Answer::Busy }))
            }
            _ => None,
        }
    }

    /// The session to which any lock was granted.
    fn granted_to(said: &Said) -> Option<ConnectionId> {
        use acquire::Answer::Granted;
        match said {
            Said::GetLock(_, Some(Granted(session))) | Said::GetLocks(_, Some((_, Granted(session)))) => Some(*session),
            _ => None,
        }
    }

    /// Of locks that were asked for together, without a clear answer, or in another session than those before: the first one. If that
    /// is not held, none is.
    fn first_of(&self, at: usize) -> &str {
        let Said::GetLocks(names, answer) = &self.said[at] else { return self.name };
        let is_unclear = matches!(answer, None | Some((_, acquire::Answer::Unclear)));
        let session = Self::granted_to(&self.said[at]);
        let is_another = self.said[..at].iter().filter_map(Self::granted_to).any(|before| Some(before) != session);
        if is_unclear || is_another { &names[0] } else { self.name }
    }

    /// After the last statement that may have got the lock, the server has said that the session does not hold it to which it
    /// was granted, or else this one.
    pub(super) fn is_known_to_be_free(&self) -> bool {
        use acquire::Answer::{Busy, Granted, GrantedUnderPseudoId, HeldBefore};
        let (mut free, mut holder, mut under_pseudo_id, mut granted_to) = (true, None, false, None);
        let mut first = self.name;
        for (at, said) in self.said.iter().enumerate() {
            match (self.asked_for(said), said) {
                (Some(Some(Busy | HeldBefore(_))), _) => {}
                (Some(answer), _) => {
                    free = false;
                    first = self.first_of(at);
                    granted_to = if let Some(Granted(session)) = answer { Some(session) } else { None };
                    under_pseudo_id = answer == Some(GrantedUnderPseudoId);
                }
                (None, Said::WhoAmI(Some(Some(id)))) => {
                    free |=
                        granted_to.is_none_or(|session| session == OWN) && holder.is_some_and(|holder| holder != *id);
                }
                (None, Said::WhoHolds(name, Some(found))) if name == first || name == self.name => {
                    holder = found.holder;
                    free |= match granted_to {
                        Some(session) => holder != Some(session),
                        None => holder.is_none() || holder == Some(OTHER) && found.asker == OWN,
                    };
                }
                (None, said) if !self.is_of(said) => {}
                // The session had held it before.
                (None, Said::Release(_, Some(release::Answer::HeldAgain))) if under_pseudo_id => free = true,
                (None, Said::Release(_, Some(release::Answer::Released | release::Answer::NotHeld))) => free = true,
                _ => {}
            }
        }
        free
    }

    pub(super) fn was_granted(&self) -> bool {
        self.said.iter().any(|said| matches!(self.asked_for(said), Some(Some(acquire::Answer::Granted(_)))))
    }

    pub(super) fn was_granted_elsewhere(&self) -> bool {
        let is_elsewhere = |answer| matches!(answer, Some(acquire::Answer::Granted(session)) if session != OWN);
        self.said.iter().filter_map(|said| self.asked_for(said)).any(is_elsewhere)
    }

    /// An outer section's: it was seen to be held by the session that asked, before anything was asked for.
    pub(super) fn is_outer(&self) -> bool {
        let first = self.said.iter().find(|said| self.is_of(said));
        matches!(first, Some(Said::WhoHolds(_, Some(found))) if found.is_asker())
    }

    pub(super) fn is_confirmed(&self) -> bool {
        use release::Answer::{HeldAgain, NotHeld, Released};
        match self.last_release() {
            Some(Said::Release(_, Some(Released))) => true,
            Some(Said::Release(_, Some(NotHeld))) => {
                self.said.iter().any(|said| matches!(said, Said::Release(name, Some(HeldAgain)) if name == self.name))
            }
            Some(_) => false,
            // An outer section's, of the session that was seen to hold it at the beginning, and again at the end.
            None => {
                let mut looks = self.said.iter().filter_map(|said| match said {
                    Said::WhoHolds(name, Some(found)) if name == self.name => Some(found),
                    _ => None,
                });
                let first = looks.next();
                first.is_some_and(|first| looks.next_back().is_some_and(|last| last.holder == Some(first.asker)))
            }
        }
    }
}
