//! Bodies without limit, both ways at once, and upgraded connections.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    app::{app, read_head},
    test_proxy::TestProxy,
};

const SIZE: u64 = 256 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_large_upload_and_a_large_answer_pass_through() {
    let proxy = TestProxy::to(&[app(|_, mut stream| async move {
        read_head(&mut stream).await.unwrap();
        let got = tokio::io::copy(&mut (&mut stream).take(SIZE), &mut tokio::io::sink()).await.unwrap();
        stream
            .write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {got}\r\n\r\n").as_bytes())
            .await
            .unwrap();
        tokio::io::copy(&mut tokio::io::repeat(b'x').take(got), &mut stream).await.unwrap();
    })
    .await])
    .await;
    let mut stream = proxy.connect().await;
    let head = format!("PUT / HTTP/1.1\r\nHost: blog.example.com\r\nContent-Length: {SIZE}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    tokio::io::copy(&mut tokio::io::repeat(b'x').take(SIZE), &mut stream).await.unwrap();
    assert!(read_head(&mut stream).await.unwrap().contains(&format!("content-length: {SIZE}")));
    let got = tokio::io::copy(&mut stream.take(SIZE), &mut tokio::io::sink()).await.unwrap();
    assert_eq!(got, SIZE);
}

#[tokio::test]
async fn events_arrive_as_they_are_sent() {
    let proxy = TestProxy::to(&[app(|_, mut stream| async move {
        read_head(&mut stream).await.unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
            .await
            .unwrap();
        // The second comes only when the client, having seen the first, hangs up or waits on.
        let _ = tokio::time::timeout(Duration::from_secs(30), stream.read_u8()).await;
    })
    .await])
    .await;
    let mut stream = proxy.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: blog.example.com\r\n\r\n").await.unwrap();
    read_head(&mut stream).await.unwrap();
    let mut chunk = [0; 8];
    stream.read_exact(&mut chunk).await.unwrap();
    assert_eq!(&chunk, b"5\r\nfirst");
    assert_eq!(proxy.leases(), 1);
    // Whoever hangs up gives the lease back.
    drop(stream);
    proxy.is_idle().await;
}

#[tokio::test]
async fn an_upgraded_connection_is_a_pipe() {
    let proxy = TestProxy::to(&[app(|_, mut stream| async move {
        let head = read_head(&mut stream).await.unwrap();
        assert!(head.contains("upgrade: gossip") && head.contains("connection: upgrade"), "{head}");
        let answer =
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: gossip\r\nConnection: upgrade\r\n\r\nhello";
        stream.write_all(answer.as_bytes()).await.unwrap();
        let (mut from, mut to) = stream.split();
        let _ = tokio::io::copy(&mut from, &mut to).await;
    })
    .await])
    .await;
    let mut stream = proxy.connect().await;
    let head = "GET / HTTP/1.1\r\nHost: blog.example.com\r\nConnection: Upgrade\r\nUpgrade: gossip\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    assert!(read_head(&mut stream).await.unwrap().starts_with("http/1.1 101"));
    let mut hello = [0; 5];
    stream.read_exact(&mut hello).await.unwrap();
    stream.write_all(b"and back").await.unwrap();
    let mut back = [0; 8];
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!((&hello, &back), (b"hello", b"and back"));
    assert_eq!(proxy.leases(), 1);
    drop(stream);
    proxy.is_idle().await;
}

#[tokio::test]
async fn nothing_passes_before_an_app_agrees_to_an_upgrade() {
    // The app refuses; what the client sent ahead must not reach it as a request of its own.
    let proxy = TestProxy::to(&[app(|_, mut stream| async move {
        read_head(&mut stream).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno").await.unwrap();
        let smuggled = tokio::time::timeout(Duration::from_millis(300), read_head(&mut stream)).await;
        assert!(!matches!(smuggled, Ok(Some(ref head)) if head.contains("/smuggled")), "{smuggled:?}");
    })
    .await])
    .await;
    let answer = proxy
        .raw(
            "GET / HTTP/1.1\r\nHost: blog.example.com\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n\
             GET /smuggled HTTP/1.1\r\nHost: none.example.com\r\n\r\n",
        )
        .await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    proxy.is_idle().await;
}

/// Asks for these protocols; returns the connection and the head of the answer.
async fn ask(proxy: &TestProxy, method: &str, headers: &str) -> (tokio::net::TcpStream, String) {
    let mut stream = proxy.connect().await;
    let head = format!("{method} / HTTP/1.1\r\nHost: blog.example.com\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = read_head(&mut stream).await.unwrap();
    (stream, answer)
}

#[tokio::test]
async fn no_connection_becomes_another_version_of_http() {
    // The app agrees to whatever it is offered, and to h2c in any case.
    let proxy = TestProxy::to(&[app(|_, mut stream| async move {
        let head = read_head(&mut stream).await.unwrap();
        assert!(!head.contains("h2c") && !head.contains("http2-settings"), "{head}");
        let offered = crate::app::header(&head, "upgrade").unwrap_or("h2c");
        let answer = format!("HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: {offered}\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await])
    .await;
    for (protocols, status) in [("h2c", 502), ("H2C", 502), ("H2c, h2C", 502), ("websocket, h2c", 101)] {
        let headers =
            format!("Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AA\r\nUpgrade: {protocols}\r\n");
        let (_, answer) = ask(&proxy, "GET", &headers).await;
        assert!(answer.starts_with(&format!("http/1.1 {status} ")), "{protocols}: {answer}");
    }
    proxy.is_idle().await;
}

#[tokio::test]
async fn only_a_plain_get_is_upgraded() {
    let proxy = TestProxy::to(&[crate::app::mirror().await]).await;
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    for (method, more) in [("POST", ""), ("GET", "Content-Length: 1\r\n"), ("HEAD", "")] {
        let (_, answer) = ask(&proxy, method, &format!("{upgrade}{more}")).await;
        assert!(answer.starts_with("http/1.1 400 "), "{method} {more}: {answer}");
    }
    assert_eq!(proxy.leases(), 0);
}

/// An app that upgrades and then says nothing.
async fn silent() -> std::net::SocketAddr {
    app(|_, mut stream| async move {
        read_head(&mut stream).await.unwrap();
        let answer = b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: gossip\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        let _ = stream.read_u8().await;
    })
    .await
}

#[tokio::test]
async fn a_silent_tunnel_is_closed() {
    let proxy = TestProxy::with(&[silent().await], |o| o.idle_tunnel = Duration::from_millis(300)).await;
    let (mut stream, _) = ask(&proxy, "GET", "Connection: Upgrade\r\nUpgrade: gossip\r\n").await;
    assert_eq!(proxy.leases(), 1);
    let end = tokio::time::timeout(Duration::from_secs(20), stream.read_u8()).await;
    assert!(end.expect("the tunnel ends").is_err());
    proxy.is_idle().await;
}

#[tokio::test]
async fn a_tunnel_outlives_the_limits_of_requests() {
    let limit = Duration::from_millis(100);
    let proxy = TestProxy::with(&[silent().await], |o| {
        (o.head_timeout, o.idle_timeout, o.answer_timeout) = (limit, limit, limit);
    })
    .await;
    let (mut stream, answer) = ask(&proxy, "GET", "Connection: Upgrade\r\nUpgrade: gossip\r\n").await;
    assert!(answer.starts_with("http/1.1 101"), "{answer}");
    let end = tokio::time::timeout(5 * limit, stream.read_u8()).await;
    assert!(end.is_err(), "{end:?}");
    assert_eq!(proxy.leases(), 1);
}

#[tokio::test]
async fn whoever_pauses_before_an_upgraded_connection_loses_nothing() {
    let size = 64_u64 << 20;
    let loud = app(move |_, mut stream| async move {
        read_head(&mut stream).await.unwrap();
        let answer = b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: gossip\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        tokio::io::copy(&mut tokio::io::repeat(b'x').take(size), &mut stream).await.unwrap();
    })
    .await;
    let stall = Duration::from_millis(200);
    let proxy = TestProxy::with(&[loud], |o| o.stall_timeout = stall).await;
    let (mut stream, _) = ask(&proxy, "GET", "Connection: Upgrade\r\nUpgrade: gossip\r\n").await;
    tokio::time::sleep(5 * stall).await;
    let read = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.unwrap();
    assert_eq!(read, size);
}

#[tokio::test]
async fn tunnels_and_followers_end_with_the_proxy() {
    let proxy = TestProxy::with(&[silent().await], |o| o.stop_limit = Duration::from_secs(3600)).await;
    let (mut tunnel, _) = ask(&proxy, "GET", "Connection: Upgrade\r\nUpgrade: gossip\r\n").await;
    let mut follower = proxy.connect().await;
    follower.write_all(b"GET /follow HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    read_head(&mut follower).await.unwrap();
    proxy.stop.cancel();
    assert!(tunnel.read_u8().await.is_err());
    let mut rest = String::new();
    follower.read_to_string(&mut rest).await.unwrap();
    assert!(rest.contains("hello") && rest.ends_with("0\r\n\r\n"), "it ends well: {rest:?}");
    tokio::time::timeout(Duration::from_secs(20), proxy.ended).await.expect("the proxy ends").unwrap();
}
