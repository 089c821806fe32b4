//! `init`.

use crate::{exit_status, failure::Failure, options::Init, output::print};

const FENCE: &str = include_str!("../../../migrations/00000000000001-namedlock_create_named_lock_fences/up.sql");
const JOBS: &str = include_str!("../../../migrations/00000000000002-namedlock_create_named_lock_ledger/up.sql");

pub fn init(options: &Init) -> Result<u8, Failure> {
    let all = !options.fence && !options.jobs;
    let tables = [(options.fence, FENCE), (options.jobs, JOBS)];
    let wanted: Vec<_> = tables.into_iter().filter(|(wanted, _)| all || *wanted).map(|(_, sql)| sql).collect();
    print(wanted.join("\n"))?;
    Ok(exit_status::OK)
}
