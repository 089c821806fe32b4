//! Several locks at once: those that are free are acquired by one statement, and released by one.

use std::iter;

use crate::{
    deadline::Deadline,
    driver::{Driver, error_number::error_number},
    error::NamedLockError,
    statement::{
        acquire::Answer,
        release,
        several::{GetLocks, MOST, ReleaseLocks},
    },
};

use super::{
    Hold,
    ask::holds_lock,
    release::ask_to_release,
    waiting::{MYSQL_TIME_LIMIT, explain},
};

impl Hold {
    /// Acquires the next `count` locks up to the first that is not free, and returns how many.
    ///
    /// After an error, all of them are in doubt or none: if this session does not hold the first one, none was granted.
    pub(super) async fn get_free_locks<D: Driver<C>, C>(
        &mut self,
        conn: &mut C,
        count: usize,
        deadline: Deadline,
    ) -> Result<usize, NamedLockError> {
        self.in_doubt = true;
        let question = GetLocks { names: &self.names.as_slice()[self.held..][..count] };
        match D::ask(conn, &question).await {
            Ok((_, Answer::Busy)) => Ok(0),
            Ok((acquired, answer)) => {
                self.check_answer::<D, C>(conn, answer, deadline).await?;
                Ok(acquired)
            }
            Err(error) => {
                let (number, first) = (error_number::<D, C>(conn, &error).await, self.name(self.held));
                match number {
                    // The session's `max_execution_time`. A wait overrides it.
                    Some(MYSQL_TIME_LIMIT)
                        if deadline.waits() && matches!(holds_lock::<D, C>(conn, first).await, Ok(false)) =>
                    {
                        Ok(0)
                    }
                    number => Err(explain(first, deadline, number, error)),
                }
            }
        }
    }

    /// Releases the last locks, as many as fit into one statement.
    pub(super) async fn release_several<D: Driver<C>, C>(&mut self, conn: &mut C) -> Result<(), NamedLockError> {
        let first = self.held.saturating_sub(MOST);
        let release = ReleaseLocks { names: &self.names.as_slice()[first..self.held], session: self.session.get() };
        let (answers, mut struck) = ask_to_release::<D, C, _>(conn, &release).await;
        let answers = match answers {
            Ok(answers) => answers,
            Err(error) => {
                let lost = self.lost(self.held - 1, Some(struck.unwrap_or(error)));
                self.kill::<D, C>(conn).await;
                return Err(lost);
            }
        };
        let mut released = Ok(());
        for (index, answer) in iter::zip((first..self.held).rev(), answers) {
            let this = match answer {
                release::Answer::Released => Ok(()),
                release::Answer::NotHeld => Err(self.lost(index, struck.take())),
                // Held more than once, or under a pseudo id.
                release::Answer::HeldAgain => self.release_held::<D, C>(conn, index, true).await,
                release::Answer::OtherSession => self.release_held::<D, C>(conn, index, false).await,
            };
            self.held = index;
            released = released.and(this);
        }
        released
    }
}
