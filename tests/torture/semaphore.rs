//! Permits and shared locks by hand: slots behind a turnstile, right as long as nobody kills anything.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    by_hand::{acquire_all, get_lock, release},
    history::Outcome,
    locking::{Conn, Locking},
    subject::Subject,
};

/// So many may share a lock. (Of this crate's, 64 may; an exclusive section would take long.)
const SHARED: usize = 8;

const PAUSE: Duration = Duration::from_millis(1);

/// What is held then.
pub fn acquire(
    locking: Locking,
    conn: &mut Conn,
    subject: &Subject,
    timeout: Duration,
) -> Result<Vec<String>, Outcome> {
    let start = Instant::now();
    let (mut turnstile, mut slots) = (subject.family().to_vec(), Vec::new());
    slots.extend(turnstile.drain(1..).take(SHARED));
    if let (Locking::OnePermitTooMany, Subject::Permits { .. }) = (locking, subject) {
        slots.push(turnstile[0].replace("#wait", "#more"));
    }
    acquire_all(locking, conn, &turnstile, timeout)?;
    let wanted = match subject {
        Subject::Exclusive if locking == Locking::ExclusiveBesideShared => return Ok(turnstile),
        Subject::Exclusive => {
            let acquired = acquire_all(locking, conn, &slots, timeout.saturating_sub(start.elapsed()));
            if let Err(outcome) = acquired {
                release(locking, conn, &turnstile);
                return Err(outcome);
            }
            return Ok([turnstile, slots].concat());
        }
        Subject::Permits { wanted, .. } => *wanted as usize,
        Subject::Shared | Subject::Locks(_) => 1,
    };
    let mut held = Vec::new();
    loop {
        take_free(locking, conn, &mut slots, &mut held, wanted);
        if held.len() == wanted {
            release(locking, conn, &turnstile);
            return Ok(held);
        }
        if start.elapsed() > timeout {
            release(locking, conn, &held);
            if locking != Locking::TurnstileKept {
                release(locking, conn, &turnstile);
            }
            return Err(Outcome::Timeout);
        }
        thread::sleep(PAUSE);
    }
}

/// Moves the slots that are free to those that are held.
fn take_free(locking: Locking, conn: &mut Conn, slots: &mut Vec<String>, held: &mut Vec<String>, wanted: usize) {
    slots.retain(|slot| {
        let is_taken = held.len() < wanted && get_lock(locking, conn, slot, Duration::ZERO);
        held.extend(is_taken.then(|| slot.clone()));
        !is_taken
    });
}
