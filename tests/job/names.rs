//! A job and a key are their bytes.

use diesel_named_lock::{
    LockName,
    job::{JobOutcome, SingletonJob},
};

use testkit::world::*;

use crate::database::*;

/// Names that some collation treats as one.
const ALIKE: [&str; 6] = ["report", "Report", "réport", "report ", "report\u{a0}", "re\u{301}port"];

#[test]
fn names_that_differ_are_jobs_that_differ() {
    let (database, prefix) = (database_with_ledger(), fresh("name"));
    let mut conn = database.connect();
    for name in ALIKE {
        let job = SingletonJob::new(format!("{prefix}{name}")).unwrap().at_most_every(HOUR);
        assert_eq!(run(&job, &mut conn).unwrap(), RAN, "{name:?}");
        assert_ne!(run(&job, &mut conn).unwrap(), RAN, "{name:?}");
    }
}

#[test]
fn keys_that_differ_are_runs_that_differ() {
    let (database, job) = (database_with_ledger(), job("alike"));
    let mut conn = database.connect();
    for key in ALIKE {
        let job = job.clone().once_for(key);
        assert_eq!(run(&job, &mut conn).unwrap(), RAN, "{key:?}");
        assert_eq!(run(&job, &mut conn).unwrap(), NEVER_AGAIN, "{key:?}");
    }
}

#[test]
fn the_longest_names_and_keys_fit() {
    let (database, prefix) = (database_with_ledger(), fresh("long"));
    let name = format!("{prefix}{}", "\u{FFFF}".repeat(LockName::MAX_CHARS - prefix.len()));
    let key = "🔒".repeat(63) + "key";
    assert_eq!(key.len(), SingletonJob::MAX_KEY_BYTES);
    let job = SingletonJob::new(name).unwrap().once_for(key);
    let mut conn = database.connect();
    assert_eq!(run(&job, &mut conn).unwrap(), RAN);
    assert_eq!(run(&job, &mut conn).unwrap(), NEVER_AGAIN);
}

/// Another program, which takes the same name, is kept out.
#[test]
fn the_lock_of_a_job_has_its_name() {
    let (database, job) = (database_with_ledger(), job("lock").at_most_every(HOUR));
    let elsewhere = hold_elsewhere(job.name().as_str());
    let outcome = run(&job, &mut database.connect()).unwrap();
    let JobOutcome::Busy(Some(holder)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(holder.connection_id, elsewhere.id);
}
