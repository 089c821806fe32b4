//! What was said in a section, lock by lock, and what it proves.

use crate::{
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
        matches!(said, Said::GetLock(name, _) | Said::WhoHolds(name, _) | Said::Release(name, _) if name == self.name)
    }

    fn last_release(&self) -> Option<&Said> {
        self.said.iter().rev().find(|said| matches!(said, Said::Release(name, _) if name == self.name))
    }

    /// The server has granted the lock, or may have.
    fn may_have_been_granted(said: &Said) -> bool {
        use acquire::Answer::{Busy, HeldBefore};
        matches!(said, Said::GetLock(_, answer) if !matches!(answer, Some(Busy | HeldBefore(_))))
    }

    /// After the last statement that may have got the lock, the server has said that the session does not hold it to which it
    /// was granted, or else this one.
    pub(super) fn is_known_to_be_free(&self) -> bool {
        let (mut free, mut holder, mut under_pseudo_id, mut granted_to) = (true, None, false, None);
        for said in self.said {
            match said {
                Said::WhoAmI(Some(Some(id))) => {
                    free |=
                        granted_to.is_none_or(|session| session == OWN) && holder.is_some_and(|holder| holder != *id);
                }
                said if !self.is_of(said) => {}
                said if Self::may_have_been_granted(said) => {
                    free = false;
                    granted_to = match said {
                        Said::GetLock(_, Some(acquire::Answer::Granted(session))) => Some(*session),
                        _ => None,
                    };
                    under_pseudo_id = matches!(said, Said::GetLock(_, Some(acquire::Answer::GrantedUnderPseudoId)));
                }
                // The session had held it before.
                Said::Release(_, Some(release::Answer::HeldAgain)) if under_pseudo_id => free = true,
                Said::Release(_, Some(release::Answer::Released | release::Answer::NotHeld)) => free = true,
                Said::WhoHolds(_, Some(found)) => {
                    holder = found.holder;
                    free |= match granted_to {
                        Some(session) => holder != Some(session),
                        None => holder.is_none() || holder == Some(OTHER) && found.asker == OWN,
                    };
                }
                _ => {}
            }
        }
        free
    }

    pub(super) fn was_granted_elsewhere(&self) -> bool {
        let is_elsewhere = |said: &Said| matches!(said, Said::GetLock(name, Some(acquire::Answer::Granted(session))) if name == self.name && *session != OWN);
        self.said.iter().any(is_elsewhere)
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
