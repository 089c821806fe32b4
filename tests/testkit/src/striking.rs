//! A proxy that lets commands fail as if `KILL QUERY` had struck them: as many as a test says, of those whose SQL contains a
//! text.

use std::{
    collections::HashMap,
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use url::Url;

const QUERY: u8 = 0x03;
const PREPARE: u8 = 0x16;
const EXECUTE: u8 = 0x17;

/// What a client may agree with the server upon.
const QUERY_ATTRIBUTES: u32 = 1 << 27;

/// In place of the command, so that the server's own diagnostics are those of a statement that was struck.
const STRUCK: &str = "SIGNAL SQLSTATE '70100' SET MYSQL_ERRNO = 1317, MESSAGE_TEXT = 'Query execution was interrupted'";

/// A proxy in front of a server, over TCP, that strikes commands as `KILL QUERY` would.
pub struct Striking {
    url: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Only commands whose SQL contains this.
    sql: Mutex<String>,
    left: AtomicU32,
    struck: AtomicU32,
}

impl Striking {
    /// A proxy in front of the server of this URL. It strikes nothing yet.
    ///
    /// # Panics
    ///
    /// Panics if the URL has no host and port.
    #[must_use]
    pub fn to(tcp_url: &str) -> Self {
        let mut url = Url::parse(tcp_url).expect("a URL");
        let server = (url.host_str().expect("a host").to_owned(), url.port().expect("a port"));
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        url.set_port(Some(listener.local_addr().expect("an address").port())).expect("a port");
        // Of an encrypted connection, nothing could be struck; libmysqlclient encrypts if the server can.
        url.query_pairs_mut().append_pair("ssl_mode", "disabled");
        let shared = Arc::new(Shared::default());
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if let Ok(server) = TcpStream::connect((server.0.as_str(), server.1)) {
                    let _ = (client.set_nodelay(true), server.set_nodelay(true));
                    accepting.forward(client, server);
                }
            }
        });
        Self { url: url.into(), shared }
    }

    /// The URL of the server by way of the proxy.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Strikes the next `times` commands whose SQL contains `sql`; of an empty text, whatever is sent next.
    pub fn strike(&self, times: u32, sql: &str) {
        sql.clone_into(&mut lock(&self.shared.sql));
        self.shared.struck.store(0, Ordering::SeqCst);
        self.shared.left.store(times, Ordering::SeqCst);
    }

    /// How many of them were struck.
    #[must_use]
    pub fn struck(&self) -> u32 {
        self.shared.struck.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn forward(self: &Arc<Self>, client: TcpStream, server: TcpStream) {
        // The SQL of what is being prepared, and of what has been.
        let (preparing, prepared) = (Arc::new(Mutex::new(None)), Arc::new(Mutex::new(HashMap::new())));
        let (from_server, to_client) = (server.try_clone().expect("a socket"), client.try_clone().expect("a socket"));
        let answers = (Arc::clone(&preparing), Arc::clone(&prepared));
        let shared = Arc::clone(self);
        thread::spawn(move || {
            let Ok(capabilities) = greet(&mut &server, &mut &client) else { return };
            thread::spawn(move || pump_answers(from_server, to_client, &answers.0, &answers.1));
            let _ = shared.pump_commands(client, server, capabilities, &preparing, &prepared);
        });
    }

    fn pump_commands(
        &self,
        mut client: TcpStream,
        mut server: TcpStream,
        capabilities: u32,
        preparing: &Mutex<Option<String>>,
        prepared: &Mutex<HashMap<u32, String>>,
    ) -> io::Result<()> {
        // What libmysqlclient puts before the SQL, if the server can take it: no attributes (MySQL manual, "Query Attributes").
        let mut attributes: &[u8] = &[];
        loop {
            let packet = read_packet(&mut client)?;
            let (sequence, payload) = (packet[3], &packet[4..]);
            if sequence == 1 && payload.len() > 4 && id(payload) & QUERY_ATTRIBUTES & capabilities != 0 {
                attributes = &[0, 1];
            }
            // A command begins at sequence 0; before that, the handshake.
            let sql = match payload.first() {
                Some(&(QUERY | PREPARE)) if sequence == 0 => Some(String::from_utf8_lossy(&payload[1..]).into_owned()),
                Some(&EXECUTE) if sequence == 0 => lock(prepared).get(&id(&payload[1..])).cloned(),
                _ => None,
            };
            if sql.as_ref().is_some_and(|sql| self.strikes(sql)) {
                let length = u8::try_from(1 + attributes.len() + STRUCK.len()).expect("a short packet");
                server.write_all(&[&[length, 0, 0, 0, QUERY], attributes, STRUCK.as_bytes()].concat())?;
                continue;
            }
            if payload.first() == Some(&PREPARE) && sequence == 0 {
                *lock(preparing) = sql;
            }
            server.write_all(&packet)?;
        }
    }

    fn strikes(&self, sql: &str) -> bool {
        let strikes = sql.contains(lock(&self.sql).as_str())
            && self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if strikes {
            self.struck.fetch_add(1, Ordering::SeqCst);
        }
        strikes
    }
}

fn pump_answers(
    mut server: TcpStream,
    mut client: TcpStream,
    preparing: &Mutex<Option<String>>,
    prepared: &Mutex<HashMap<u32, String>>,
) {
    while let Ok(packet) = read_packet(&mut server) {
        if let (Some(sql), Some(0)) = (lock(preparing).take(), packet.get(4)) {
            lock(prepared).insert(id(&packet[5..]), sql);
        }
        if client.write_all(&packet).is_err() {
            break;
        }
    }
    let _ = client.shutdown(std::net::Shutdown::Both);
}

/// Forwards the server's greeting, and returns what it is capable of (MySQL source documentation, "Protocol::HandshakeV10").
fn greet(server: &mut impl Read, client: &mut impl Write) -> io::Result<u32> {
    let packet = read_packet(server)?;
    client.write_all(&packet)?;
    // Behind the version's NUL: id, data, filler, the lower half; character set, status, the upper half.
    let version = packet.iter().skip(5).position(|byte| *byte == 0).unwrap_or(0);
    let at = |offset: usize| packet.get(5 + version + 1 + offset).copied().unwrap_or(0);
    Ok(u32::from_le_bytes([at(13), at(14), at(18), at(19)]))
}

/// With its head.
fn read_packet(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut packet = vec![0; 4];
    stream.read_exact(&mut packet)?;
    let length = u32::from_le_bytes([packet[0], packet[1], packet[2], 0]) as usize;
    packet.resize(4 + length, 0);
    stream.read_exact(&mut packet[4..])?;
    Ok(packet)
}

fn id(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes[..4].try_into().expect("four bytes"))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
