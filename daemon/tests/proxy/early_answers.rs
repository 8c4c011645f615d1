//! An app that answers before it has read the request, and closes its socket: the answer reaches the client all the same.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    app::{app, read_head},
    test_proxy::TestProxy,
};

/// How an app frames its answer.
#[derive(Clone, Copy, Debug)]
enum Framing {
    Length,
    Chunked,
    Close,
}

/// A whole answer of this many bytes.
fn answer(size: usize, framing: Framing) -> Vec<u8> {
    let body = vec![b'x'; size];
    let mut answer = b"HTTP/1.1 413 Content Too Large\r\n".to_vec();
    match framing {
        Framing::Length => answer.extend(format!("Content-Length: {size}\r\n\r\n").bytes()),
        Framing::Chunked => answer.extend(format!("Transfer-Encoding: chunked\r\n\r\n{size:x}\r\n").bytes()),
        Framing::Close => answer.extend(b"Connection: close\r\n\r\n"),
    }
    answer.extend(body);
    if matches!(framing, Framing::Chunked) {
        answer.extend(b"\r\n0\r\n\r\n");
    }
    answer
}

/// A proxy before an app that reads a head, answers, and closes with all of the body unread.
async fn closes_early(answer: Vec<u8>) -> TestProxy {
    TestProxy::to(&[app(move |_, mut stream| {
        let answer = answer.clone();
        async move {
            read_head(&mut stream).await.unwrap();
            let _ = stream.write_all(&answer).await;
        }
    })
    .await])
    .await
}

/// A client that sends all of its body before it reads, as many libraries do. Returns the answer.
async fn upload(proxy: &TestProxy, headers: &str, size: usize, answer_size: usize) -> Vec<u8> {
    let mut stream = proxy.connect().await;
    let is_chunked = headers.contains("chunked");
    let length = if is_chunked { String::new() } else { format!("Content-Length: {size}\r\n") };
    let head = format!("POST / HTTP/1.1\r\nHost: blog.example.com\r\n{length}{headers}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let block = vec![b'y'; 64 * 1024];
    let sending = async {
        let mut left = size;
        while left > 0 {
            let next = left.min(block.len());
            if is_chunked {
                stream.write_all(format!("{next:x}\r\n").as_bytes()).await?;
            }
            stream.write_all(&block[..next]).await?;
            if is_chunked {
                stream.write_all(b"\r\n").await?;
            }
            left -= next;
        }
        if is_chunked { stream.write_all(b"0\r\n\r\n").await } else { Ok(()) }
    };
    tokio::time::timeout(Duration::from_secs(60), sending).await.expect("the body is taken").unwrap();
    let mut answer = Vec::new();
    // A body that was sent before the answer began leaves the connection in use: it does not end by itself.
    let reading = async {
        while !is_complete(&answer, answer_size) && stream.read_buf(&mut answer).await.unwrap() > 0 {}
    };
    let _ = tokio::time::timeout(Duration::from_secs(60), reading).await;
    answer
}

fn is_complete(answer: &[u8], size: usize) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some(start) = text.find("HTTP/1.1 413 ") else { return false };
    let Some((_, body)) = text[start..].split_once("\r\n\r\n") else { return false };
    let ends = !text.contains("chunked") || text.ends_with("0\r\n\r\n");
    ends && body.bytes().filter(|b| *b == b'x').count() == size
}

/// Several clients at a time: what is lost is lost in a race.
async fn all_are_delivered(
    times: usize,
    headers: &'static str,
    size: usize,
    answer_size: usize,
    framing: Framing,
) {
    let proxy = std::sync::Arc::new(closes_early(answer(answer_size, framing)).await);
    let mut delivered = 0;
    for _ in 0..times.div_ceil(4) {
        let four: Vec<_> = (0..4)
            .map(|_| {
                let proxy = std::sync::Arc::clone(&proxy);
                tokio::spawn(async move { upload(&proxy, headers, size, answer_size).await })
            })
            .collect();
        for one in four {
            let answer = one.await.unwrap();
            if is_complete(&answer, answer_size) {
                delivered += 1;
            } else {
                let shown = String::from_utf8_lossy(&answer[..answer.len().min(300)]).into_owned();
                println!("{headers:?} {size} {answer_size} {framing:?}: {} bytes: {shown}", answer.len());
            }
        }
    }
    assert_eq!(delivered, times, "{headers:?}, {size} bytes up, {answer_size} down, {framing:?}");
    proxy.is_idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_of_forty_at_ten_megabytes() {
    all_are_delivered(40, "", 10_000_000, 20, Framing::Length).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_size_of_the_body() {
    for size in [1000, 20_000, 100_000, 1_000_000] {
        all_are_delivered(40, "", size, 20, Framing::Length).await;
    }
    all_are_delivered(4, "", 50_000_000, 20, Framing::Length).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn however_request_and_answer_are_framed() {
    for framing in [Framing::Length, Framing::Chunked, Framing::Close] {
        for headers in ["Transfer-Encoding: chunked\r\n", "Connection: close\r\n", "Expect: 100-continue\r\n"]
        {
            all_are_delivered(8, headers, 5_000_000, 200, framing).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_answer_too() {
    for framing in [Framing::Length, Framing::Chunked] {
        all_are_delivered(20, "", 5_000_000, 30_000, framing).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_very_large_answer_of_an_app_that_waits_for_its_end() {
    // It answers with more than any buffer on the way holds, and never reads; the client sends all before it reads.
    const SIZE: usize = 20_000_000;
    let proxy = TestProxy::to(&[app(|_, mut stream| async move {
        read_head(&mut stream).await.unwrap();
        stream.write_all(&answer(SIZE, Framing::Length)).await.unwrap();
        tokio::time::sleep(Duration::from_secs(60)).await;
    })
    .await])
    .await;
    let mut stream = proxy.connect().await;
    let head = "POST / HTTP/1.1\r\nHost: blog.example.com\r\nContent-Length: 1000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b'y'; 1_000_000]).await.unwrap();
    let mut answer = vec![0; SIZE];
    let reading = stream.read_exact(&mut answer);
    tokio::time::timeout(Duration::from_secs(60), reading).await.expect("the answer comes").unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 413 "));
}

#[tokio::test]
async fn a_client_that_stalls_gets_the_answer_that_has_begun() {
    let proxy = TestProxy::with(
        &[app(|_, mut stream| async move {
            read_head(&mut stream).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nbegun").await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
            let _ = stream.write_all(b"ended").await;
            let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
        })
        .await],
        |o| o.stall_timeout = Duration::from_millis(300),
    )
    .await;
    let answer =
        proxy.raw("POST / HTTP/1.1\r\nHost: blog.example.com\r\nContent-Length: 10\r\n\r\nhalf").await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("begunended"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    proxy.is_idle().await;
}

#[tokio::test]
async fn a_refusal_reaches_a_client_that_still_sends() {
    // The platform, a page of the proxy, and the parser itself.
    let proxy = TestProxy::to(&[]).await;
    for (head, status) in [
        ("POST /refuse HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000\r\n\r\n", 413),
        ("POST / HTTP/1.1\r\nHost: nobody.example.com\r\nContent-Length: 5000000\r\n\r\n", 404),
        ("POST / HTTP/1.1\r\nHost: blog.example.com\r\nTransfer-Encoding: x\r\n\r\n", 400),
    ] {
        for _ in 0..10 {
            let mut stream = proxy.connect().await;
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(&vec![b'y'; 5_000_000]).await.expect("all of the body is taken");
            let mut answer = vec![0; 12];
            stream.read_exact(&mut answer).await.expect("the answer comes");
            assert_eq!(String::from_utf8(answer).unwrap(), format!("HTTP/1.1 {status}"));
        }
    }
}
