//! The last fencing token of each lock: the table `named_lock_fences`, as this crate's migration makes it.

use diesel::{
    RunQueryDsl,
    mysql::Mysql,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    result::{OptionalExtension, QueryResult},
    sql_types::{BigInt, Binary, Unsigned},
};

use super::{
    ask_again::{Failed, Unless, ask},
    transaction,
};
use crate::driver::MysqlSession;

/// `LAST_INSERT_ID(value)` is `value` itself, which `LAST_INSERT_ID()` then tells (MySQL manual, "Information Functions").
struct SpendToken<'a> {
    key: &'a [u8],
}

struct AskToken;

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

impl QueryFragment<Mysql> for AskToken {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        // With a limit, for `sql_select_limit` may be 0.
        out.push_sql("SELECT LAST_INSERT_ID(), @@autocommit LIMIT 1");
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

impl Query for AskToken {
    type SqlType = (Unsigned<BigInt>, BigInt);
}

impl Query for LockToken<'_> {
    type SqlType = Unsigned<BigInt>;
}

impl QueryId for SpendToken<'_> {
    type QueryId = SpendToken<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl QueryId for AskToken {
    type QueryId = Self;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl QueryId for LockToken<'_> {
    type QueryId = LockToken<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<C> RunQueryDsl<C> for SpendToken<'_> {}

impl<C> RunQueryDsl<C> for AskToken {}

impl<C> RunQueryDsl<C> for LockToken<'_> {}

/// The next token of this lock, committed. A transaction that raw SQL has begun is committed first.
///
/// Both statements are asked again if one fails: a token that is spent twice does no harm, and after an error, what
/// `LAST_INSERT_ID()` says is undefined (MySQL manual, "Information Functions").
pub(crate) fn next_token<C: MysqlSession>(conn: &mut C, key: &[u8]) -> Result<u64, Failed> {
    ask(conn, Unless::Interrupted, transaction::commit)?;
    ask(conn, Unless::Undone, |conn| {
        SpendToken { key }.execute(conn)?;
        let (token, autocommit): (u64, i64) = AskToken.get_result(conn)?;
        if autocommit == 0 {
            transaction::commit(conn)?;
        }
        Ok(token)
    })
}

/// The newest token of this lock, which stays the newest until the transaction around this ends.
pub(crate) fn locked_token<C: MysqlSession>(conn: &mut C, key: &[u8]) -> Result<Option<u64>, Failed> {
    ask(conn, Unless::Struck, |conn| LockToken { key }.get_result(conn).optional())
}
