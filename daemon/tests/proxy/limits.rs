//! Slow clients, slow apps, and the end of the proxy itself.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    app::{app, mirror, read_head},
    test_proxy::TestProxy,
};

async fn ends(stream: &mut tokio::net::TcpStream) -> String {
    let mut answer = String::new();
    let reading = stream.read_to_string(&mut answer);
    let _ = tokio::time::timeout(Duration::from_secs(20), reading).await.expect("the connection is ended");
    answer
}

#[tokio::test]
async fn a_head_that_never_ends_is_not_waited_for() {
    let proxy = TestProxy::with(&[mirror().await], |o| o.head_timeout = Duration::from_millis(200)).await;
    let mut stream = proxy.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: blog").await.unwrap();
    ends(&mut stream).await;
    assert_eq!(proxy.leases(), 0);
}

#[tokio::test]
async fn a_body_that_stops_gives_its_instance_back() {
    let proxy = TestProxy::with(&[mirror().await], |o| o.stall_timeout = Duration::from_millis(200)).await;
    let mut stream = proxy.connect().await;
    let request = "POST / HTTP/1.1\r\nHost: blog.example.com\r\nContent-Length: 10\r\n\r\nhalf";
    stream.write_all(request.as_bytes()).await.unwrap();
    assert!(ends(&mut stream).await.starts_with("HTTP/1.1 408"));
    proxy.is_idle().await;
}

#[tokio::test]
async fn an_answer_that_nobody_reads_gives_its_instance_back() {
    let endless = app(|_, mut stream| async move {
        read_head(&mut stream).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n").await.unwrap();
        let _ = tokio::io::copy(&mut tokio::io::repeat(b'x'), &mut stream).await;
    })
    .await;
    let proxy = TestProxy::with(&[endless], |o| o.stall_timeout = Duration::from_millis(300)).await;
    let mut stream = proxy.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: blog.example.com\r\n\r\n").await.unwrap();
    read_head(&mut stream).await.unwrap();
    proxy.is_idle().await;
}

#[tokio::test]
async fn an_app_that_never_answers_is_a_gateway_timeout() {
    let silent = app(|_, stream| async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(stream);
    })
    .await;
    let proxy = TestProxy::with(&[silent], |o| o.answer_timeout = Duration::from_millis(200)).await;
    assert!(proxy.request("GET", "").await.starts_with("HTTP/1.1 504"));
    proxy.is_idle().await;
}

#[tokio::test]
async fn a_proxy_that_stops_ends_what_is_in_flight_first() {
    let slow = app(|_, mut stream| async move {
        read_head(&mut stream).await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone").await.unwrap();
    })
    .await;
    let proxy = TestProxy::to(&[slow]).await;
    let mut idle = proxy.connect().await;
    let mut busy = proxy.connect().await;
    busy.write_all(b"GET / HTTP/1.1\r\nHost: blog.example.com\r\n\r\n").await.unwrap();
    while proxy.leases() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    proxy.stop.cancel();
    assert!(ends(&mut busy).await.ends_with("done"));
    ends(&mut idle).await;
    tokio::time::timeout(Duration::from_secs(5), proxy.ended).await.expect("the proxy ends").unwrap();
}

#[tokio::test]
async fn a_connection_may_be_idle_for_longer_than_a_head_may_take() {
    let limit = Duration::from_millis(200);
    let proxy = TestProxy::with(&[mirror().await], |o| {
        (o.head_timeout, o.idle_timeout) = (limit, Duration::from_secs(3600));
    })
    .await;
    let mut stream = proxy.connect().await;
    for _ in 0..2 {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let head = read_head(&mut stream).await.expect("an idle connection is kept");
        let length = crate::app::header(&head, "content-length").unwrap().parse().unwrap();
        stream.read_exact(&mut vec![0; length]).await.unwrap();
        tokio::time::sleep(3 * limit).await;
    }
    // But a head that has begun must come to its end.
    stream.write_all(b"GET / HT").await.unwrap();
    ends(&mut stream).await;
}

#[tokio::test]
async fn an_idle_connection_ends_at_last() {
    let proxy = TestProxy::with(&[mirror().await], |o| o.idle_timeout = Duration::from_millis(200)).await;
    let mut stream = proxy.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    assert!(ends(&mut stream).await.ends_with("the platform"));
}

#[tokio::test]
async fn a_body_that_trickles_is_not_waited_for() {
    let proxy = TestProxy::with(&[mirror().await], |o| o.stall_timeout = Duration::from_millis(500)).await;
    let stream = proxy.connect().await;
    let (mut from, mut to) = stream.into_split();
    let request = "POST / HTTP/1.1\r\nHost: blog.example.com\r\nContent-Length: 100000\r\n\r\n";
    to.write_all(request.as_bytes()).await.unwrap();
    let trickle = tokio::spawn(async move {
        while to.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let mut answer = [0; 12];
    let reading = from.read_exact(&mut answer);
    tokio::time::timeout(Duration::from_secs(20), reading).await.expect("it is answered").unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
    proxy.is_idle().await;
    trickle.abort();
}

#[tokio::test]
async fn the_platform_does_not_wait_for_a_body_that_stops_either() {
    let proxy = TestProxy::with(&[], |o| o.stall_timeout = Duration::from_millis(200)).await;
    let mut stream = proxy.connect().await;
    let request = "POST /take HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf";
    stream.write_all(request.as_bytes()).await.unwrap();
    assert!(ends(&mut stream).await.starts_with("HTTP/1.1 4"));
}

#[tokio::test]
async fn an_upload_that_goes_on_is_no_slow_answer() {
    let limit = Duration::from_millis(400);
    let proxy = TestProxy::with(&[mirror().await], |o| o.answer_timeout = limit).await;
    let mut stream = proxy.connect().await;
    let request =
        "POST / HTTP/1.1\r\nHost: blog.example.com\r\nConnection: close\r\nContent-Length: 15\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    for _ in 0..15 {
        tokio::time::sleep(limit / 8).await;
        stream.write_all(b"x").await.unwrap();
    }
    assert!(ends(&mut stream).await.starts_with("HTTP/1.1 200"));
}

/// An app that takes everything and answers nothing.
async fn mute() -> std::net::SocketAddr {
    app(|_, mut stream| async move {
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    })
    .await
}

fn refusals(proxy: &TestProxy) -> Vec<(&'static str, u64)> {
    let all = proxy.metrics.refusals().map(|(bound, count)| (bound.name(), count));
    all.filter(|(_, count)| *count > 0).collect()
}

#[tokio::test]
async fn one_app_has_so_many_requests_in_flight() {
    let proxy = TestProxy::with(&[mute().await], |o| o.max_in_flight = 2).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = proxy.connect().await;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: blog.example.com\r\n\r\n").await.unwrap();
        held.push(stream);
    }
    while proxy.leases() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let answer = proxy.request("GET", "").await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after"), "{answer}");
    assert!(answer.contains("as many requests in flight as it may"), "{answer}");
    assert_eq!(refusals(&proxy), [("app_requests_in_flight", 1)]);
    drop(held);
    proxy.is_idle().await;
    assert!(proxy.request("GET", "").await.is_empty(), "the app takes requests again, and answers none");
}

#[tokio::test]
async fn traffic_of_apps_does_not_lock_the_operator_out() {
    let proxy = TestProxy::with(&[mute().await], |o| {
        (o.max_address_connections, o.max_address_platform_connections) = (4, 1);
    })
    .await;
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut stream = proxy.connect().await;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: blog.example.com\r\n\r\n").await.unwrap();
        held.push(stream);
    }
    while proxy.leases() < 4 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let answer = proxy.request("GET", "").await;
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.contains("connections to apps from this address"),
        "{answer}"
    );
    let mut operator = proxy.connect().await;
    operator.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    assert!(read_head(&mut operator).await.unwrap().starts_with("http/1.1 200"));
    // The platform has a bound of its own, which is said in the form of its errors.
    let answer = proxy.raw("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.contains("\"code\":\"address_platform_connections\""),
        "{answer}"
    );
    assert_eq!(refusals(&proxy), [("address_app_connections", 1), ("address_platform_connections", 1)]);
    drop((held, operator));
    proxy.is_idle().await;
    assert!(
        proxy
            .raw("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 200")
    );
}

#[tokio::test]
async fn connections_that_ask_for_nothing_give_way() {
    let proxy = TestProxy::with(&[mirror().await], |o| o.max_address_connections = 4).await;
    let mut idle = Vec::new();
    for _ in 0..4 {
        idle.push(proxy.connect().await);
    }
    // A fair chance to say something is a second.
    let answer = proxy.raw("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("ask for nothing"), "{answer}");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(proxy.request("GET", "").await.starts_with("HTTP/1.1 200"));
    assert!(ends(&mut idle[0]).await.is_empty(), "the oldest one ended");
    idle[3].write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    assert!(read_head(&mut idle[3]).await.unwrap().starts_with("http/1.1 200"), "the newest one did not");
}

#[tokio::test]
async fn a_tunnel_counts_as_the_connection_that_it_was() {
    let upgrades = app(|_, mut stream| async move {
        read_head(&mut stream).await.unwrap();
        stream.write_all(b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: gossip\r\n\r\n").await.unwrap();
        let _ = stream.read_u8().await;
    })
    .await;
    let proxy = TestProxy::with(&[upgrades], |o| o.max_address_connections = 1).await;
    let mut tunnel = proxy.connect().await;
    let upgrade =
        b"GET / HTTP/1.1\r\nHost: blog.example.com\r\nConnection: Upgrade\r\nUpgrade: gossip\r\n\r\n";
    tunnel.write_all(upgrade).await.unwrap();
    assert!(read_head(&mut tunnel).await.unwrap().starts_with("http/1.1 101"));
    assert!(proxy.request("GET", "").await.starts_with("HTTP/1.1 503"));
    drop(tunnel);
    proxy.is_idle().await;
}

#[tokio::test]
async fn requests_of_a_trusted_proxy_count_for_their_clients() {
    let proxy = TestProxy::with(&[mute().await], |o| {
        (o.max_address_connections, o.trusted_proxies) = (1, "127.0.0.1".parse().unwrap());
    })
    .await;
    let ask = |client: &str| {
        format!("GET / HTTP/1.1\r\nHost: blog.example.com\r\nX-Forwarded-For: {client}\r\n\r\n")
    };
    let mut held = Vec::new();
    for client in ["192.0.2.1", "192.0.2.2"] {
        let mut stream = proxy.connect().await;
        stream.write_all(ask(client).as_bytes()).await.unwrap();
        held.push(stream);
    }
    while proxy.leases() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(proxy.raw(&ask("192.0.2.1")).await.starts_with("HTTP/1.1 503"));
    drop(held);
    proxy.is_idle().await;
}
