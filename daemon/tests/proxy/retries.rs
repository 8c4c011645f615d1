//! Another instance, or another connection, where that can neither lose nor double a request.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::io::AsyncWriteExt as _;

use crate::{
    app::{app, mirror, nobody, read_head},
    test_proxy::TestProxy,
};

#[tokio::test]
async fn an_instance_that_is_gone_is_passed_over() {
    let proxy = TestProxy::to(&[nobody().await, mirror().await]).await;
    for method in ["GET", "POST"] {
        for _ in 0..4 {
            let answer = proxy.request(method, "body").await;
            assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("body"), "{answer}");
        }
    }
    assert!(proxy.metrics.retries() > 0);
    proxy.is_idle().await;
}

#[tokio::test]
async fn a_refused_connect_is_found_out_once() {
    let proxy = TestProxy::to(&[nobody().await, mirror().await]).await;
    for _ in 0..10 {
        assert!(proxy.request("POST", "body").await.starts_with("HTTP/1.1 200"));
    }
    assert_eq!(proxy.metrics.retries(), 1, "from then on it is out of rotation");
    let refused: Vec<_> = proxy.instances().into_iter().filter(|i| i.refused).collect();
    assert_eq!(refused.len(), 1);
    proxy.endpoints.passed(proxy.app, &refused[0].instance);
    for _ in 0..10 {
        assert!(proxy.request("POST", "body").await.starts_with("HTTP/1.1 200"));
    }
    assert_eq!(proxy.metrics.retries(), 2, "its next passed check brought it back");
}

/// An address at which somebody listens, and never accepts: its queue is full, so the kernel answers no more connects.
async fn full() -> (std::net::SocketAddr, Vec<tokio::net::TcpStream>, tokio::net::TcpListener) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    let connect = || {
        tokio::time::timeout(std::time::Duration::from_millis(300), tokio::net::TcpStream::connect(address))
    };
    while let Ok(stream) = connect().await {
        queued.push(stream.unwrap());
    }
    (address, queued, listener)
}

#[tokio::test]
async fn a_connect_that_takes_long_goes_to_another_instance() {
    let (address, _queued, _listener) = full().await;
    let proxy = TestProxy::to(&[address]).await;
    drop(proxy.join(mirror().await));
    // Whichever comes first, both requests are answered; the slow one is tried at most once.
    for _ in 0..4 {
        let mut stream = proxy.connect().await;
        stream
            .write_all(b"POST / HTTP/1.1\r\nHost: blog.example.com\r\nContent-Length: 0\r\n\r\n")
            .await
            .unwrap();
        let head = tokio::time::timeout(std::time::Duration::from_secs(9), read_head(&mut stream)).await;
        assert!(head.expect("another instance answers in time").unwrap().starts_with("http/1.1 200"));
    }
    assert_eq!(proxy.metrics.retries(), 1);
}

#[tokio::test]
async fn the_only_instance_is_waited_for_longer() {
    let (address, queued, listener) = full().await;
    let proxy = TestProxy::to(&[address]).await;
    let mut stream = proxy.connect().await;
    stream
        .write_all(b"POST / HTTP/1.1\r\nHost: blog.example.com\r\nContent-Length: 0\r\n\r\n")
        .await
        .unwrap();
    // Longer than another instance would be waited for; then the app accepts again.
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    drop(queued);
    let serving = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            if read_head(&mut stream).await.is_some() {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
                return;
            }
        }
    });
    let head = tokio::time::timeout(std::time::Duration::from_secs(15), read_head(&mut stream)).await;
    assert!(head.expect("it is answered").unwrap().starts_with("http/1.1 200"));
    serving.await.unwrap();
}

#[tokio::test]
async fn a_kept_connection_is_never_another_apps() {
    // Answers with the number of its connection.
    let address = app(|number, mut stream| async move {
        while read_head(&mut stream).await.is_some() {
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    })
    .await;
    let proxy = TestProxy::to(&[address]).await;
    for _ in 0..3 {
        assert!(proxy.request("GET", "").await.ends_with('0'), "the connection is kept");
    }
    // The address goes, and comes again as somebody else's.
    let known = proxy.instances();
    proxy.endpoints.remove(proxy.app, &known[0].process, &known[0].instance);
    drop(proxy.join(address));
    assert!(proxy.request("GET", "").await.ends_with('1'), "and used for nobody else");
}

#[tokio::test]
async fn without_any_instance_a_person_is_told() {
    let empty = TestProxy::to(&[]).await;
    let answer = empty.request("GET", "").await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.to_lowercase().contains("retry-after"), "{answer}");
    let page = empty
        .raw("GET / HTTP/1.1\r\nHost: blog.example.com\r\nAccept: text/html\r\nConnection: close\r\n\r\n")
        .await;
    assert!(page.contains("<h1>This app is not running</h1>"), "{page}");
    let dead = TestProxy::to(&[nobody().await]).await;
    assert!(dead.request("GET", "").await.starts_with("HTTP/1.1 502"));
}

#[tokio::test]
async fn a_kept_connection_that_the_app_closes_loses_no_request() {
    // Answers once per connection, promises to keep it, and closes it.
    let proxy = TestProxy::to(&[app(|_, mut stream| async move {
        read_head(&mut stream).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
    })
    .await])
    .await;
    for _ in 0..50 {
        assert!(proxy.request("GET", "").await.starts_with("HTTP/1.1 200"));
    }
}

/// An app that counts requests for `/poison` and answers them with these bytes and an end; others as it should.
async fn poisoned(seen: &Arc<AtomicUsize>, answer: &'static str) -> std::net::SocketAddr {
    let seen = Arc::clone(seen);
    app(move |_, mut stream| {
        let seen = Arc::clone(&seen);
        async move {
            while let Some(head) = read_head(&mut stream).await {
                if head.contains("/poison") {
                    seen.fetch_add(1, Ordering::SeqCst);
                    let _ = stream.write_all(answer.as_bytes()).await;
                    return;
                }
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
            }
        }
    })
    .await
}

fn poison(method: &str) -> String {
    format!(
        "{method} /poison HTTP/1.1\r\nHost: blog.example.com\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    )
}

#[tokio::test]
async fn what_may_have_been_done_is_not_done_again() {
    for answer in ["", "HTTP/1.1 2", "nonsense\r\n\r\n"] {
        for method in ["GET", "POST"] {
            let seen = Arc::new(AtomicUsize::new(0));
            let apps = [poisoned(&seen, answer).await, poisoned(&seen, answer).await];
            let proxy = TestProxy::to(&apps).await;
            assert!(proxy.raw(&poison(method)).await.starts_with("HTTP/1.1 502"));
            assert_eq!(seen.load(Ordering::SeqCst), 1, "{method}, answered by {answer:?}");
            proxy.is_idle().await;
        }
    }
}

#[tokio::test]
async fn a_kept_connection_that_ends_in_silence_is_tried_once_more_and_at_the_same_instance() {
    for (answer, times) in [("", 2), ("HTTP/1.1 2", 1), ("nonsense\r\n\r\n", 1)] {
        let seen = Arc::new(AtomicUsize::new(0));
        let proxy = TestProxy::to(&[poisoned(&seen, answer).await]).await;
        let other = Arc::new(AtomicUsize::new(0));
        let _busy = proxy.join(poisoned(&other, answer).await);
        // One that answers makes the connection a kept one.
        assert!(proxy.request("GET", "").await.ends_with("ok"));
        assert!(proxy.raw(&poison("GET")).await.starts_with("HTTP/1.1 502"));
        assert_eq!((seen.load(Ordering::SeqCst), other.load(Ordering::SeqCst)), (times, 0), "{answer:?}");
    }
}

#[tokio::test]
async fn answers_that_are_none_are_bad_gateways() {
    for answer in [
        "nonsense\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nBad Name: 1\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
        &format!("HTTP/1.1 200 {}\r\nContent-Length: 0\r\n\r\n", "x".repeat(70_000)),
    ] {
        let answer = answer.to_owned();
        let sent = answer.clone();
        let proxy = TestProxy::to(&[app(move |_, mut stream| {
            let sent = sent.clone();
            async move {
                read_head(&mut stream).await.unwrap();
                let _ = stream.write_all(sent.as_bytes()).await;
            }
        })
        .await])
        .await;
        let got = proxy.request("GET", "").await;
        let start: String = answer.chars().take(100).collect();
        assert!(got.starts_with("HTTP/1.1 502"), "{start:?}: {got}");
        assert!(got.contains("not valid HTTP") && !got.contains("closed the connection"), "{start:?}: {got}");
        proxy.is_idle().await;
    }
}
