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
