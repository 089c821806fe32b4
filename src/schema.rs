//! The tables that this crate ships, and what has to be known of the database that they are in.

use diesel::{
    define_sql_function,
    dsl::exists,
    prelude::*,
    sql_types::{BigInt, Unsigned},
};

use crate::driver::{self, NamedLockConnection};

diesel::table! {
    named_lock_fences (name) {
        name -> Binary,
        token -> Unsigned<BigInt>,
    }
}

diesel::table! {
    information_schema.tables (table_schema, table_name) {
        table_schema -> Text,
        table_name -> Text,
    }
}

define_sql_function! {
    /// The current database.
    fn database() -> Nullable<Text>;
}

define_sql_function! {
    /// The value that [`remembered`] was given last on this connection.
    fn last_insert_id() -> Unsigned<BigInt>;
}

define_sql_function! {
    /// `value` itself, which [`last_insert_id`] then tells (MySQL manual, "Information Functions").
    #[sql_name = "LAST_INSERT_ID"]
    fn remembered(value: Unsigned<BigInt>) -> Unsigned<BigInt>;
}

/// Whether the current database has no such table. No, where that can't be asked.
///
/// To be asked after a statement has failed: Diesel does not tell the error's number, and its text may be in any language.
pub(crate) fn is_missing<C: NamedLockConnection>(conn: &mut C, table: &str) -> bool {
    let of_this_name =
        tables::table.filter(tables::table_schema.nullable().eq(database())).filter(tables::table_name.eq(table));
    diesel::select(exists(of_this_name)).get_result(conn).inspect_err(|_| driver::forget_statements(conn)) == Ok(false)
}
