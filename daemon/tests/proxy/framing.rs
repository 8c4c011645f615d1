//! One request in, exactly one well-formed request out – or an error.

use crate::{
    app::{app, header, mirror, read_head},
    test_proxy::TestProxy,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

#[tokio::test]
async fn an_app_sees_who_asks_and_what_for() {
    let proxy = TestProxy::to(&[mirror().await]).await;
    let answer = proxy
        .raw(
            "GET /a%20b?q=%2F HTTP/1.1\r\nHost: Blog.Example.com:80\r\nX-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n\
             X-Forwarded-Proto: https\r\nX_Forwarded_Host: 6.6.6.6\r\nTrue-Client-IP: 6.6.6.6\r\nX-Request-Id: bad id\r\n\
             HTTP2-Settings: AAMAAABkAAQAAP__\r\nConnection: close, X-Api-Key\r\nX-Api-Key: 1\r\nAccept: */*\r\n\r\n",
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
        "x-api-key: 1",
    ] {
        assert!(answer.contains(line), "{line:?} is missing in {answer}");
    }
    for gone in ["6.6.6.6", "bad id", "http2-settings", "forwarded: for"] {
        assert!(!answer.contains(gone), "{gone:?} went through: {answer}");
    }
}

#[tokio::test]
async fn malformed_requests_end_here() {
    let proxy = TestProxy::to(&[mirror().await]).await;
    let many = "X-Some: 1\r\n".repeat(200);
    let long = format!("X: {}\r\n", "x".repeat(100_000));
    for (what, head, status) in [
        ("no host", "GET / HTTP/1.1\r\n\r\n", 400),
        ("two hosts", "GET / HTTP/1.1\r\nHost: blog.example.com\r\nHost: other\r\n\r\n", 400),
        ("odd host", "GET / HTTP/1.1\r\nHost: a@blog.example.com\r\n\r\n", 400),
        ("odd port", "GET / HTTP/1.1\r\nHost: blog.example.com:99999\r\n\r\n", 400),
        ("a target without host", "GET http://blog.example.com/ HTTP/1.1\r\n\r\n", 400),
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
        let answer = proxy.raw(head).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{what}: {answer}");
    }
    assert_eq!(proxy.leases(), 0);
    assert!(proxy.request("GET", "").await.starts_with("HTTP/1.1 200"));
}

const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: blog.example.com\r\nTransfer-Encoding: chunked\r\n";

#[tokio::test]
async fn a_body_with_two_ends_is_refused() {
    let proxy = TestProxy::to(&[mirror().await]).await;
    let post = "POST / HTTP/1.1\r\nHost: blog.example.com\r\n";
    for framing in [
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: Chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: \u{b}chunked\r\n",
        "Transfer-Encoding : chunked\r\n",
    ] {
        let mut stream = proxy.connect().await;
        // Also on a connection that was used before.
        stream.write_all(b"GET / HTTP/1.1\r\nHost: blog.example.com\r\n\r\n").await.unwrap();
        let first = read_head(&mut stream).await.unwrap();
        let mut body = vec![0; header(&first, "content-length").unwrap().parse().unwrap()];
        stream.read_exact(&mut body).await.unwrap();
        stream.write_all(format!("{post}{framing}\r\n0\r\n\r\n").as_bytes()).await.unwrap();
        let answer = read_head(&mut stream).await.unwrap();
        assert!(answer.starts_with("http/1.1 400 "), "{framing:?}: {answer}");
        let ended = tokio::time::timeout(std::time::Duration::from_secs(5), stream.read_to_end(&mut body));
        ended.await.expect("the connection ends").unwrap();
    }
    proxy.is_idle().await;
}

#[tokio::test]
async fn a_body_that_breaks_off_is_the_clients_fault() {
    let proxy = TestProxy::to(&[mirror().await]).await;
    for chunk in
        ["zz\r\nhello\r\n", "+1\r\na\r\n", "0x1\r\na\r\n", "11111111111111111\r\na\r\n", "1\r\nabc\r\n"]
    {
        let answer = proxy.raw(&format!("{CHUNKED}\r\n{chunk}0\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{chunk:?}: {answer}");
        assert!(answer.contains("connection: close"), "{chunk:?}: {answer}");
    }
    assert_eq!(proxy.metrics.answers()[4], 0);
    proxy.is_idle().await;
}

/// Reads a chunked message as it is on the wire, to its end.
async fn chunked() -> std::net::SocketAddr {
    app(|_, mut stream| async move {
        let mut message = read_head(&mut stream).await.unwrap();
        let mut body = String::new();
        while !body.ends_with("0\r\n\r\n") {
            body.push(char::from(stream.read_u8().await.unwrap()));
        }
        message.push_str(&body);
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", message.len());
        stream.write_all((head + &message).as_bytes()).await.unwrap();
    })
    .await
}

#[tokio::test]
async fn trailers_end_here() {
    let proxy = TestProxy::to(&[chunked().await]).await;
    let trailer = "Trailer: X-Forwarded-For\r\n\r\n5\r\nhello\r\n0\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n";
    let answer = proxy.raw(&format!("{CHUNKED}Connection: close\r\n{trailer}")).await;
    assert!(answer.contains("5\r\nhello\r\n0\r\n\r\n"), "{answer}");
    assert!(!answer.contains("6.6.6.6") && !answer.contains("trailer:"), "{answer}");
}

#[tokio::test]
async fn a_body_reaches_the_app_whatever_the_method() {
    let proxy = TestProxy::to(&[chunked().await]).await;
    for method in ["GET", "DELETE", "POST"] {
        let request = CHUNKED.replace("POST", method);
        let answer = proxy.raw(&format!("{request}Connection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n")).await;
        assert!(answer.contains("5\r\nhello\r\n0\r\n\r\n"), "{method}: {answer}");
    }
}

#[tokio::test]
async fn a_large_head_of_an_answer_is_refused() {
    let proxy = TestProxy::to(&[app(|_, mut stream| async move {
        read_head(&mut stream).await.unwrap();
        let long = "x".repeat(350_000);
        let _ = stream
            .write_all(format!("HTTP/1.1 200 OK\r\nX: {long}\r\nContent-Length: 0\r\n\r\n").as_bytes())
            .await;
    })
    .await])
    .await;
    assert!(proxy.request("GET", "").await.starts_with("HTTP/1.1 502"));
    proxy.is_idle().await;
}

#[tokio::test]
async fn as_many_header_fields_as_were_chosen_pass() {
    let proxy = TestProxy::to(&[app(|_, mut stream| async move {
        let head = read_head(&mut stream).await.unwrap();
        let count: usize = header(&head, "x-count").unwrap().parse().unwrap();
        let many = "X-Some: 1\r\n".repeat(count - 1);
        let _ =
            stream.write_all(format!("HTTP/1.1 200 OK\r\n{many}Content-Length: 0\r\n\r\n").as_bytes()).await;
    })
    .await])
    .await;
    for (count, status) in [(100, 200), (101, 200), (512, 200), (513, 502)] {
        let request = format!(
            "GET / HTTP/1.1\r\nHost: blog.example.com\r\nConnection: close\r\nX-Count: {count}\r\n\r\n"
        );
        let answer = proxy.raw(&request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{count}: {answer}");
    }
    for (more, status) in [(97, 200), (98, 431)] {
        // Host and X-Count are the other two, and Connection the third.
        let many = "X-Some: 1\r\n".repeat(more);
        let request = format!(
            "GET / HTTP/1.1\r\nHost: blog.example.com\r\nConnection: close\r\nX-Count: 1\r\n{many}\r\n"
        );
        let answer = proxy.raw(&request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{more}: {answer}");
    }
}

#[tokio::test]
async fn interim_answers_without_end_are_no_answer() {
    let proxy = TestProxy::to(&[app(|_, mut stream| async move {
        read_head(&mut stream).await.unwrap();
        while stream.write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n").await.is_ok() {}
    })
    .await])
    .await;
    assert!(proxy.request("GET", "").await.starts_with("HTTP/1.1 502"));
    proxy.is_idle().await;
}

#[tokio::test]
async fn the_platform_answers_on_its_own_names() {
    let proxy = TestProxy::to(&[mirror().await]).await;
    for host in ["127.0.0.1", "deis.example.com", "example.com", "localhost"] {
        let answer = proxy.raw(&format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await;
        assert!(answer.contains("the platform"), "{host}: {answer}");
    }
    // An absolute target says whose the request is, whatever the header says.
    let answer = proxy
        .raw("GET http://blog.example.com/x HTTP/1.1\r\nHost: deis.example.com\r\nConnection: close\r\n\r\n")
        .await;
    assert!(answer.contains("get /x http/1.1") && answer.contains("host: blog.example.com"), "{answer}");
}

#[tokio::test]
async fn refusals_of_the_platforms_own_hosts_have_the_form_of_the_api() {
    let proxy = TestProxy::to(&[mirror().await]).await;
    let long = format!("X: {}", "x".repeat(64 << 10));
    for (head, status, code) in [
        ("GET / HTTP/1.1\r\nX: 1", 400, "invalid"),
        ("GET / HTTP/1.1\r\nHost: a@deis.example.com", 400, "invalid"),
        ("GET ftp://deis.example.com/ HTTP/1.1\r\nHost: deis.example.com", 400, "invalid"),
        ("GET ftp://blog.example.com/ HTTP/1.1\r\nHost: blog.example.com", 400, "invalid"),
        ("CONNECT deis.example.com:80 HTTP/1.1\r\nHost: deis.example.com", 405, "method_not_allowed"),
        (&format!("GET / HTTP/1.1\r\nHost: deis.example.com\r\n{long}"), 431, "too_large"),
        ("POST / HTTP/1.1\r\nHost: deis.example.com\r\nTransfer-Encoding: Chunked", 400, "invalid"),
    ] {
        let answer = proxy.raw(&format!("{head}\r\nConnection: close\r\n\r\n")).await;
        let start: String = head.chars().take(100).collect();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{start}: {answer}");
        assert!(answer.contains(&format!("deis_error_code: {code}\r\n")), "{start}: {answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert!(body["detail"].is_string(), "{start}: {body}");
    }
    // An app's own host is answered as its visitors are.
    let answer =
        proxy.raw("CONNECT x:80 HTTP/1.1\r\nHost: blog.example.com\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
}
