//! `quorum`.

use std::hash::{BuildHasher, Hasher, RandomState};

use diesel_async::AsyncMysqlConnection;
use diesel_named_lock::{
    LockName, NamedLockError,
    nonblocking::{NamedLockExt, operator},
};

use crate::{
    exit_status,
    failure::Failure,
    options::Quorum,
    output::{one_line, print},
    table::table,
    url::Address,
};

/// What a node said.
enum Said {
    HeldBy(String),
    Free,
    Nothing(String),
}

pub async fn quorum(options: &Quorum) -> Result<u8, Failure> {
    let nodes = options.nodes()?;
    let asked: Vec<_> =
        nodes.iter().map(|node| tokio::spawn(ask(options.name.clone(), node.address.clone()))).collect();
    let (mut said, mut conns) = (Vec::new(), Vec::new());
    for (node, asked) in nodes.iter().zip(asked) {
        let (conn, answer) = asked.await.unwrap_or_else(|error| (None, Said::Nothing(error.to_string())));
        said.push(answer);
        conns.extend(conn.map(|conn| (&*node.name, conn)));
    }
    refuse_same_server(conns).await?;
    let rows = nodes.iter().zip(&said).map(|(node, said)| {
        let said = match said {
            Said::HeldBy(holder) => format!("held by {holder}"),
            Said::Free => "free".to_owned(),
            Said::Nothing(why) => why.clone(),
        };
        [node.name.clone(), node.address.shown.clone(), one_line(&said)]
    });
    print(table(["NODE", "SERVER", "LOCK"], &rows.collect::<Vec<_>>()))?;
    judge(options, &said)
}

async fn ask(name: LockName, address: Address) -> (Option<AsyncMysqlConnection>, Said) {
    let mut conn = match address.connect().await {
        Ok(conn) => conn,
        Err(failure) => return (None, Said::Nothing(failure.text)),
    };
    match operator::holder(&mut conn, &name).await {
        Ok(Some(holder)) => (Some(conn), Said::HeldBy(holder.to_string())),
        Ok(None) => (Some(conn), Said::Free),
        Err(error) => (None, Said::Nothing(error.to_string())),
    }
}

/// Two addresses may be of one server, which would count twice. It is the same if a lock that one has acquired is seen by the other.
async fn refuse_same_server(mut conns: Vec<(&str, AsyncMysqlConnection)>) -> Result<(), Failure> {
    // No other run has these names.
    let run = RandomState::new().build_hasher().finish();
    while let Some((last, mut conn)) = conns.pop() {
        let name = LockName::hashed(&format!("named-lock:quorum:{run}:{last}"));
        let same = conn.try_with_named_lock(&name, async |_| {
            for (node, other) in &mut conns {
                if operator::holder(other, &name).await?.is_some() {
                    return Ok(Some(*node));
                }
            }
            Ok::<_, NamedLockError>(None)
        });
        if let Some(Some(node)) = same.await.map_err(Failure::unavailable)? {
            return Err(Failure::usage(format!("nodes `{node}` and `{last}` are one server: give each node its own")));
        }
    }
    Ok(())
}

fn judge(options: &Quorum, said: &[Said]) -> Result<u8, Failure> {
    let (all, majority) = (said.len(), said.len() / 2 + 1);
    let held = said.iter().filter(|said| matches!(said, Said::HeldBy(_))).count();
    let free = said.iter().filter(|said| matches!(said, Said::Free)).count();
    let name = &options.name;
    if held >= majority {
        print(format!("`{name}` is held on {held} of {all} nodes, a majority\n"))?;
        return Ok(exit_status::OK);
    }
    if free >= majority {
        print(match held {
            0 => format!("`{name}` is free\n"),
            _ => format!(
                "`{name}` is held on {held} of {all} nodes, no majority; a section may wait until it is free there\n"
            ),
        })?;
        return Ok(exit_status::NO);
    }
    let text = format!("`{name}`: too few nodes have answered to tell whether a majority of {all} holds it");
    Err(Failure::unavailable(text))
}
