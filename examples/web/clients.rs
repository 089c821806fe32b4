//! Clients of the service, of which every third hangs up.

use std::{error::Error, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};

const CLIENTS: u32 = 20;
const REQUESTS_EACH: u32 = 15;

/// What became of the requests, as far as the clients know.
#[derive(Debug, Default, Clone, Copy)]
pub struct Told {
    pub sold: usize,
    pub hung_up: usize,
    pub failed: usize,
}

enum Answer {
    Sold,
    HungUp,
    Failed(String),
}

/// Sends all requests, to each of the ports in turn.
pub async fn send(ports: &[u16]) -> Result<Told, Box<dyn Error>> {
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let port = ports[client as usize % ports.len()];
        clients.spawn(async move {
            let mut answers = Vec::new();
            for request in 0..REQUESTS_EACH {
                // Between at once and about when the answer would come.
                let patience = (request % 3 == 2).then(|| Duration::from_micros(fastrand::u64(..100_000)));
                answers.push(ask(port, patience).await);
            }
            answers
        });
    }
    let mut told = Told::default();
    for answer in clients.join_all().await.into_iter().flatten() {
        match answer? {
            Answer::Sold => told.sold += 1,
            Answer::HungUp => told.hung_up += 1,
            Answer::Failed(text) => {
                told.failed += 1;
                eprintln!("{text}");
            }
        }
    }
    Ok(told)
}

async fn ask(port: u16, patience: Option<Duration>) -> std::io::Result<Answer> {
    let answer = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream
            .write_all(b"POST /sell HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        Ok(if text.starts_with("HTTP/1.1 200") { Answer::Sold } else { Answer::Failed(text) })
    };
    match patience {
        None => answer.await,
        // Dropping the future closes the connection.
        Some(patience) => timeout(patience, answer).await.unwrap_or(Ok(Answer::HungUp)),
    }
}
