//! The checks that tell whether an instance is ready, and whether it is alive.

use std::{
    fmt::Write as _,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::model::HttpCheck;

/// Longest wait for a loopback connection.
const CONNECT: Duration = Duration::from_secs(1);

/// Where somebody accepts on this port: 127.0.0.1 counts here, and `::1` for what listens on nothing else.
pub(in crate::local) async fn accepts(port: u16) -> io::Result<SocketAddr> {
    let addresses = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]
        .map(|ip| SocketAddr::new(ip, port));
    // The error of IPv4 is the one to show: most machines have no listener on IPv6, which says nothing.
    let mut first_error = None;
    for address in addresses {
        match connect(address).await {
            Ok(_) => return Ok(address),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    Err(first_error.unwrap_or_else(|| io::ErrorKind::ConnectionRefused.into()))
}

/// Asks once over HTTP; 2xx and 3xx pass. Over `HTTPS` only the connection is checked: what an instance has
/// to show there, nobody here could verify.
pub(in crate::local) async fn http(port: u16, check: &HttpCheck) -> Result<SocketAddr, String> {
    let address = accepts(port).await.map_err(|error| format!("port {port}: {error}"))?;
    if check.scheme.as_deref().is_some_and(|s| s.eq_ignore_ascii_case("https")) {
        return Ok(address);
    }
    let path = check.path.as_deref().filter(|p| p.starts_with('/')).unwrap_or("/");
    let status = status(address, path, check).await.map_err(|error| format!("GET {path}: {error}"))?;
    if (200..400).contains(&status) { Ok(address) } else { Err(format!("GET {path} answered {status}")) }
}

async fn status(address: SocketAddr, path: &str, check: &HttpCheck) -> io::Result<u16> {
    // Written by hand: a client that follows redirects, reuses connections or reads bodies does more than a probe is to.
    let host = check.host.clone().unwrap_or_else(|| address.to_string());
    let mut request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: deis-check\r\n");
    for header in &check.http_headers {
        let _ = write!(request, "{}: {}\r\n", header.name, header.value);
    }
    request.push_str("Connection: close\r\n\r\n");
    let mut stream = connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    // "HTTP/1.1 200": all that is of interest.
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await?;
    let code =
        std::str::from_utf8(&answer).ok().and_then(|t| t.strip_prefix("HTTP/1.")?.get(2..)?.parse().ok());
    code.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP"))
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    match timeout(CONNECT, TcpStream::connect(address)).await {
        Ok(result) => result,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answering(answer: &'static str) -> u16 {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let mut buffer = [0; 1024];
                    let _ = stream.read(&mut buffer).await;
                    let _ = stream.write_all(answer.as_bytes()).await;
                });
            }
        });
        port
    }

    fn get(path: &str) -> HttpCheck {
        HttpCheck { path: Some(path.into()), port: 0, host: None, scheme: None, http_headers: Vec::new() }
    }

    #[tokio::test]
    async fn the_status_decides() {
        let good = answering("HTTP/1.1 204 No Content\r\n\r\n").await;
        assert!(http(good, &get("/")).await.is_ok());
        let bad = answering("HTTP/1.0 500 Oops\r\n\r\n").await;
        assert_eq!(http(bad, &get("/up")).await.unwrap_err(), "GET /up answered 500");
        let other = answering("SSH-2.0-OpenSSH_9.2\r\n").await;
        assert!(http(other, &get("/")).await.unwrap_err().contains("not HTTP"));
    }

    #[tokio::test]
    async fn nobody_accepts_on_a_free_port() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        assert_eq!(accepts(port).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}
