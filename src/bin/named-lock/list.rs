//! `list`.

use diesel_named_lock::nonblocking::operator::named_locks;

use crate::{
    exit_status,
    failure::Failure,
    json,
    lock_rows::{HEADER, contended_first, rows},
    options::List,
    output::print,
    table::table,
};

pub async fn list(options: &List) -> Result<u8, Failure> {
    let mut conn = options.server.address()?.connect().await?;
    let mut seen = named_locks(&mut conn).await.map_err(Failure::unavailable)?.grouped();
    contended_first(&mut seen);
    match (options.json, rows(&seen)) {
        (true, _) => print(format!("{:#}\n", json::locks(&seen)))?,
        (false, rows) if rows.is_empty() => print("no named lock is held\n")?,
        (false, rows) => print(table(HEADER, &rows))?,
    }
    Ok(exit_status::OK)
}
