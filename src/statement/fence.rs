//! The last fencing token of each lock: the table `named_lock_fences`, as this crate's migration makes it.

use diesel::{
    mysql::Mysql,
    query_builder::{AstPass, Query, QueryFragment},
    result::QueryResult,
    sql_types::{BigInt, Binary, Bool, Unsigned},
};

use super::{
    Statement,
    ask_again::{Failed, Unless, again},
    cached, push_name,
    transaction::{commit, commit_again},
};
use crate::{driver::Driver, name::LockName};

/// `LAST_INSERT_ID(value)` is `value` itself, which `LAST_INSERT_ID()` then tells (MySQL manual, "Information Functions").
struct SpendToken<'a> {
    key: &'a [u8],
}

pub(crate) struct AskToken<'a> {
    lock: &'a LockName,
}

/// Not `FOR SHARE`, which MariaDB does not know (MariaDB manual, "LOCK IN SHARE MODE").
struct LockToken<'a> {
    key: &'a [u8],
}

impl QueryFragment<Mysql> for SpendToken<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("INSERT INTO named_lock_fences (name, token) VALUES (");
        out.push_bind_param::<Binary, _>(self.key)?;
        out.push_sql(", LAST_INSERT_ID(1)) ON DUPLICATE KEY UPDATE token = LAST_INSERT_ID(token + 1)");
        Ok(())
    }
}

impl QueryFragment<Mysql> for AskToken<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("LAST_INSERT_ID(), @@autocommit, IS_USED_LOCK(");
        push_name(&mut out, self.lock)?;
        out.push_sql(") <=> CONNECTION_ID()");
        Ok(())
    }
}

impl QueryFragment<Mysql> for LockToken<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("SELECT token FROM named_lock_fences WHERE name = ");
        out.push_bind_param::<Binary, _>(self.key)?;
        out.push_sql(" LIMIT 1 FOR UPDATE");
        Ok(())
    }
}

impl Query for AskToken<'_> {
    type SqlType = (Unsigned<BigInt>, BigInt, Bool);
}

impl Query for LockToken<'_> {
    type SqlType = Unsigned<BigInt>;
}

cached!(
    SpendToken<'_> => SpendToken<'static>,
    AskToken<'_> => AskToken<'static>,
    LockToken<'_> => LockToken<'static>,
);

impl Statement for AskToken<'_> {
    type Row = (u64, i64, bool);
    type Answer = Self::Row;

    fn read(&self, row: Self::Row) -> Self::Answer {
        row
    }
}

/// A token, and whether this session holds the lock that it is of.
pub(crate) struct Spent {
    pub(crate) token: u64,
    pub(crate) is_held: bool,
}

/// The next token of this lock, committed. A transaction that raw SQL has begun is committed first, so that a failure here undoes nothing
/// of the application's. MySQL has no variable that tells whether there is one.
///
/// Both statements are asked again if one fails: a token that is spent twice does no harm, and after an error, what
/// `LAST_INSERT_ID()` says is undefined (MySQL manual, "Information Functions").
pub(crate) async fn next_token<D: Driver<C>, C>(conn: &mut C, lock: &LockName, key: &[u8]) -> Result<Spent, Failed> {
    commit_again::<D, C>(conn).await?;
    again!(D, conn, Unless::Undone, spend_token::<D, C>(conn, lock, key).await)
}

async fn spend_token<D: Driver<C>, C>(conn: &mut C, lock: &LockName, key: &[u8]) -> QueryResult<Spent> {
    D::change(conn, SpendToken { key }).await?;
    let (token, autocommit, is_held) = D::ask(conn, &AskToken { lock }).await?;
    if autocommit == 0 {
        commit::<D, C>(conn).await?;
    }
    Ok(Spent { token, is_held })
}

/// The newest token of this lock, which stays the newest until the transaction around this ends.
pub(crate) async fn locked_token<D: Driver<C>, C>(conn: &mut C, key: &[u8]) -> Result<Option<u64>, Failed> {
    let tokens: Vec<u64> = again!(D, conn, Unless::Struck, D::rows(conn, LockToken { key }).await)?;
    Ok(tokens.into_iter().next())
}
