//! `jobs`.

use diesel_named_lock::job::{JobError, JobOutcome, SingletonJob};
use testkit::{database::database, world::id};

use crate::stage::*;

#[test]
fn the_last_run_of_each_job_and_key_is_listed() {
    let database = database();
    init(&database, &["--jobs"]);
    assert_eq!(finish(tool_at(&database.url, &["jobs"])).stdout, "no job has run\n");

    let mut conn = database.connect();
    let own = id(&mut conn);
    let report = SingletonJob::new("shop:report").unwrap().once_for("2026-11-26");
    assert!(matches!(report.run(&mut conn, |_| Ok::<_, JobError>(())), Ok(JobOutcome::Ran(()))));
    let import = SingletonJob::new("shop:import").unwrap().once_for("today");
    let failed: Result<JobOutcome<()>, JobError> =
        import.run(&mut conn, |_| Err(diesel::result::Error::NotFound.into()));
    failed.expect_err("the error of the work");

    let listed = finish(tool_at(&database.url, &["jobs"]));
    assert_eq!((listed.status, &*listed.stderr), (0, ""));
    let lines: Vec<&str> = listed.stdout.lines().collect();
    assert!(lines[0].starts_with("JOB "), "{}", listed.stdout);
    let is = |line: &str, words: &[&str]| words.iter().all(|word| line.contains(word));
    let place = format!("process {} on ", std::process::id());
    let connection = format!(", connection {own} ");
    for (line, words) in lines[1..].iter().zip([
        ["shop:import", "failed: Record not found"],
        ["today", "failed: Record not found"],
        ["shop:report", "succeeded"],
        ["2026-11-26", "succeeded"],
    ]) {
        assert!(is(line, &words) && is(line, &[&place, &connection]), "{}", listed.stdout);
    }
    assert_eq!(lines.len(), 5);
}

#[test]
fn without_the_table_it_says_how_to_make_it() {
    let database = database();
    let refused = finish(tool_at(&database.url, &["jobs"]));
    assert_eq!((refused.status, &*refused.stdout), (69, ""));
    assert_one_sentence(&refused.stderr, "`named-lock init --jobs`");
}
