//! `quorum`.

use diesel_named_lock::{LockName, nonblocking::operator};

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
    let mut said = Vec::new();
    for asked in asked {
        said.push(asked.await.unwrap_or_else(|error| Said::Nothing(error.to_string())));
    }
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

async fn ask(name: LockName, address: Address) -> Said {
    let mut conn = match address.connect().await {
        Ok(conn) => conn,
        Err(failure) => return Said::Nothing(failure.text),
    };
    match operator::holder(&mut conn, &name).await {
        Ok(Some(holder)) => Said::HeldBy(holder.to_string()),
        Ok(None) => Said::Free,
        Err(error) => Said::Nothing(error.to_string()),
    }
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
        print(format!("`{name}` is free: it is held on {held} of {all} nodes, and can't be on a majority\n"))?;
        return Ok(exit_status::NO);
    }
    let text = format!("`{name}`: too few nodes have answered to tell whether a majority of {all} holds it");
    Err(Failure::unavailable(text))
}
