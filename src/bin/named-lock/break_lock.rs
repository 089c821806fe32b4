//! `break`.

use std::io::{self, IsTerminal, Write};

use diesel_named_lock::{
    SessionInfo,
    nonblocking::operator::{holder, kill_holder},
};

use crate::{
    exit_status,
    failure::Failure,
    free::free,
    options::Break,
    output::{one_line, print},
};

pub async fn break_lock(options: &Break) -> Result<u8, Failure> {
    if !options.yes && !io::stdin().is_terminal() {
        return Err(Failure::usage("without a terminal, nobody can be asked: `break` needs --yes there"));
    }
    let name = &options.name;
    let address = options.server.address()?;
    let mut conn = address.connect().await?;
    let Some(found) = holder(&mut conn, name).await.map_err(Failure::unavailable)? else {
        return nothing_done(&free(&mut conn, name).await?);
    };
    if !options.yes {
        if !agrees(&found)? {
            return nothing_done("nothing was done");
        }
        // The answer may have taken longer than a session may be idle.
        conn = address.connect().await?;
    }
    // Nobody else: the lock may have passed on.
    if !kill_holder(&mut conn, name, found.connection_id).await.map_err(Failure::unavailable)? {
        return nothing_done(&format!("connection {} no longer holds `{name}`", found.connection_id));
    }
    print(format!("killed {}\n", one_line(&found.to_string())))?;
    Ok(exit_status::OK)
}

fn nothing_done(why: &str) -> Result<u8, Failure> {
    print(format!("{}\n", one_line(why)))?;
    Ok(exit_status::NO)
}

fn agrees(holder: &SessionInfo) -> Result<bool, Failure> {
    let holder = one_line(&holder.to_string());
    let mut terminal = io::stderr();
    let mut answer = String::new();
    write!(terminal, "held by {holder}\nKill that session? Its program may continue, and not alone. [y/N] ")
        .and_then(|()| terminal.flush())
        .and_then(|()| io::stdin().read_line(&mut answer))
        .map_err(|error| Failure::usage(format!("nobody can be asked: {error}")))?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}
