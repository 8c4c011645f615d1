//! Proxies before this one.

use crate::{app::mirror, test_proxy::TestProxy};

const CLAIMS: &str = "X-Forwarded-For: 6.6.6.6, 192.0.2.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example.com\r\n";

fn request(host: &str) -> String {
    format!("GET /who HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{CLAIMS}\r\n")
}

#[tokio::test]
async fn a_trusted_proxy_is_believed_and_nobody_else() {
    for (trusted, says) in [
        (
            "127.0.0.0/8",
            ["x-forwarded-for: 192.0.2.7, 127.0.0.1\r", "x-forwarded-proto: https\r", "shop.example.com"],
        ),
        (
            "10.0.0.0/8",
            ["x-forwarded-for: 127.0.0.1\r", "x-forwarded-proto: http\r", "host: blog.example.com"],
        ),
    ] {
        let proxy =
            TestProxy::with(&[mirror().await], |o| o.trusted_proxies = trusted.parse().unwrap()).await;
        let answer = proxy.raw(&request("blog.example.com")).await;
        for line in says {
            assert!(answer.contains(line), "{trusted}: {line:?} is missing in {answer}");
        }
        assert!(!answer.contains("6.6.6.6"), "{answer}");
        // The platform's handlers see the same.
        let answer = proxy.raw(&request("localhost")).await;
        let client = if trusted.starts_with("127") { "192.0.2.7 over https" } else { "127.0.0.1 over http" };
        assert!(answer.ends_with(client), "{answer}");
    }
}
