//! Slow clients, slow apps, and the end of the proxy itself.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    app::{app, mirror, read_head},
    front::Front,
};

async fn ends(stream: &mut tokio::net::TcpStream) -> String {
    let mut answer = String::new();
    let reading = stream.read_to_string(&mut answer);
    let _ = tokio::time::timeout(Duration::from_secs(20), reading).await.expect("the connection is ended");
    answer
}

#[tokio::test]
async fn a_head_that_never_ends_is_not_waited_for() {
    let front = Front::with(&[mirror().await], |o| o.head_timeout = Duration::from_millis(200)).await;
    let mut stream = front.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: blog").await.unwrap();
    ends(&mut stream).await;
    assert_eq!(front.leases(), 0);
}

#[tokio::test]
async fn a_body_that_stops_gives_its_instance_back() {
    let front = Front::with(&[mirror().await], |o| o.stall_timeout = Duration::from_millis(200)).await;
    let mut stream = front.connect().await;
    let request = "POST / HTTP/1.1\r\nHost: blog.example.com\r\nContent-Length: 10\r\n\r\nhalf";
    stream.write_all(request.as_bytes()).await.unwrap();
    assert!(ends(&mut stream).await.starts_with("HTTP/1.1 408"));
    front.is_idle().await;
}

#[tokio::test]
async fn an_answer_that_nobody_reads_gives_its_instance_back() {
    let endless = app(|_, mut stream| async move {
        read_head(&mut stream).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n").await.unwrap();
        let _ = tokio::io::copy(&mut tokio::io::repeat(b'x'), &mut stream).await;
    })
    .await;
    let front = Front::with(&[endless], |o| o.stall_timeout = Duration::from_millis(300)).await;
    let mut stream = front.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: blog.example.com\r\n\r\n").await.unwrap();
    read_head(&mut stream).await.unwrap();
    front.is_idle().await;
}

#[tokio::test]
async fn an_app_that_never_answers_is_a_gateway_timeout() {
    let silent = app(|_, stream| async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(stream);
    })
    .await;
    let front = Front::with(&[silent], |o| o.answer_timeout = Duration::from_millis(200)).await;
    assert!(front.request("GET", "").await.starts_with("HTTP/1.1 504"));
    front.is_idle().await;
}

#[tokio::test]
async fn a_proxy_that_stops_ends_what_is_in_flight_first() {
    let slow = app(|_, mut stream| async move {
        read_head(&mut stream).await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone").await.unwrap();
    })
    .await;
    let front = Front::to(&[slow]).await;
    let mut idle = front.connect().await;
    let mut busy = front.connect().await;
    busy.write_all(b"GET / HTTP/1.1\r\nHost: blog.example.com\r\n\r\n").await.unwrap();
    while front.leases() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    front.stop.cancel();
    assert!(ends(&mut busy).await.ends_with("done"));
    ends(&mut idle).await;
    tokio::time::timeout(Duration::from_secs(5), front.ended).await.expect("the proxy ends").unwrap();
}

#[tokio::test]
async fn a_connection_may_be_idle_for_longer_than_a_head_may_take() {
    let limit = Duration::from_millis(200);
    let front = Front::with(&[mirror().await], |o| {
        (o.head_timeout, o.idle_timeout) = (limit, Duration::from_secs(3600));
    })
    .await;
    let mut stream = front.connect().await;
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
    let front = Front::with(&[mirror().await], |o| o.idle_timeout = Duration::from_millis(200)).await;
    let mut stream = front.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    assert!(ends(&mut stream).await.ends_with("the platform"));
}

#[tokio::test]
async fn a_body_that_trickles_is_not_waited_for() {
    let front = Front::with(&[mirror().await], |o| o.stall_timeout = Duration::from_millis(500)).await;
    let stream = front.connect().await;
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
    front.is_idle().await;
    trickle.abort();
}

#[tokio::test]
async fn the_platform_does_not_wait_for_a_body_that_stops_either() {
    let front = Front::with(&[], |o| o.stall_timeout = Duration::from_millis(200)).await;
    let mut stream = front.connect().await;
    let request = "POST /take HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf";
    stream.write_all(request.as_bytes()).await.unwrap();
    assert!(ends(&mut stream).await.starts_with("HTTP/1.1 4"));
}

#[tokio::test]
async fn an_upload_that_goes_on_is_no_slow_answer() {
    let limit = Duration::from_millis(400);
    let front = Front::with(&[mirror().await], |o| o.answer_timeout = limit).await;
    let mut stream = front.connect().await;
    let request =
        "POST / HTTP/1.1\r\nHost: blog.example.com\r\nConnection: close\r\nContent-Length: 15\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    for _ in 0..15 {
        tokio::time::sleep(limit / 8).await;
        stream.write_all(b"x").await.unwrap();
    }
    assert!(ends(&mut stream).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn nobody_takes_more_than_their_share() {
    let silent = app(|_, mut stream| async move {
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    })
    .await;
    let front = Front::with(&[silent], |o| (o.most_connections, o.most_in_flight) = (4, 2)).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = front.connect().await;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: blog.example.com\r\n\r\n").await.unwrap();
        held.push(stream);
    }
    while front.leases() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let answer = front.request("GET", "").await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after"), "{answer}");
    // The platform and other addresses have shares of their own; this address has two connections left.
    let mut last = front.connect().await;
    last.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    assert!(read_head(&mut last).await.unwrap().starts_with("http/1.1 200"));
    held.push(front.connect().await);
    let answer = ends(&mut front.connect().await).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    drop(held);
    front.is_idle().await;
    assert!(front.request("GET", "").await.is_empty(), "the app takes requests again, and answers none");
}
