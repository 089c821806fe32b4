//! What has to be known of the current database.

use diesel::define_sql_function;

define_sql_function! {
    /// The current database.
    fn database() -> Nullable<Text>;
}
