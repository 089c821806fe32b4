//! Several processes migrate at once.

use diesel::connection::SimpleConnection;
use diesel_named_lock::migration::{self, MigrationExt};

use tempfile::TempDir;

use testkit::world::{SOON, assert_free, hold_elsewhere, holder, is_mysql, wait_until, wait_until_waiting};

use crate::{process::Process, stage::*};

testkit::trials![
    of_six_processes_that_race_on_an_empty_database_one_runs_each_migration,
    if_one_is_killed_in_the_middle_of_a_migration_the_others_name_the_version,
    what_a_killed_process_has_begun_another_finishes_if_it_can_run_twice,
    what_is_pending_is_found_out_inside_the_lock,
];

const PROCESSES: usize = 6;

fn start_all(database: &Database, migrations: &TempDir) -> Vec<Process> {
    let mut processes: Vec<_> = (0..PROCESSES).map(|_| Process::start(database, migrations)).collect();
    processes.iter_mut().for_each(Process::go);
    processes
}

/// The process that holds the lock, taken out of the others.
fn take_holder(processes: &mut Vec<Process>, lock_name: &str) -> Process {
    let holder = holder(lock_name).expect("a holder");
    let index = processes.iter().position(|process| process.connection_id == holder).expect("one of the processes");
    processes.remove(index)
}

fn of_six_processes_that_race_on_an_empty_database_one_runs_each_migration() {
    for _ in 0..3 {
        let (database, migrations) = (database(), three_tables());
        let processes = start_all(&database, &migrations);
        let mut outcomes: Vec<_> = processes.into_iter().map(Process::outcome).collect();
        outcomes.sort();
        assert_eq!(outcomes, ["ran", "ran", "ran", "ran", "ran", "ran 1 2 3"]);
        assert_eq!(applied(&database), ["3", "2", "1"]);
        assert_free(&lock_name(&database));
    }
}

/// The second of three migrations waits at a gate, after its first statement.
fn with_gate(gate: &str, first: &str, last: &str) -> TempDir {
    migrations(&[
        ("1_one", "CREATE TABLE one (id INT)", ""),
        ("2_two", &format!("{first}; DO GET_LOCK('{gate}', 60); {last}"), ""),
        ("3_three", "CREATE TABLE three (id INT)", ""),
    ])
}

fn if_one_is_killed_in_the_middle_of_a_migration_the_others_name_the_version() {
    let database = database();
    let gate = format!("{}_gate", database.name);
    let keeper = hold_elsewhere(&gate);
    let migrations = with_gate(&gate, "CREATE TABLE half (id INT)", "CREATE TABLE two (id INT)");
    let mut processes = start_all(&database, &migrations);
    wait_until("a half-done migration", || database.has_table("half"));

    take_holder(&mut processes, &lock_name(&database)).kill();
    for process in processes {
        assert_eq!(process.outcome(), "failed at 2");
    }
    assert_eq!(applied(&database), ["1"]);
    // What the process had sent to the server, MariaDB has done to the end.
    assert_eq!(database.has_table("two"), !is_mysql());

    // As the error says: undone by hand, then tried again.
    drop(keeper);
    let mut conn = database.connect();
    conn.batch_execute("DROP TABLE half; DROP TABLE IF EXISTS two").unwrap();
    let ran = conn.run_pending_migrations_locked(source(&migrations), SOON).unwrap();
    assert_eq!(texts(ran), ["2", "3"]);
}

fn what_a_killed_process_has_begun_another_finishes_if_it_can_run_twice() {
    let database = database();
    let gate = format!("{}_gate", database.name);
    let keeper = hold_elsewhere(&gate);
    let migrations =
        with_gate(&gate, "CREATE TABLE IF NOT EXISTS half (id INT)", "CREATE TABLE IF NOT EXISTS two (id INT)");
    let mut processes = start_all(&database, &migrations);
    wait_until("a half-done migration", || database.has_table("half"));

    take_holder(&mut processes, &lock_name(&database)).kill();
    drop(keeper);
    let mut outcomes: Vec<_> = processes.into_iter().map(Process::outcome).collect();
    outcomes.sort();
    assert_eq!(outcomes, ["ran", "ran", "ran", "ran", "ran 2 3"]);
}

fn what_is_pending_is_found_out_inside_the_lock() {
    let (database, migrations) = (database(), three_tables());
    let elsewhere = hold_elsewhere(&lock_name(&database));
    let mut late = Process::start(&database, &migrations);
    late.go();
    wait_until_waiting(late.connection_id);
    let ran = migration::run_pending(&mut database.connect(), source(&migrations)).unwrap();
    assert_eq!(texts(ran), ["1", "2", "3"]);
    drop(elsewhere);
    assert_eq!(late.outcome(), "ran");
}
