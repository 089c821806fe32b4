//! One section, which may be dropped.

use std::time::Duration;

use diesel_named_lock::{
    GuardError, NamedLockError,
    nonblocking::{NamedLock, NamedLockConnection, OwnedConnection},
};
use testkit::world::SOON;

use super::{
    cut::Cut,
    lock::{Lock, Moment, Progress},
    work::Work,
};

#[derive(Clone, Copy)]
pub struct Section<'a> {
    pub lock: &'a Lock,
    pub timeout: Duration,
    pub work: Work,
    /// By a guard that owns the connection, or on a borrowed one.
    pub is_owned: bool,
}

/// What became of a section.
pub enum Ended<C> {
    ByItself(C, Result<(), NamedLockError>),
    /// The connection is left if it was borrowed.
    Dropped(Option<C>, Moment),
}

impl Section<'_> {
    pub async fn run<C: OwnedConnection>(self, mut conn: C, cut: Cut) -> Ended<C> {
        let progress = Progress::new(self.lock);
        let lock = NamedLock::new(&*self.lock.name).unwrap().timeout(self.timeout);
        if self.is_owned {
            let owned = async {
                let mut guard = lock.acquire(conn).await?;
                self.inside(&mut *guard, &progress).await.expect("the closure");
                guard.release().await
            };
            match cut.apply(owned, || progress.is_about_to_be_dropped()).await {
                Some(Ok(conn)) => Ended::ByItself(conn, Ok(())),
                Some(Err(GuardError { conn, error, .. })) => Ended::ByItself(conn, Err(error)),
                None => Ended::Dropped(None, progress.moment()),
            }
        } else {
            let section = lock.run(&mut conn, async |conn| self.inside(conn, &progress).await);
            match cut.apply(section, || progress.is_about_to_be_dropped()).await {
                Some(outcome) => Ended::ByItself(conn, outcome),
                None => {
                    // Nobody may take it for a sound one, before it is back in its pool.
                    let again = lock.run(&mut conn, async |_| Ok::<_, NamedLockError>(())).await;
                    assert!(matches!(again, Err(NamedLockError::Broken { .. })), "{again:?}");
                    Ended::Dropped(Some(conn), progress.moment())
                }
            }
        }
    }

    async fn inside<C: NamedLockConnection>(self, conn: &mut C, progress: &Progress<'_>) -> Result<(), NamedLockError> {
        progress.enter();
        self.work.run(conn, self.lock).await?;
        progress.leave();
        Ok(())
    }
}

/// Whether it ended as it does if nobody harms it.
pub fn assert_unharmed(outcome: &Result<(), NamedLockError>) {
    assert!(matches!(outcome, Ok(()) | Err(NamedLockError::Timeout { .. })), "{outcome:?}");
}

pub fn random_timeout() -> Duration {
    [Duration::ZERO, Duration::from_millis(3), Duration::from_secs(1), SOON][fastrand::usize(..4)]
}
