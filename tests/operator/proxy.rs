//! A proxy that serves a client by two sessions of the server, in turn. (So what was prepared can't be executed later.)

use std::{
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    thread,
};

use diesel::prelude::*;
use diesel_named_lock::operator::{Severity, Topic, server_report};

use testkit::world::*;

use crate::report::assert_found;

/// What a packet of a client begins with (MySQL internals manual, "Command Phase").
const COM_QUERY: u8 = 0x03;
const COM_STMT_PREPARE: u8 = 0x16;
/// What a server's packet begins with when the client is in.
const OK: u8 = 0x00;

/// The URL of such a proxy. It takes one client, and ends with it.
fn multiplexer() -> String {
    let upstream = url::Url::parse(server().tcp_url()).unwrap().socket_addrs(|| None).unwrap()[0];
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut client = listener.accept()?.0;
        let mut sessions = [TcpStream::connect(upstream)?, TcpStream::connect(upstream)?];
        log_in(&mut client, &mut sessions)?;
        for session in &sessions {
            let (mut from, mut to) = (session.try_clone()?, client.try_clone()?);
            thread::spawn(move || io::copy(&mut from, &mut to));
        }
        let mut turn = 0;
        loop {
            // Only the session that was asked answers, so both may speak to the client.
            let packet = read_packet(&mut client)?;
            turn += usize::from([COM_QUERY, COM_STMT_PREPARE].contains(&packet[HEADER]));
            sessions[turn % 2].write_all(&packet)?;
        }
        #[allow(unreachable_code, reason = "it tells the type")]
        io::Result::Ok(())
    });
    // What is encrypted can't be handed out.
    format!("mysql://root@127.0.0.1:{port}/test?ssl_mode=disabled")
}

/// What the client says to the first session goes to the second as well: without a password, it is the same.
fn log_in(client: &mut TcpStream, sessions: &mut [TcpStream; 2]) -> io::Result<()> {
    let [first, second] = sessions;
    let mut greeting = read_packet(first)?;
    read_packet(second)?;
    while greeting[HEADER] != OK {
        client.write_all(&greeting)?;
        let reply = read_packet(client)?;
        first.write_all(&reply)?;
        second.write_all(&reply)?;
        greeting = read_packet(first)?;
        read_packet(second)?;
    }
    client.write_all(&greeting)
}

const HEADER: usize = 4;

/// A packet with its header: three bytes of length, one of sequence.
fn read_packet(from: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut packet = vec![0; HEADER];
    from.read_exact(&mut packet)?;
    let length = u32::from_le_bytes([packet[0], packet[1], packet[2], 0]) as usize;
    packet.resize(HEADER + length, 0);
    from.read_exact(&mut packet[HEADER..])?;
    Ok(packet)
}

#[test]
fn a_proxy_that_hands_out_sessions_by_the_statement_is_a_danger() {
    let mut conn = MysqlConnection::establish(&multiplexer()).unwrap();
    let report = server_report(&mut conn).unwrap();
    assert_found(&report, Topic::Proxy, Severity::Danger, "several sessions");
}
