//! Members of the classes of bad requests that no list names: each is refused, or goes on as exactly one request.

use crate::{app::mirror, test_proxy::TestProxy};

const POST: &str = "POST / HTTP/1.1\r\nHost: blog.example.com\r\nConnection: close\r\n";
const GET: &str = "GET / HTTP/1.1\r\nHost: blog.example.com\r\nConnection: close\r\n";

/// The statuses of all answers to what was sent on one connection.
async fn statuses(proxy: &TestProxy, sent: &str) -> Vec<u16> {
    let said = proxy.raw(sent).await;
    let lines = said.lines().filter_map(|line| line.strip_prefix("HTTP/1.1 "));
    lines.map(|line| line[..3].parse().unwrap()).collect()
}

#[tokio::test]
async fn framing_that_somebody_could_read_otherwise() {
    let proxy = TestProxy::to(&[mirror().await]).await;
    for (framing, body, wanted) in [
        ("Transfer-Encoding: chunked;q=1", "0\r\n\r\n", 400),
        ("Transfer-Encoding: \"chunked\"", "0\r\n\r\n", 400),
        ("Transfer-Encoding: chunked, chunked", "0\r\n\r\n", 400),
        ("Transfer-Encoding: CHUNKED", "0\r\n\r\n", 400),
        ("Transfer-Encoding: chunked\r\nContent-length : 5", "0\r\n\r\n", 400),
        ("Transfer-Encoding: chunked", "-1\r\n\r\n", 400),
        ("Transfer-Encoding: chunked", "1\nx\n0\n\n", 400),
        ("Transfer-Encoding: chunked", &format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(20_000)), 400),
        ("Content-Length: 3, 3", "abc", 400),
        ("Content-Length: 3;", "abc", 400),
        ("Content-Length: 18446744073709551616", "abc", 400),
        ("Content-Length: 0x3", "abc", 400),
        ("Content-Length: 3\r\nContent-Length: 3", "abc", 200),
        ("Transfer_Encoding: chunked\r\nContent-Length: 5", "0\r\n\r\n", 200),
    ] {
        let found = statuses(&proxy, &format!("{POST}{framing}\r\n\r\n{body}")).await;
        assert_eq!(found, [wanted], "{framing:?} with {} bytes", body.len());
    }
    let old = "POST / HTTP/1.0\r\nHost: blog.example.com\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(statuses(&proxy, old).await, [400]);
    proxy.is_idle().await;
}

#[tokio::test]
async fn heads_that_somebody_could_read_otherwise() {
    let proxy = TestProxy::to(&[mirror().await]).await;
    for (head, wanted) in [
        (format!("{GET}: no name\r\n\r\n"), &[400][..]),
        (format!("{GET}No colon\r\n\r\n"), &[400]),
        (format!("{GET}X: a\rb\r\n\r\n"), &[400]),
        (format!("{GET}X: a\0b\r\n\r\n"), &[400]),
        (GET.replacen("GET /", "GET  /", 1) + "\r\n", &[400]),
        (GET.replacen("GET /", "GET\t/", 1) + "\r\n", &[400]),
        (GET.replacen("GET /", "GET /a b", 1) + "\r\n", &[400]),
        (GET.replacen("1.1", "1.2", 1) + "\r\n", &[400]),
        (GET.replacen("1.1", "0.9", 1) + "\r\n", &[400]),
        (GET.replacen("HTTP", "http", 1) + "\r\n", &[400]),
        (GET.replacen("GET /", "GET http:///x", 1) + "\r\n", &[400]),
        (GET.replacen("GET /", "GET http://x@blog.example.com/", 1) + "\r\n", &[400]),
        (GET.replacen("example.com", "example.com#x", 1) + "\r\n", &[400]),
        (GET.replacen("example.com", "example.com?x", 1) + "\r\n", &[400]),
        (GET.replacen("example.com", "example%2ecom", 1) + "\r\n", &[400]),
        (GET.replacen("example.com", "example.com, localhost", 1) + "\r\n", &[400]),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), &[]),
        ("\r\n".repeat(40_000), &[431]),
        // What stands behind a request that asks for an upgrade is none of ours.
        (GET.replacen("close", "upgrade, close\r\nUpgrade: gossip", 1) + "\r\n" + GET + "\r\n", &[200]),
        (GET.replacen("GET /", "GET //other.example.com/x", 1) + "\r\n", &[200]),
        (GET.replacen("GET /", "OPTIONS *", 1) + "\r\n", &[200]),
        (format!("\r\n\r\n{GET}\r\n"), &[200]),
        // After a refused tunnel, what follows is no request.
        (GET.replacen("GET / ", "CONNECT x:80 ", 1) + "\r\n" + GET + "\r\n", &[405]),
    ] {
        let start: String = head.chars().take(200).collect();
        assert_eq!(statuses(&proxy, &head).await, wanted, "{start:?}");
    }
    proxy.is_idle().await;
}

#[tokio::test]
async fn what_a_client_says_of_itself_in_other_letters() {
    let proxy = TestProxy::to(&[mirror().await]).await;
    let claims = "X_Forwarded_For: 6.6.6.6\r\nTRANSFER_ENCODING: 6.6.6.6\r\nContent_Length: 6666\r\nhost_: 1\r\n\
                  X-Forwarded-Prefix: 6.6.6.6\r\nX_Real_IP: 6.6.6.6\r\nProxy: 6.6.6.6\r\nKeep_Alive: 6.6.6.6\r\n\
                  Authorization: Basic eA==\r\nAuthorization_: 1\r\n";
    let answer = proxy.raw(&format!("{GET}{claims}\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(!answer.contains("6.6.6.6") && !answer.contains("6666"), "{answer}");
    assert!(answer.contains("authorization: basic") && answer.contains("host_: 1"), "{answer}");
}
