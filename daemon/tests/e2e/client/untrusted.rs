//! A controller whose certificate nobody signed, and whose API is older than the client's.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    sync::Arc,
    thread,
};

use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

/// Serves what a log-in asks for, until the test ends, and returns its port.
pub(super) fn controller() -> u16 {
    let certificate = CertificateDer::from_pem_slice(include_bytes!("untrusted.cert.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("untrusted.key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let (listener, config) = (TcpListener::bind("127.0.0.1:0").unwrap(), Arc::new(config));
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            // A client that refuses the certificate hangs up.
            let _ = answer(stream.unwrap(), &config);
        }
    });
    port
}

fn answer(stream: TcpStream, config: &Arc<ServerConfig>) -> std::io::Result<()> {
    let connection = ServerConnection::new(Arc::clone(config)).map_err(std::io::Error::other)?;
    let mut stream = StreamOwned::new(connection, stream);
    let mut first = String::new();
    {
        let mut lines = BufReader::new(&mut stream);
        lines.read_line(&mut first)?;
        let mut header = String::new();
        while lines.read_line(&mut header)? > 2 {
            header.clear();
        }
    }
    let (status, body) = match first.as_str() {
        line if line.starts_with("POST /v2/auth/login/") => ("200 OK", r#"{"token":"t"}"#),
        line if line.starts_with("POST /v2/auth/register/") => ("201 Created", "{}"),
        _ => ("401 Unauthorized", "{}"),
    };
    let length = body.len();
    let headers = format!("DEIS_API_VERSION: 2.2\r\nContent-Length: {length}\r\nConnection: close");
    write!(stream, "HTTP/1.1 {status}\r\n{headers}\r\n\r\n{body}")?;
    stream.conn.send_close_notify();
    stream.flush()
}
