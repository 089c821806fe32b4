//! A network between a client and its server on which a round trip takes its time.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use test_server::Server;

/// How late the kernel wakes a thread that sleeps (`prctl(2)`, `PR_SET_TIMERSLACK`), and some more until it runs.
const LATE: Duration = Duration::from_micros(60);

/// The server's URL behind such a network, which lasts as long as this process.
pub fn in_front_of(server: &Server, round_trip: Duration) -> String {
    let upstream = server.tcp_url().split(['@', '/']).nth(3).expect("an address in the server's URL");
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let url = server.tcp_url().replace(upstream, &listener.local_addr().expect("an address").to_string());
    let upstream: SocketAddr = upstream.parse().expect("an IP address and a port");
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(upstream).expect("the server");
            for end in [&client, &server] {
                end.set_nodelay(true).expect("TCP_NODELAY");
            }
            let clone = |stream: &TcpStream| stream.try_clone().expect("a second handle");
            for (from, to) in [(clone(&client), clone(&server)), (server, client)] {
                thread::spawn(move || carry(from, to, round_trip / 2 - LATE));
            }
        }
    });
    url
}

/// A client and its server take turns, so nothing else arrives while this sleeps.
fn carry(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(size @ 1..) = from.read(&mut buffer) {
        thread::sleep(delay);
        if to.write_all(&buffer[..size]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
}
