//! One request in, exactly one well-formed request out – or an error.

use crate::{
    app::{app, mirror, read_head},
    front::Front,
};
use tokio::io::AsyncWriteExt as _;

#[tokio::test]
async fn an_app_sees_who_asks_and_what_for() {
    let front = Front::to(&[mirror().await]).await;
    let answer = front
        .raw(
            "GET /a%20b?q=%2F HTTP/1.1\r\nHost: Blog.Example.com:80\r\nX-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n\
             X-Forwarded-Proto: https\r\nX-Request-Id: bad id\r\nConnection: close, X-Secret\r\nX-Secret: 1\r\nAccept: */*\r\n\r\n",
        )
        .await;
    for line in [
        "get /a%20b?q=%2f http/1.1",
        "host: blog.example.com:80",
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-proto: http\r",
        "x-forwarded-port: 80",
        "x-request-id: ",
        "accept: */*",
    ] {
        assert!(answer.contains(line), "{line:?} is missing in {answer}");
    }
    for gone in ["6.6.6.6", "bad id", "x-secret", "forwarded: for"] {
        assert!(!answer.contains(gone), "{gone:?} went through: {answer}");
    }
}

#[tokio::test]
async fn malformed_requests_end_here() {
    let front = Front::to(&[mirror().await]).await;
    let many = "X-Some: 1\r\n".repeat(200);
    let long = format!("X: {}\r\n", "x".repeat(100_000));
    for (what, head, status) in [
        ("no host", "GET / HTTP/1.1\r\n\r\n", 400),
        ("two hosts", "GET / HTTP/1.1\r\nHost: blog.example.com\r\nHost: other\r\n\r\n", 400),
        ("odd host", "GET / HTTP/1.1\r\nHost: a@blog.example.com\r\n\r\n", 400),
        ("unknown host", "GET / HTTP/1.1\r\nHost: none.example.com\r\n\r\n", 404),
        ("a tunnel", "CONNECT blog.example.com:80 HTTP/1.1\r\nHost: blog.example.com\r\n\r\n", 405),
        (
            "odd coding",
            "POST / HTTP/1.1\r\nHost: blog.example.com\r\nTransfer-Encoding: xchunked\r\n\r\n",
            400,
        ),
        (
            "two lengths",
            "POST / HTTP/1.1\r\nHost: blog.example.com\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            400,
        ),
        ("odd length", "POST / HTTP/1.1\r\nHost: blog.example.com\r\nContent-Length: +1\r\n\r\na", 400),
        ("space in a name", "GET / HTTP/1.1\r\nHost: blog.example.com\r\nX Y: 1\r\n\r\n", 400),
        ("a folded line", "GET / HTTP/1.1\r\nHost: blog.example.com\r\nX: 1\r\n 2\r\n\r\n", 400),
        ("no HTTP", "hello\r\n\r\n", 400),
        ("many headers", &format!("GET / HTTP/1.1\r\nHost: blog.example.com\r\n{many}\r\n"), 431),
        ("a long header", &format!("GET / HTTP/1.1\r\nHost: blog.example.com\r\n{long}\r\n"), 431),
    ] {
        let answer = front.raw(head).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{what}: {answer}");
    }
    assert_eq!(front.leases(), 0);
    assert!(front.request("GET", "").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn two_framings_are_one_to_the_app() {
    let front = Front::to(&[app(|_, mut stream| async move {
        let head = read_head(&mut stream).await.unwrap();
        let both = head.contains("content-length") && head.contains("transfer-encoding");
        let status = if both { 500 } else { 200 };
        stream
            .write_all(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n").as_bytes())
            .await
            .unwrap();
    })
    .await])
    .await;
    let answer = front
        .raw(
            "POST / HTTP/1.1\r\nHost: blog.example.com\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n",
        )
        .await;
    assert!(answer.starts_with("HTTP/1.1 200") || answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[tokio::test]
async fn the_platform_answers_on_its_own_names() {
    let front = Front::to(&[mirror().await]).await;
    for host in ["127.0.0.1", "deis.example.com", "example.com", "localhost"] {
        let answer = front.raw(&format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await;
        assert!(answer.contains("the platform"), "{host}: {answer}");
    }
    // An absolute target says whose the request is, whatever the header says.
    let answer = front
        .raw("GET http://blog.example.com/x HTTP/1.1\r\nHost: deis.example.com\r\nConnection: close\r\n\r\n")
        .await;
    assert!(answer.contains("get /x http/1.1") && answer.contains("host: blog.example.com"), "{answer}");
}
