//! A git server on a port of this machine, around the library's fetches: the git protocol, which talks as SSH does, and
//! smart HTTP, which is stateless. The path of a URL is the folder of a repository.

use std::{
    io::{self, BufRead as _, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
    thread,
};

use deis_build::git::{Repository, Service};
use flate2::read::GzDecoder;

/// How clients reach the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Git,
    Http,
}

/// Serves for as long as the process lives; returns what stands before the path in a URL.
pub(crate) fn serve(transport: Transport) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || match transport {
                Transport::Git => git(&stream),
                Transport::Http => http(&stream),
            });
        }
    });
    match transport {
        Transport::Git => format!("git://127.0.0.1:{port}"),
        Transport::Http => format!("http://127.0.0.1:{port}"),
    }
}

fn repository(path: &str) -> Repository {
    Repository::open_or_create(path).unwrap()
}

fn git(mut stream: &TcpStream) -> io::Result<()> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::from_str_radix(std::str::from_utf8(&length).unwrap(), 16).unwrap();
    let mut line = vec![0; length - 4];
    stream.read_exact(&mut line)?;
    let line = String::from_utf8(line).unwrap();
    let path = line.strip_prefix("git-upload-pack ").and_then(|rest| rest.split('\0').next()).unwrap();
    let repository = repository(path);
    let mut out = io::BufWriter::new(stream);
    repository.advertise(Service::UploadPack, false, &mut out).unwrap();
    let _ = repository.upload(stream, &mut out, false);
    out.flush()
}

/// What stands before the path of a repository that git itself serves.
pub(crate) const PEER: &str = "/peer";

fn http(mut stream: &TcpStream) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let (mut length, mut packed, mut kind) = (0, false, String::new());
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap(),
            "content-encoding" => packed = value == "gzip",
            "content-type" => value.clone_into(&mut kind),
            _ => {}
        }
    }
    let path = first.split(' ').nth(1).unwrap();
    if let Some(path) = path.strip_prefix(PEER) {
        // Version 0 as here: a client follows tags in another way in version 2.
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let mut body = Vec::new();
        reader.take(length).read_to_end(&mut body)?;
        let mut backend = Command::new("git")
            .arg("http-backend")
            .env("GIT_PROJECT_ROOT", "/")
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env_remove("GIT_PROTOCOL")
            .env("PATH_INFO", path)
            .env("QUERY_STRING", query)
            .env("REQUEST_METHOD", first.split(' ').next().unwrap())
            .env("CONTENT_TYPE", kind)
            .env("CONTENT_LENGTH", body.len().to_string())
            .env("HTTP_CONTENT_ENCODING", if packed { "gzip" } else { "" })
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        backend.stdin.take().unwrap().write_all(&body)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n")?;
        return stream.write_all(&backend.wait_with_output()?.stdout);
    }
    let mut answer = Vec::new();
    let kind = if let Some(path) = path.strip_suffix("/info/refs?service=git-upload-pack") {
        repository(path).advertise(Service::UploadPack, true, &mut answer).unwrap();
        "advertisement"
    } else {
        let repository = repository(path.strip_suffix("/git-upload-pack").unwrap());
        let body = reader.take(length);
        let body: Box<dyn Read> = if packed { Box::new(GzDecoder::new(body)) } else { Box::new(body) };
        let _ = repository.upload(body, &mut answer, true);
        "result"
    };
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-{kind}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        answer.len()
    )?;
    stream.write_all(&answer)
}
