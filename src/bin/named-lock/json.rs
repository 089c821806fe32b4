//! What is printed for programs.

use std::time::Duration;

use diesel_named_lock::{
    SessionInfo,
    operator::{FamilyHolder, FamilyKind, Finding, GroupedLocks, LockFamily, ServerReport, Severity},
};
use serde_json::{Value, json};

pub fn locks(seen: &GroupedLocks) -> Value {
    let locks = seen.locks.iter().map(|lock| {
        json!({
            "name": lock.name,
            "holder": lock.holder.as_ref().map(session),
            "held_for_seconds": lock.held_for.map(seconds),
            "waiters": lock.waiters.iter().map(session).collect::<Vec<_>>(),
        })
    });
    json!({
        "locks": locks.collect::<Vec<_>>(),
        "families": seen.families.iter().map(family).collect::<Vec<_>>(),
        "unassigned_waiters": seen.unassigned_waiters.iter().map(session).collect::<Vec<_>>(),
    })
}

fn family(family: &LockFamily) -> Value {
    json!({
        "name": family.name.as_str(),
        "kind": match family.kind {
            FamilyKind::Permits => "permits",
            _ => "shared",
        },
        "holders": family.holders.iter().map(holder).collect::<Vec<_>>(),
        "first_in_line": family.first_in_line.as_ref().map(holder),
        "waiters": family.waiters.iter().map(session).collect::<Vec<_>>(),
    })
}

fn holder(holder: &FamilyHolder) -> Value {
    json!({
        "session": session(&holder.session),
        "lock": holder.lock.as_str(),
        "numbers": holder.numbers,
        "exclusive": holder.is_exclusive,
        "held_for_seconds": holder.held_for.map(seconds),
    })
}

fn session(session: &SessionInfo) -> Value {
    json!({
        "connection_id": session.connection_id.get(),
        "user": session.user,
        "host": session.host,
        "database": session.database,
        "statement": session.statement,
        "state_for_seconds": session.state_for.map(seconds),
    })
}

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}

/// `status`: in a monitor's words. `list_error`: why the server does not list its locks, if it doesn't.
pub fn report(report: &ServerReport, status: &str, list_error: Option<&str>) -> Value {
    json!({
        "status": status,
        "product": report.product.to_string(),
        "version": report.version,
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
        "list_error": list_error,
    })
}

fn finding(finding: &Finding) -> Value {
    json!({
        "topic": format!("{:?}", finding.topic),
        "severity": match finding.severity {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Danger => "danger",
        },
        "meaning": finding.meaning,
        "advice": finding.advice,
    })
}
