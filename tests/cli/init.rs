//! `init`.

use testkit::database::database;

use crate::stage;

#[test]
fn it_prints_the_tables_that_are_asked_for_or_all() {
    for (options, fence, jobs) in [
        (&[][..], true, true),
        (&["--fence"], true, false),
        (&["--jobs"], false, true),
        (&["--jobs", "--fence"], true, true),
    ] {
        let database = database();
        stage::init(&database, options);
        let has = ["named_lock_fences", "named_lock_ledger"].map(|table| database.has_table(table));
        assert_eq!(has, [fence, jobs], "{options:?}");
    }
}
