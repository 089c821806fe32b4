//! Turns facts about a server into findings about named locks. No I/O.

use std::time::Duration;

use crate::{
    operator::report::{Finding, Product, ServerReport, Severity, Topic},
    operator_error::OperatorError,
    statement::facts::{Facts, Variables},
};

/// A section may compute for this long without touching its connection.
const LONG_SECTION: Duration = Duration::from_secs(3600);

pub(crate) fn report(facts: Facts) -> ServerReport {
    let judgements = [
        relative,
        several_locks,
        galera,
        outside_of_galeras_majority,
        group_replication,
        replica,
        read_only,
        autocommit,
        thread_pool,
        idle_timeouts,
        statement_limits,
        proxy,
    ];
    let mut findings: Vec<Finding> = judgements.iter().flat_map(|judge| judge(&facts)).collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    ServerReport { product: product_of(&facts), version: facts.version, findings }
}

fn finding(topic: Topic, severity: Severity, meaning: impl Into<String>, advice: impl Into<String>) -> Finding {
    Finding { topic, severity, meaning: meaning.into(), advice: advice.into() }
}

fn unknown(topic: Topic, what: &str, error: &OperatorError) -> Finding {
    finding(
        topic,
        Severity::Warning,
        format!("It could not be found out whether this server is {what}."),
        error.to_string(),
    )
}

impl Facts {
    fn is_on(&self, variable: &str) -> bool {
        self.variables.get(variable).is_some_and(|value| value == "1" || value.eq_ignore_ascii_case("ON"))
    }

    /// A time limit. `None` if it is off.
    fn limit(&self, variable: &str, unit: Duration) -> Option<Duration> {
        let count: f64 = self.variables.get(variable)?.parse().ok()?;
        (count > 0.0).then(|| unit.mul_f64(count.min(1e9)))
    }
}

fn product_of(facts: &Facts) -> Product {
    let is = |part: &str| facts.version.to_lowercase().contains(part);
    match facts.variables.contains_key("AURORA_VERSION") {
        true => Product::Aurora,
        _ if is("tidb") => Product::TiDb,
        _ if is("vitess") => Product::Vitess,
        _ if is("mariadb") => Product::MariaDb,
        _ => Product::MySql,
    }
}

fn relative(facts: &Facts) -> Vec<Finding> {
    let of = |severity, meaning, advice| vec![finding(Topic::Compatibility, severity, meaning, advice)];
    match product_of(facts) {
        Product::Aurora => of(
            Severity::Info,
            "This is Amazon Aurora. Named locks are known to one instance only, and are gone after a failover.",
            "Connect to the cluster's writer endpoint, never to a reader.",
        ),
        Product::TiDb => of(
            Severity::Danger,
            "This is TiDB, which does not show the holder of a lock and has timeouts of whole seconds only, from one up. This \
             crate relies on both.",
            "Don't use this crate here.",
        ),
        Product::Vitess => of(
            Severity::Danger,
            "This is Vitess, which accepts lock functions in plain SELECT queries only and sends them to one shard. This crate \
             is not tested there.",
            "Don't use this crate here.",
        ),
        _ => Vec::new(),
    }
}

fn several_locks(facts: &Facts) -> Vec<Finding> {
    let product = product_of(facts);
    let minimum = if product == Product::MariaDb { [10, 0, 2] } else { [5, 7, 5] };
    vec![match version_number(&facts.version) >= minimum {
        true => finding(Topic::SeveralLocks, Severity::Info, "A session can hold several named locks at once.", ""),
        false => finding(
            Topic::SeveralLocks,
            Severity::Danger,
            "A session holds one named lock at most: acquiring a second one silently releases the first.",
            format!(
                "Update to {product} {} or newer. Until then, don't run a section inside a section.",
                dotted(minimum)
            ),
        ),
    }]
}

fn galera(facts: &Facts) -> Vec<Finding> {
    if !facts.is_on("WSREP_ON") {
        return Vec::new();
    }
    let cluster = facts.variables.get("WSREP_CLUSTER_NAME").map_or("", String::as_str);
    vec![finding(
        Topic::Galera,
        Severity::Danger,
        format!(
            "This is a node of the Galera cluster `{cluster}`. A named lock is known to this node only. A session on another \
             node can acquire it, too."
        ),
        "Let all programs that acquire these locks use the same node, or hold each lock on a majority of the nodes: module `quorum`.",
    )]
}

fn outside_of_galeras_majority(facts: &Facts) -> Vec<Finding> {
    let Some(status) = facts.status.get("WSREP_CLUSTER_STATUS") else { return Vec::new() };
    if !facts.is_on("WSREP_ON") || status == "Primary" {
        return Vec::new();
    }
    vec![finding(
        Topic::Galera,
        Severity::Danger,
        format!(
            "This node is outside its cluster's majority (`wsrep_cluster_status` is `{status}`). It grants named locks, but \
             refuses to write, to roll back and to kill a session (error 1047)."
        ),
        "Acquire locks on a node of the majority. To kill a session here, `SET SESSION wsrep_dirty_reads = ON` first.",
    )]
}

fn group_replication(facts: &Facts) -> Vec<Finding> {
    let members = match &facts.members {
        Ok(members) => members,
        Err(error) => return vec![unknown(Topic::GroupReplication, "in a Group Replication group", error)],
    };
    let Some(own) = members.iter().find(|member| member.asked) else { return Vec::new() };
    let count = members.len();
    let unreachable = members.iter().filter(|member| member.state == "UNREACHABLE").count();
    let of = |severity, meaning, advice: &str| vec![finding(Topic::GroupReplication, severity, meaning, advice)];
    if ["OFFLINE", "ERROR"].contains(&own.state.as_str()) {
        let writable =
            if facts.is_on("SUPER_READ_ONLY") { "" } else { " It accepts writes that the group does not get." };
        return of(
            Severity::Danger,
            format!(
                "This server has left its Group Replication group ({}). Its named locks are not those of the group.{writable}",
                own.state
            ),
            "Acquire locks on the group's primary.",
        );
    }
    if unreachable * 2 >= count {
        return of(
            Severity::Danger,
            format!(
                "This member of a Group Replication group has lost its majority ({unreachable} of {count} members are \
                 unreachable). It grants named locks, but can't commit. The others may have another primary."
            ),
            "Acquire locks on the primary of the members that have a majority.",
        );
    }
    match (facts.is_on("GROUP_REPLICATION_SINGLE_PRIMARY_MODE"), own.role.as_str()) {
        (false, _) => of(
            Severity::Danger,
            format!(
                "This is a member of a Group Replication group in multi-primary mode (members: {count}). A named lock is known \
                 to this member only. A session on another member can acquire it, too."
            ),
            "Let all programs that acquire these locks use the same member, or hold each lock on a majority of the members: module `quorum`.",
        ),
        (true, "PRIMARY") => of(
            Severity::Info,
            format!(
                "This is the primary of a Group Replication group (members: {count}). The next primary does not know its named \
                 locks."
            ),
            "After a failover, a section on the old primary may overlap with one on the new primary. Hold the lock on a majority of the members (module `quorum`), or fence what must not be done twice.",
        ),
        (true, _) => of(
            Severity::Danger,
            format!(
                "This is a secondary of a Group Replication group (members: {count}). Its named locks are not those of the \
                 primary."
            ),
            "Acquire locks on the primary.",
        ),
    }
}

fn replica(facts: &Facts) -> Vec<Finding> {
    match &facts.sources {
        Err(error) => vec![unknown(Topic::Replica, "a replica", error)],
        Ok(sources) if sources.is_empty() => Vec::new(),
        Ok(sources) => vec![finding(
            Topic::Replica,
            Severity::Danger,
            format!(
                "This server replicates from {}. Its named locks are not those of the primary.",
                sources.join(", ")
            ),
            "Acquire locks on the primary, or on a majority of all servers (module `quorum`). Make sure that no proxy or driver sends their statements to replicas, although they are `SELECT`s.",
        )],
    }
}

fn read_only(facts: &Facts) -> Vec<Finding> {
    let variables = ["INNODB_READ_ONLY", "SUPER_READ_ONLY", "READ_ONLY"];
    let Some(variable) = variables.iter().find(|variable| facts.is_on(variable)) else { return Vec::new() };
    vec![finding(
        Topic::ReadOnly,
        Severity::Danger,
        format!(
            "This server refuses writes (`{}`), but grants named locks. Most likely other programs acquire their locks on another server.",
            variable.to_lowercase()
        ),
        "Acquire locks on the server that is written to.",
    )]
}

fn autocommit(facts: &Facts) -> Vec<Finding> {
    let is_off =
        |variables: &Variables| variables.get("AUTOCOMMIT").is_some_and(|value| value == "OFF" || value == "0");
    let (severity, whose) = match (is_off(&facts.variables), is_off(&facts.global_variables)) {
        (true, _) => (Severity::Danger, "this session"),
        (false, true) => (Severity::Warning, "new sessions"),
        (false, false) => return Vec::new(),
    };
    vec![finding(
        Topic::Autocommit,
        severity,
        format!(
            "In {whose}, a statement outside a transaction commits nothing (`autocommit` is off). What a section writes in such a \
             statement is rolled back, or committed after the lock is released."
        ),
        "Run `SET GLOBAL autocommit = ON`, and `SET autocommit = ON` in each open session. Or write in a transaction (`conn.transaction`).",
    )]
}

fn thread_pool(facts: &Facts) -> Vec<Finding> {
    if facts.variables.get("THREAD_HANDLING").is_none_or(|handling| handling != "pool-of-threads") {
        return Vec::new();
    }
    let number =
        |variable: &str| facts.variables.get(variable).and_then(|value| value.parse().ok()).unwrap_or(u64::MAX);
    let (threads, connections) = (number("THREAD_POOL_MAX_THREADS"), number("MAX_CONNECTIONS"));
    let severity = if threads < connections { Severity::Warning } else { Severity::Info };
    vec![finding(
        Topic::ThreadPool,
        severity,
        format!(
            "The server runs sessions on a pool of {threads} threads at most (`thread_handling`). Each session that waits for a \
             lock occupies a thread. If all threads wait, the holder gets none, and releases its lock only after they time out."
        ),
        "Let threads of a process wait in a `NamedLockPool`, and keep `thread_pool_max_threads` above the number of waiters.",
    )]
}

fn idle_timeouts(facts: &Facts) -> Vec<Finding> {
    let short = |variable: &str, when: &str| {
        let limit = facts.limit(variable, Duration::from_secs(1)).filter(|limit| *limit < LONG_SECTION)?;
        let variable = variable.to_lowercase();
        Some(finding(
            Topic::IdleTimeout,
            Severity::Warning,
            format!("The server kills a session that is idle for {limit:?} {when}(`{variable}`), and frees its locks."),
            format!(
                "For closures that don't use their connection for longer, `SET SESSION {variable} = …`, or use the connection now and then."
            ),
        ))
    };
    let mut findings = Vec::from_iter(short("WAIT_TIMEOUT", ""));
    findings.extend(short("IDLE_TRANSACTION_TIMEOUT", "inside a transaction "));
    if let Some(limit) = facts.limit("WAIT_TIMEOUT", Duration::from_secs(1)) {
        let meaning = format!("A host that vanishes keeps its locks for {limit:?} (`wait_timeout`).");
        findings.push(finding(Topic::IdleTimeout, Severity::Info, meaning, ""));
    }
    findings
}

fn statement_limits(facts: &Facts) -> Vec<Finding> {
    let of = |severity, meaning: String, variable| {
        let advice = format!("Keep the locks' timeouts below it, or `SET SESSION {variable} = 0`.");
        finding(Topic::StatementTimeLimit, severity, meaning, advice)
    };
    let of_selects = facts.limit("MAX_EXECUTION_TIME", Duration::from_millis(1)).map(|limit| {
        let meaning = format!(
            "A `SELECT` may run for {limit:?} (`max_execution_time`): a section that waits longer for its lock asks again, at the \
             end of the queue."
        );
        of(Severity::Info, meaning, "max_execution_time")
    });
    let of_all = facts.limit("MAX_STATEMENT_TIME", Duration::from_secs(1)).map(|limit| {
        let meaning = format!(
            "A statement may run for {limit:?} (`max_statement_time`): a section that waits longer for its lock gets `Interrupted`."
        );
        of(Severity::Warning, meaning, "max_statement_time")
    });
    of_selects.into_iter().chain(of_all).collect()
}

fn proxy(facts: &Facts) -> Vec<Finding> {
    let of = |severity, meaning, advice| vec![finding(Topic::Proxy, severity, meaning, advice)];
    if facts.connection_ids.windows(2).any(|pair| pair[0] != pair[1]) {
        return of(
            Severity::Danger,
            "One connection uses several sessions of the server: a proxy in between chooses a session for each statement. The \
             lock may be acquired in one session while the closure runs in another.",
            "Connect to the server itself, or make the proxy keep a session for each client (ProxySQL: `multiplex`).",
        );
    }
    if facts.by_router {
        return of(
            Severity::Warning,
            "MySQL Router is in between. It may lead the next connection to another server. It cuts the connection if a prepared \
             statement fails after its columns were sent, as `GET_LOCK` with a fraction of a second does.",
            "Use timeouts of whole seconds; see the guide \"servers and proxies\". Safest is a connection to the server itself.",
        );
    }
    let told = [Some(&facts.version), facts.variables.get("VERSION_COMMENT")].into_iter().flatten();
    let names = ["proxysql", "maxscale"];
    match told.map(|text| text.to_lowercase()).any(|text| names.iter().any(|name| text.contains(name))) {
        true => of(
            Severity::Warning,
            "A proxy is in between. It must send all statements of a connection to one session of one server, from the acquire \
             of a lock to its release.",
            "See the guide \"servers and proxies\". Safest is a connection to the server itself.",
        ),
        false => Vec::new(),
    }
}

/// The first three numbers. Some servers prefix `5.5.5-`, for old replicas.
fn version_number(version: &str) -> [u32; 3] {
    let version = version.strip_prefix("5.5.5-").unwrap_or(version);
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    std::array::from_fn(|_| numbers.next().unwrap_or(0))
}

fn dotted([major, minor, patch]: [u32; 3]) -> String {
    format!("{major}.{minor}.{patch}")
}

#[cfg(test)]
mod tests;
