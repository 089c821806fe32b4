//! A transaction whose rollback may be struck.

use diesel::result::{Error, QueryResult};

use crate::{
    driver::{
        blocking::{Blocking, ready},
        status::{self, NamedLockConnection},
    },
    section::ask::roll_back_plainly,
};

/// Runs `work` inside a transaction, like Diesel's `transaction`. But Diesel does not repeat a `ROLLBACK` that `KILL QUERY` has struck, and
/// treats the connection as broken.
///
/// # Errors
///
/// Returns the error of `work` if the transaction was rolled back, and otherwise Diesel's.
pub(crate) fn transaction<C, T, E, F>(conn: &mut C, work: F) -> Result<T, E>
where
    C: NamedLockConnection,
    E: From<Error>,
    F: FnOnce(&mut C) -> Result<T, E>,
{
    let is_test = status::is_in_test_transaction(conn);
    let (mut error, mut was_sound) = (None, false);
    let outcome = conn.transaction(|conn| {
        let value = work(conn).map_err(|of_work| {
            error = Some(of_work);
            Error::RollbackTransaction
        });
        was_sound = status::depth(conn).is_ok();
        value
    });
    let rolled_back = match &outcome {
        Err(Error::RollbackTransaction) => true,
        // After the closure, only a `ROLLBACK` can have done this.
        Err(_) => was_sound && !is_test && status::depth(conn).is_err() && roll_back(conn).is_ok(),
        Ok(_) => false,
    };
    match (outcome, error) {
        (Ok(value), _) => Ok(value),
        (Err(_), Some(of_work)) if rolled_back => Err(of_work),
        (Err(of_diesel), _) => Err(of_diesel.into()),
    }
}

fn roll_back<C: NamedLockConnection>(conn: &mut C) -> QueryResult<()> {
    ready(roll_back_plainly::<Blocking, C>(conn))?;
    status::set_no_transaction(conn);
    Ok(())
}
