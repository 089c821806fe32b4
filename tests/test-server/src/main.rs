//! Starts a private server, says what it is and where, and keeps it until standard input ends.
//!
//! `cargo run -p test-server -- mysql` gives a server to try things on; Ctrl-C or Ctrl-D ends it.

#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::{env, io};

use test_server::{Product, Server};

fn main() -> ExitCode {
    let product = env::args().nth(1).map_or_else(|| Ok(Product::wanted()), |name| name.parse());
    match product.map_err(io::Error::other).and_then(Server::start).and_then(serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(server: Server) -> io::Result<()> {
    println!("{} {}", server.product(), server.version());
    println!("{}", server.url());
    println!("{}", server.tcp_url());
    if let Some(pid) = server.pid() {
        println!("process {pid}");
    }
    io::copy(&mut io::stdin(), &mut io::sink()).map(drop)
}
