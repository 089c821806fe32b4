//! Connections to a database of a test's own, and futures that are dropped half way.

use std::{
    future::poll_fn,
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    pin::pin,
    task::Poll,
    thread,
    time::Duration,
};

use diesel_async::{AsyncConnection, AsyncMysqlConnection, TransactionManager};
use url::Url;

pub async fn connect_to(url: &str) -> AsyncMysqlConnection {
    // A proxy's URL has parameters for the C libraries, and would be by-passed for a socket of the server.
    let url = url.split('?').next().expect("a part before it");
    AsyncMysqlConnection::establish(&format!("{url}?prefer_socket=false")).await.expect("an async connection")
}

/// What a pool asks of a connection that comes back.
pub fn is_marked(conn: &mut AsyncMysqlConnection) -> bool {
    <AsyncMysqlConnection as AsyncConnection>::TransactionManager::is_broken_transaction_manager(conn)
}

/// Polls the future whenever it is woken, `times` at most; then drops it.
pub async fn polled<F: Future>(times: u32, future: F) -> Option<F::Output> {
    let (mut future, mut left) = (pin!(future), times);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => {
            left -= 1;
            if left == 0 { Poll::Ready(None) } else { Poll::Pending }
        }
    })
    .await
}

/// Connects through a proxy that forwards everything a millisecond later, so that no answer is there at the first poll.
pub async fn connect_slowly_to(url: &str) -> AsyncMysqlConnection {
    let mut url = Url::parse(url).expect("a URL");
    let server = (url.host_str().expect("a host").to_owned(), url.port().expect("a port"));
    let proxy = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    url.set_port(Some(proxy.local_addr().expect("an address").port())).expect("a port");
    thread::spawn(move || {
        let client = proxy.accept().expect("the client").0;
        let server = TcpStream::connect((server.0.as_str(), server.1)).expect("the server");
        let (to_client, to_server) = (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
        thread::spawn(move || forward_slowly(server, to_client));
        forward_slowly(client, to_server);
    });
    connect_to(url.as_str()).await
}

fn forward_slowly(mut from: TcpStream, mut to: TcpStream) {
    let _ = to.set_nodelay(true);
    let mut bytes = [0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut bytes) {
        thread::sleep(Duration::from_millis(1));
        if to.write_all(&bytes[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
