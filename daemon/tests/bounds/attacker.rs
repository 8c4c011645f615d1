//! Somebody with an address of their own, and connections that do as they are told.

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddrV4, TcpStream},
    time::{Duration, Instant},
};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};

use crate::web::{Answer, parse};

/// Where the attacks come from; everybody else is at 127.0.0.1.
pub(crate) const ATTACKER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// A connection from an address of this machine's loopback network to a port of 127.0.0.1.
pub(crate) fn connect_from(source: Ipv4Addr, port: u16) -> TcpStream {
    // No daemon that another script starts meanwhile shall have it, too.
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
    bind(&socket, &SocketAddrV4::new(source, 0)).unwrap();
    connect(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// A connection on which these bytes were sent. That they may be refused meanwhile is no fault.
pub(crate) fn sent(port: u16, bytes: &[u8]) -> TcpStream {
    let mut stream = connect_from(ATTACKER, port);
    let _ = stream.write_all(bytes);
    stream
}

/// As many as `count` connections, each with these bytes.
pub(crate) fn many(count: usize, port: u16, bytes: &[u8]) -> Vec<TcpStream> {
    (0..count).map(|_| sent(port, bytes)).collect()
}

/// What comes before a pause of this length, or the end.
pub(crate) fn heard(stream: &mut TcpStream, pause: Duration) -> String {
    stream.set_read_timeout(Some(pause)).unwrap();
    let (mut all, mut some) = (Vec::new(), [0; 16 * 1024]);
    while let Ok(count @ 1..) = stream.read(&mut some) {
        all.extend_from_slice(&some[..count]);
    }
    String::from_utf8_lossy(&all).into_owned()
}

/// Reads until the other side ends the connection, which it must within a minute.
pub(crate) fn until_ended(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    if let Err(error) = stream.read_to_end(&mut Vec::new()) {
        // A reset is an end too; a silence of a minute is none.
        assert_ne!(error.kind(), io::ErrorKind::WouldBlock, "still open after a minute");
    }
}

/// Whether the other side has ended a connection.
pub(crate) fn has_ended(stream: &TcpStream) -> bool {
    let mut unread = stream;
    stream.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    loop {
        match unread.read(&mut [0; 1024]) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => {
                return !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
            }
        }
    }
}

/// Waits until so many of these have said something with these words; tells how many have, if it were in vain.
pub(crate) fn are_told(streams: &mut [TcpStream], count: usize, words: &str) -> Result<(), usize> {
    let began = Instant::now();
    let mut heard_so_far = vec![String::new(); streams.len()];
    loop {
        for (stream, said) in streams.iter_mut().zip(&mut heard_so_far) {
            said.push_str(&heard(stream, Duration::from_millis(5)));
        }
        let told = heard_so_far.iter().filter(|said| said.contains(words)).count();
        if told == count {
            return Ok(());
        }
        if told > count || began.elapsed() > Duration::from_secs(20) {
            return Err(told);
        }
    }
}

/// A request of JSON without a token.
pub(crate) fn call_from(source: Ipv4Addr, port: u16, method: &str, path: &str, body: &str) -> Answer {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = connect_from(source, port);
    let mut bytes = Vec::new();
    let _ = stream.write_all(request.as_bytes());
    let _ = stream.read_to_end(&mut bytes);
    parse(&bytes).unwrap_or_default()
}
