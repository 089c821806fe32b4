//! `holder`.

use diesel_named_lock::nonblocking::operator;

use crate::{
    exit_status,
    failure::Failure,
    free::free,
    options::Holder,
    output::{one_line, print},
};

pub async fn holder(options: &Holder) -> Result<u8, Failure> {
    let mut conn = options.server.address()?.connect().await?;
    let holder = operator::holder(&mut conn, &options.name).await.map_err(Failure::unavailable)?;
    let (text, status) = match holder {
        Some(holder) => (holder.to_string(), exit_status::OK),
        None => (free(&mut conn, &options.name).await?, exit_status::NO),
    };
    print(format!("{}\n", one_line(&text)))?;
    Ok(status)
}
