//! `jobs`.

use std::time::SystemTime;

use diesel_named_lock::nonblocking::job::{JobState, LedgerEntry, LedgerError, read_ledger};

use crate::{
    exit_status,
    failure::Failure,
    output::{one_line, print},
    server::Server,
    table::table,
};

const HEADER: [&str; 7] = ["JOB", "KEY", "RUNS", "STARTED", "TOOK", "WHERE", "STATE"];

pub async fn jobs(server: &Server) -> Result<u8, Failure> {
    let mut conn = server.address()?.connect().await?;
    let entries = read_ledger(&mut conn).await.map_err(|error| match error {
        LedgerError::NoTable { .. } => Failure::unavailable(format!("{error} (`named-lock init --jobs` prints it)")),
        error => Failure::unavailable(error),
    })?;
    match entries.is_empty() {
        true => print("no job has run\n")?,
        false => print(table(HEADER, &entries.iter().map(row).collect::<Vec<_>>()))?,
    }
    Ok(exit_status::OK)
}

fn row(LedgerEntry { job, key, status, .. }: &LedgerEntry) -> [String; 7] {
    let (ended, state) = match &status.state {
        JobState::Running => (None, "running".to_owned()),
        JobState::Abandoned => (None, "abandoned".to_owned()),
        JobState::Succeeded { ended, .. } => (Some(ended), "succeeded".to_owned()),
        JobState::Failed { ended, error, .. } => (Some(ended), format!("failed: {}", one_line(error))),
        other => (None, format!("{other:?}")),
    };
    [
        job.clone(),
        key.clone().unwrap_or_default(),
        status.runs.to_string(),
        humantime::format_rfc3339_seconds(status.started).to_string(),
        ended.map_or_else(String::new, |ended| took(status.started, *ended)),
        format!("process {} on {}, connection {}", status.process_id, status.host, status.connection_id),
        state,
    ]
}

/// A clock that was set back makes it nothing.
fn took(started: SystemTime, ended: SystemTime) -> String {
    format!("{:.1}s", ended.duration_since(started).unwrap_or_default().as_secs_f64())
}
