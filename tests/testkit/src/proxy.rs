//! A network between a pool and its server that can go silent, be closed or be reset, and lead to another server.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use socket2::SockRef;
use test_server::Server;

use crate::world::wait_until;

/// How soon a connection notices what it is to do.
const POLL: Duration = Duration::from_millis(2);

pub struct Proxy {
    url: String,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: Mutex<SocketAddr>,
    wires: Mutex<Vec<Arc<Wire>>>,
    over: AtomicBool,
}

/// One connection through the proxy. Both sockets are closed when both of its pumps have ended.
struct Wire {
    client: TcpStream,
    server: TcpStream,
    mode: Mutex<Mode>,
    /// While it is silent, the client has said something that did not get through.
    withholds: AtomicBool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Forward,
    Silent,
    Ended,
}

impl Proxy {
    pub fn to(server: &Server) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let shared =
            Arc::new(Shared { upstream: Mutex::new(address(server)), wires: Mutex::default(), over: false.into() });
        let url = server.tcp_url().replace(&address(server).to_string(), &format!("127.0.0.1:{port}"));
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if accepting.over.load(Ordering::Relaxed) {
                    return;
                }
                accepting.connect(client);
            }
        });
        Self { url, shared }
    }

    /// The address of the server, as its clients know it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// New connections go to this server.
    pub fn lead_to(&self, server: &Server) {
        *lock(&self.shared.upstream) = address(server);
    }

    /// From now on nothing gets through, and nobody is told.
    pub fn silence(&self) {
        self.each(|wire| wire.set(Mode::Silent));
    }

    /// What was withheld gets through.
    pub fn resume(&self) {
        self.each(|wire| wire.set(Mode::Forward));
    }

    /// Until the client says something that does not get through.
    pub fn until_withheld(&self) {
        wait_until("something to be withheld", || {
            lock(&self.shared.wires).iter().any(|wire| wire.withholds.load(Ordering::Relaxed))
        });
    }

    /// Both ends see an orderly close.
    pub fn close(&self) {
        self.end(Wire::shut_down);
    }

    /// Both ends see a reset.
    pub fn reset(&self) {
        self.end(|wire| {
            for end in [&wire.client, &wire.server] {
                SockRef::from(end).set_linger(Some(Duration::ZERO)).expect("SO_LINGER");
            }
        });
    }

    /// The client sees a close; the server hears nothing, ever, as of a host that lost its power.
    pub fn close_the_clients_end_only(&self) {
        self.each(|wire| {
            wire.set(Mode::Silent);
            let _ = wire.client.shutdown(Shutdown::Both);
        });
    }

    fn end(&self, how: impl Fn(&Wire)) {
        self.each(|wire| {
            how(wire);
            wire.set(Mode::Ended);
        });
        // The pumps drop theirs.
        lock(&self.shared.wires).clear();
    }

    fn each(&self, what: impl Fn(&Wire)) {
        lock(&self.shared.wires).iter().for_each(|wire| what(wire));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        self.close();
        // Wakes the one who accepts.
        let port = self.url.rsplit([':', '/']).nth(1).and_then(|port| port.parse().ok()).unwrap_or(0);
        let _ = TcpStream::connect(("127.0.0.1", port));
    }
}

impl Shared {
    fn connect(&self, client: TcpStream) {
        let upstream = *lock(&self.upstream);
        // Otherwise the client sees a close.
        let Ok(server) = TcpStream::connect(upstream) else { return };
        for end in [&client, &server] {
            end.set_nodelay(true).expect("TCP_NODELAY");
            end.set_read_timeout(Some(POLL)).expect("SO_RCVTIMEO");
        }
        let (mode, withholds) = (Mutex::new(Mode::Forward), AtomicBool::new(false));
        let wire = Arc::new(Wire { client, server, mode, withholds });
        lock(&self.wires).push(Arc::clone(&wire));
        let back = Arc::clone(&wire);
        thread::spawn(move || wire.pump(&wire.client, &wire.server, || wire.withholds.store(true, Ordering::Relaxed)));
        thread::spawn(move || back.pump(&back.server, &back.client, || ()));
    }
}

impl Wire {
    fn set(&self, mode: Mode) {
        *lock(&self.mode) = mode;
    }

    fn shut_down(&self) {
        for end in [&self.client, &self.server] {
            let _ = end.shutdown(Shutdown::Both);
        }
    }

    fn pump(&self, mut from: &TcpStream, mut to: &TcpStream, withhold: impl Fn()) {
        let mut buffer = [0; 16 * 1024];
        // What was read and not yet written; `Some(0)` is the end.
        let mut read = None;
        loop {
            if read.is_none() {
                read = match from.read(&mut buffer) {
                    Ok(size) => Some(size),
                    Err(error) if is_timeout(error.kind()) => None,
                    Err(_) => Some(0),
                };
            }
            // Held until it is written, so that nothing gets through after the silence has begun.
            let mut mode = lock(&self.mode);
            match (*mode, read) {
                (Mode::Ended, _) => return,
                (_, None) => {}
                (Mode::Silent, Some(_)) => {
                    withhold();
                    drop(mode);
                    thread::sleep(POLL);
                }
                (Mode::Forward, Some(size)) => {
                    if size == 0 || to.write_all(&buffer[..size]).is_err() {
                        self.shut_down();
                        *mode = Mode::Ended;
                        return;
                    }
                    read = None;
                }
            }
        }
    }
}

fn is_timeout(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

fn address(server: &Server) -> SocketAddr {
    let authority = server.tcp_url().split(['@', '/']).nth(3);
    authority.and_then(|authority| authority.parse().ok()).expect("an IP address and a port in the server's URL")
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
