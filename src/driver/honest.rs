//! How a server that is as it should be answers each statement of a section, and what else could come.

use std::any::Any;

use crate::{
    connection_id::ConnectionId,
    name::LockName,
    statement::{
        Statement,
        acquire::{self, GetLock, GetLockOnMysql, GetLockOrAskOnce},
        diagnostics::ErrorNumber,
        leftovers::{Leftovers, ReleaseAllLocks},
        ping::Ping,
        process_list::{DescribeSession, Process},
        release::{self, ReleaseLock},
        session_timeouts::{AskTimeouts, Timeouts},
        several::{GetLocks, ReleaseLocks},
        who_am_i::WhoAmI,
        who_holds::{Holding, WhoHolds},
    },
};

use super::script::{OTHER, OWN, SECOND, Said, Scripted, Server};

/// In seconds: the default of both servers.
pub(crate) const WAIT_TIMEOUT: u64 = 28_800;

fn get_lock(server: &mut Server, name: &LockName) -> acquire::Answer {
    let session = if server.proxied == Some(name.as_str()) { SECOND } else { OWN };
    get_lock_for(server, session, name)
}

fn get_lock_for(server: &mut Server, session: ConnectionId, name: &LockName) -> acquire::Answer {
    match server.holders.get(name.as_str()) {
        Some((holder, _)) if *holder == session => acquire::Answer::HeldBefore(session),
        Some(_) => {
            let others_pass = server.others_pass;
            server.holders.retain(|held, _| held != name.as_str() || !others_pass);
            acquire::Answer::Busy
        }
        None => {
            server.holders.insert(name.as_str().to_owned(), (session, 1));
            acquire::Answer::Granted(session)
        }
    }
}

/// A proxy sends the statement to one session.
fn get_locks(server: &mut Server, names: &[LockName]) -> (usize, acquire::Answer) {
    let is_proxied = names.iter().any(|name| server.proxied == Some(name.as_str()));
    let session = if is_proxied { SECOND } else { OWN };
    let granted = acquire::Answer::Granted(session);
    match names.iter().take_while(|name| get_lock_for(server, session, name) == granted).count() {
        0 => (0, acquire::Answer::Busy),
        count => (count, granted),
    }
}

/// For some of the locks, for all, for none, and unclear.
fn several_answers(names: usize) -> Vec<(usize, acquire::Answer)> {
    use acquire::Answer::{Busy, Granted, GrantedUnderPseudoId, Unclear};
    let some = [Granted(OWN), Granted(OTHER)].into_iter().flat_map(|answer| [(1, answer), (names, answer)]);
    some.chain([(0, Busy), (1, GrantedUnderPseudoId), (names, Unclear)]).collect()
}

const ACQUIRE: [acquire::Answer; 6] = [
    acquire::Answer::Granted(OWN),
    acquire::Answer::Granted(OTHER),
    acquire::Answer::GrantedUnderPseudoId,
    acquire::Answer::HeldBefore(OWN),
    acquire::Answer::Busy,
    acquire::Answer::Unclear,
];

/// For each statement: what an honest server does, what else could be answered, and what is noted.
macro_rules! scripted {
    ($($statement:ty: ($self:ident, $server:ident, $answer:ident) => $honest:expr, $lies:expr, $said:expr;)*) => {$(
        impl Scripted for $statement {
            fn honest(&$self, $server: &mut Server) -> Box<dyn Any> {
                Box::new($honest)
            }

            fn lies(&$self) -> Vec<Box<dyn Any>> {
                let lies: Vec<<Self as Statement>::Answer> = $lies;
                lies.into_iter().map(|lie| Box::new(lie) as Box<dyn Any>).collect()
            }

            fn said(&$self, answer: Option<&dyn Any>) -> Vec<Said> {
                let $answer = answer.and_then(|answer| answer.downcast_ref::<<Self as Statement>::Answer>());
                $said.into()
            }
        }
    )*};
}

scripted! {
    GetLock<'_>: (self, server, answer) => get_lock(server, self.name), ACQUIRE.into(),
        [Said::GetLock(self.name.to_string(), answer.copied())];
    GetLockOrAskOnce<'_>: (self, server, answer) => (get_lock(server, self.name), false),
        ACQUIRE.map(|answer| (answer, false)).into_iter().chain([(acquire::Answer::Busy, true)]).collect(),
        [Said::GetLock(self.name.to_string(), answer.map(|(answer, _)| *answer))];
    GetLockOnMysql<'_>: (self, server, answer) => get_lock(server, self.name), ACQUIRE.into(),
        [Said::GetLock(self.name.to_string(), answer.copied())];
    ReleaseLock<'_>: (self, server, answer) => release(server, self), RELEASE.into(),
        [Said::Release(self.name.to_string(), answer.copied())];
    GetLocks<'_>: (self, server, answer) => get_locks(server, self.names), several_answers(self.names.len()),
        [Said::GetLocks(self.names.iter().map(LockName::to_string).collect(), answer.copied())];
    ReleaseLocks<'_>: (self, server, answer) => release_locks(server, self), several_releases(self.names.len()),
        released_each(self.names, answer);
    WhoHolds<'_>: (self, server, answer) => {
            let holder = server.holders.get(self.name.as_str()).map(|(holder, _)| *holder);
            Holding { asker: OWN, holder, in_transaction: false }
        },
        holdings(), [Said::WhoHolds(self.name.to_string(), answer.copied())];
    // No decision of a section hangs on more of these than whether they are answered.
    WhoAmI: (self, _server, answer) => Some(OWN), vec![None, Some(OTHER)], [Said::WhoAmI(answer.copied())];
    ErrorNumber: (self, _server, _answer) => Some(1317), vec![None, Some(1213), Some(3024), Some(1045)],
        [Said::Else];
    AskTimeouts: (self, _server, _answer) => Timeouts { session: OWN.get(), wait: WAIT_TIMEOUT, read: 30, write: 60 }, vec![],
        [Said::Else];
    Ping: (self, _server, _answer) => (), vec![], [Said::Else];
    DescribeSession: (self, _server, _answer) => Process::default().into_holder(OTHER), vec![],
        [Said::Else];
    ReleaseAllLocks: (self, server, _answer) => release_all(server), vec![], [Said::Else];
}

mod slots;

#[cfg(feature = "fence")]
impl Scripted for crate::statement::fence::AskToken<'_> {}

#[cfg(feature = "blocking")]
impl Scripted for crate::statement::held_on::HeldOn<'_> {}

#[cfg(feature = "quorum")]
impl Scripted for crate::statement::whereabouts::AskWhereabouts {}

const RELEASE: [release::Answer; 4] =
    [release::Answer::Released, release::Answer::HeldAgain, release::Answer::NotHeld, release::Answer::OtherSession];

fn release(server: &mut Server, release: &ReleaseLock<'_>) -> release::Answer {
    release_for(server, release.session, release.name)
}

fn release_locks(server: &mut Server, release: &ReleaseLocks<'_>) -> Vec<release::Answer> {
    release.names.iter().rev().map(|name| release_for(server, release.session, name)).collect()
}

/// The same for each of the locks, or something else for the first or the last.
fn several_releases(names: usize) -> Vec<Vec<release::Answer>> {
    use release::Answer::{HeldAgain, NotHeld, OtherSession, Released};
    let mixed = [NotHeld, HeldAgain].into_iter().flat_map(|other| [0, names - 1].map(|at| (at, other)));
    let mixed = mixed.map(|(at, other)| {
        let mut answers = vec![Released; names];
        answers[at] = other;
        answers
    });
    mixed.chain([NotHeld, HeldAgain, OtherSession].map(|answer| vec![answer; names])).collect()
}

fn released_each(names: &[LockName], answers: Option<&Vec<release::Answer>>) -> Vec<Said> {
    let names = names.iter().rev().map(LockName::to_string).enumerate();
    names.map(|(index, name)| Said::Release(name, answers.map(|answers| answers[index]))).collect()
}

fn release_for(server: &mut Server, session: u64, name: &LockName) -> release::Answer {
    if session != OWN.get() {
        return release::Answer::OtherSession;
    }
    match server.holders.get_mut(name.as_str()) {
        Some((holder, count)) if *holder == OWN && *count > 1 => {
            *count -= 1;
            release::Answer::HeldAgain
        }
        Some((holder, _)) if *holder == OWN => {
            server.holders.remove(name.as_str());
            release::Answer::Released
        }
        _ => release::Answer::NotHeld,
    }
}

fn holdings() -> Vec<Holding> {
    let ids = [OWN, OTHER];
    let holders = [None, Some(OWN), Some(OTHER)];
    let of = |asker| holders.map(|holder| Holding { asker, holder, in_transaction: false });
    ids.into_iter().flat_map(of).collect()
}

fn release_all(server: &mut Server) -> Leftovers {
    let before = server.holders.len();
    server.holders.retain(|_, (holder, _)| *holder != OWN);
    Leftovers { session: OWN, locks: (before - server.holders.len()) as u64, in_transaction: Some(false) }
}
