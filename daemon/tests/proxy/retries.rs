//! Another instance, or another connection, where that can neither lose nor double a request.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::io::AsyncWriteExt as _;

use crate::{
    app::{app, mirror, nobody, read_head},
    front::Front,
};

#[tokio::test]
async fn an_instance_that_is_gone_is_passed_over() {
    let front = Front::to(&[nobody().await, mirror().await]).await;
    for method in ["GET", "POST"] {
        for _ in 0..4 {
            let answer = front.request(method, "body").await;
            assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("body"), "{answer}");
        }
    }
    assert!(front.metrics.retries() > 0);
    front.is_idle().await;
}

#[tokio::test]
async fn without_any_instance_a_person_is_told() {
    let empty = Front::to(&[]).await;
    let answer = empty.request("GET", "").await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.to_lowercase().contains("retry-after"), "{answer}");
    let page = empty
        .raw("GET / HTTP/1.1\r\nHost: blog.example.com\r\nAccept: text/html\r\nConnection: close\r\n\r\n")
        .await;
    assert!(page.contains("<h1>This app is not running</h1>"), "{page}");
    let dead = Front::to(&[nobody().await]).await;
    assert!(dead.request("GET", "").await.starts_with("HTTP/1.1 502"));
}

#[tokio::test]
async fn a_kept_connection_that_the_app_closes_loses_no_request() {
    // Answers once per connection, promises to keep it, and closes it.
    let front = Front::to(&[app(|_, mut stream| async move {
        read_head(&mut stream).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
    })
    .await])
    .await;
    for _ in 0..50 {
        assert!(front.request("GET", "").await.starts_with("HTTP/1.1 200"));
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
            let front = Front::to(&apps).await;
            assert!(front.raw(&poison(method)).await.starts_with("HTTP/1.1 502"));
            assert_eq!(seen.load(Ordering::SeqCst), 1, "{method}, answered by {answer:?}");
            front.is_idle().await;
        }
    }
}

#[tokio::test]
async fn a_kept_connection_that_ends_in_silence_is_tried_once_more_and_at_the_same_instance() {
    for (answer, times) in [("", 2), ("HTTP/1.1 2", 1), ("nonsense\r\n\r\n", 1)] {
        let seen = Arc::new(AtomicUsize::new(0));
        let front = Front::to(&[poisoned(&seen, answer).await]).await;
        // One that answers makes the connection a kept one.
        assert!(front.request("GET", "").await.ends_with("ok"));
        let other = Arc::new(AtomicUsize::new(0));
        let _busy = front.join(poisoned(&other, answer).await);
        assert!(front.raw(&poison("GET")).await.starts_with("HTTP/1.1 502"));
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
    ] {
        let front = Front::to(&[app(move |_, mut stream| async move {
            read_head(&mut stream).await.unwrap();
            let _ = stream.write_all(answer.as_bytes()).await;
        })
        .await])
        .await;
        let got = front.request("GET", "").await;
        assert!(got.starts_with("HTTP/1.1 502"), "{answer:?}: {got}");
        front.is_idle().await;
    }
}
