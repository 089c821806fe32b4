//! `doctor`.

use diesel_named_lock::nonblocking::operator::{Severity, named_locks, server_report};
use serde_json::json;

use crate::{
    exit_status,
    failure::Failure,
    json,
    options::Doctor,
    output::{one_line, print},
};

pub async fn doctor(options: &Doctor) -> Result<u8, Failure> {
    match examine(options).await {
        Ok(status) => Ok(status),
        Err(failure) => {
            // On standard output: there a monitor looks for it.
            let text = one_line(&failure.text);
            print(match options.json {
                true => format!("{:#}\n", json!({ "status": "unknown", "error": text })),
                false => format!("UNKNOWN: {text}\n"),
            })?;
            Ok(exit_status::UNKNOWN)
        }
    }
}

async fn examine(options: &Doctor) -> Result<u8, Failure> {
    let mut conn = options.server.address()?.connect().await?;
    let report = server_report(&mut conn).await.map_err(Failure::unavailable)?;
    let list_error = named_locks(&mut conn).await.err().map(|error| error.to_string());
    let (status, word) = match report.max_severity() {
        Severity::Info => (exit_status::OK, "ok"),
        Severity::Warning => (exit_status::WARNING, "warning"),
        Severity::Danger => (exit_status::CRITICAL, "critical"),
    };
    if options.json {
        print(format!("{:#}\n", json::report(&report, word, list_error.as_deref())))?;
    } else {
        let list = list_error.map_or_else(String::new, |error| format!("info:    {error}\n"));
        print(format!("{}: {report}\n{list}", word.to_uppercase()))?;
    }
    Ok(status)
}
