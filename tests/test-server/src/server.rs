use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::TcpListener;
use std::time::{Duration, Instant};
use std::{fs, io};

use diesel::prelude::*;
use diesel::sql_types::Text;

use crate::folder::Folder;
use crate::keeper::Keeper;
use crate::product::Product;
use crate::recipe::{Recipe, Setting};
use crate::{mariadb, mysql};

/// A server is up in a second; at load 40, in more than a minute.
const START_LIMIT: Duration = Duration::from_secs(120);

/// How often a server that comes up is asked whether it is up.
const START_POLL: Duration = Duration::from_millis(10);

/// A real server, private to this process unless `DATABASE_URL` named it.
///
/// Dropping a private server kills it and waits until it is gone and its folder removed.
pub struct Server {
    url: String,
    tcp_url: String,
    product: Product,
    version: String,
    private: Option<Private>,
}

struct Private {
    pid: u32,
    /// One for each start, the newest first: it ends the server, before the others are dropped.
    keepers: Vec<Keeper>,
    folder: Folder,
    again: Recipe,
}

impl Server {
    /// Starts a private server and waits until it answers.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] if no server of this product is installed; otherwise the end of the server's own
    /// log tells what went wrong.
    pub fn start(product: Product) -> io::Result<Server> {
        Self::start_with(product, &[])
    }

    /// Like [`start`](Self::start), with command line options of the server's own (`--wait-timeout=5`); they win over ours.
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start).
    pub fn start_with(product: Product, options: &[String]) -> io::Result<Server> {
        loop {
            let port = free_port()?;
            match Self::start_at(product, port, options) {
                // Between our look and the server's start the port may have been taken.
                Err(_) if !is_free(port) => continue,
                outcome => return outcome,
            }
        }
    }

    fn start_at(product: Product, port: u16, options: &[String]) -> io::Result<Server> {
        let folder = Folder::create()?;
        let setting = Setting { folder: &folder, port, options };
        let prepared = fs::write(folder.path().join("init.sql"), "CREATE DATABASE IF NOT EXISTS test;\n")
            .and_then(|()| match product {
                Product::MySql => mysql::recipe(&setting),
                _ => mariadb::recipe(product, &setting),
            })
            .and_then(|recipe| Ok((Keeper::start(&folder, &recipe)?, recipe.without_init())));
        let (keeper, again) = prepared.inspect_err(|_| drop(fs::remove_dir_all(folder.path())))?;

        let url = format!("mysql://root@localhost/test?unix_socket={}", setting.socket());
        let (pid, version) = once_up(product, &url, &keeper, &folder)?;
        Ok(Server {
            url,
            tcp_url: format!("mysql://root@127.0.0.1:{port}/test"),
            product,
            version,
            private: Some(Private { pid, keepers: vec![keeper], folder, again }),
        })
    }

    /// The server behind a URL, which somebody else started.
    ///
    /// # Errors
    ///
    /// When it doesn't answer.
    pub fn at(url: &str) -> io::Result<Server> {
        let version = version_at(url).map_err(io::Error::other)?;
        Ok(Server {
            url: url.to_owned(),
            tcp_url: url.to_owned(),
            product: Product::of_version(&version),
            version,
            private: None,
        })
    }

    /// The URL for Diesel: over the Unix socket if the server is private.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The URL for Diesel over TCP: the loopback if the server is private, otherwise the same as [`url`](Self::url).
    pub fn tcp_url(&self) -> &str {
        &self.tcp_url
    }

    /// The product that was started. Of a server that somebody else started, no more than MariaDB or MySQL is known.
    pub fn product(&self) -> Product {
        self.product
    }

    /// What the server answered to `SELECT VERSION()`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The process id of a private server.
    pub fn pid(&self) -> Option<u32> {
        self.private.as_ref().map(|private| private.pid)
    }

    /// Waits until a private server has ended by itself or by a signal; `false` if it is still alive after this time.
    pub fn ends_within(&self, limit: Duration) -> bool {
        self.private.as_ref().is_some_and(|private| private.keepers[0].server_ends_within(limit))
    }

    /// Starts a private server that has ended once more, on the data that it left. Its addresses stay the same.
    ///
    /// # Errors
    ///
    /// When it doesn't start; the end of the server's own log tells why.
    ///
    /// # Panics
    ///
    /// When it is not a private server.
    pub fn start_again(&mut self) -> io::Result<()> {
        let private = self.private.as_mut().expect("a private server");
        // Of a server that was killed. MySQL takes its process for alive, until the keeper waits for it.
        let _ = fs::remove_file(private.folder.path().join("socket.lock"));
        let keeper = Keeper::start(&private.folder, &private.again)?;
        (private.pid, _) = once_up(self.product, &self.url, &keeper, &private.folder)?;
        private.keepers.insert(0, keeper);
        Ok(())
    }
}

/// A loopback port that is free at this moment. No outgoing connection takes it while a server is down that is started again.
///
/// # Errors
///
/// For a system that has none.
pub fn free_port() -> io::Result<u16> {
    // Below those that Linux gives to outgoing connections.
    const PORTS: std::ops::Range<u64> = 10_000..32_000;
    const TRIES: usize = 100;

    let random = || RandomState::new().build_hasher().finish() % (PORTS.end - PORTS.start) + PORTS.start;
    let port = (0..TRIES).map(|_| random() as u16).find(|port| is_free(*port));
    port.ok_or_else(|| io::Error::other("no port is free"))
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

/// The server's process id and version.
fn once_up(product: Product, url: &str, keeper: &Keeper, folder: &Folder) -> io::Result<(u32, String)> {
    let up = keeper.server_pid().and_then(|pid| Ok((pid, version_once_up(url, keeper)?)));
    up.map_err(|error| with_log(product, error, folder))
}

/// Asks until the server answers or there is no hope that it will.
fn version_once_up(url: &str, keeper: &Keeper) -> io::Result<String> {
    let start = Instant::now();
    loop {
        match version_at(url) {
            Ok(version) => return Ok(version),
            Err(_) if keeper.server_ends_within(START_POLL) => return Err(io::Error::other("it ended at its start")),
            Err(error) if start.elapsed() > START_LIMIT => return Err(io::Error::other(error)),
            Err(_) => {}
        }
    }
}

fn version_at(url: &str) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let mut conn = MysqlConnection::establish(url)?;
    Ok(diesel::select(diesel::dsl::sql::<Text>("VERSION()")).get_result(&mut conn)?)
}

/// Must run before the keeper is dropped, which removes the log.
fn with_log(product: Product, error: io::Error, folder: &Folder) -> io::Error {
    let log = fs::read(folder.path().join("log")).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let last = log.lines().rev().take(20).collect::<Vec<_>>();
    let last = last.into_iter().rev().collect::<Vec<_>>().join("\n  ");
    io::Error::new(error.kind(), format!("{product} doesn't start: {error}; its log ends:\n  {last}"))
}
