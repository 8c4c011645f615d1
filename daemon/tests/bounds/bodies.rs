//! Bodies of requests to the API, before anybody has logged in.

use std::{io::Write as _, net::TcpStream, thread, time::Duration};

use crate::{
    attacker::{are_told, heard, many, sent},
    scenario::Scenario,
};

const LOGIN: &str = "POST /v2/auth/login/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n";

#[test]
fn bodies_that_come_a_byte_at_a_time() {
    let scenario = Scenario::new();
    let http = scenario.platform.http;
    let cost = scenario.attack("10 bodies of 16 KB, a byte at a time", || {
        let trickle = move || {
            let mut stream = sent(http, format!("{LOGIN}Transfer-Encoding: chunked\r\n\r\n").as_bytes());
            for _ in 0..16_100 {
                stream.write_all(b"1\r\n \r\n").unwrap();
            }
            stream
        };
        let sending: Vec<_> = (0..10).map(|_| thread::spawn(trickle)).collect();
        sending.into_iter().map(|one| one.join().unwrap()).collect::<Vec<TcpStream>>()
    });
    cost.is_at_most(24, 0, 10);
}

#[test]
fn bodies_of_one_address_together() {
    let scenario = Scenario::new();
    let http = scenario.platform.http;
    let cost = scenario.attack("40 bodies of 900 KB that do not end", || {
        let body = format!("{LOGIN}Content-Length: 1000000\r\n\r\n{}", " ".repeat(900_000));
        let mut held = many(40, http, body.as_bytes());
        // 8 MiB are held, and all others are told why.
        let words = "The requests of this address hold as much memory as they may.";
        assert_eq!(are_told(&mut held, 32, words), Ok(()));
        held
    });
    cost.is_at_most(40, 0, 40);
}

#[test]
fn json_that_is_large_deep_or_wide() {
    let scenario = Scenario::new();
    let http = scenario.platform.http;
    let wide = |count: usize| (0..count).map(|n| format!("\"k{n}\":1")).collect::<Vec<_>>().join(",");
    let cases = [
        ("[".repeat(500_000), "nested more than 64 deep"),
        (format!("{{{}}}", wide(1001)), "more than 1000 members"),
        (format!("{{\"{}\":1}}", "k".repeat(1025)), "longer than 1024 bytes"),
        (format!("{{\"a\":[{}1]}}", "1,".repeat(1000)), "more than 1000 elements"),
        (
            format!("{{\"a\":[{}[]]}}", format!("[{}1],", "1,".repeat(998)).repeat(21)),
            "more than 20000 values",
        ),
        ("{\"a\":1,\"a\":2}".to_owned(), "duplicate key"),
        (" ".repeat((1 << 20) + 1), "The request is too large."),
    ];
    let cost = scenario.attack("JSON that is large, deep or wide, 20 of each", || {
        for (body, words) in &cases {
            let request = format!("{LOGIN}Content-Length: {}\r\n\r\n{body}", body.len());
            let asked: Vec<_> = (0..20)
                .map(|_| {
                    let request = request.clone();
                    thread::spawn(move || heard(&mut sent(http, request.as_bytes()), Duration::from_secs(10)))
                })
                .collect();
            for one in asked {
                let answer = one.join().unwrap();
                let is_refused = answer.contains(words) || answer.contains("hold as much memory as they may");
                assert!(is_refused, "{words:?} is missing in {answer}");
            }
        }
    });
    cost.is_at_most(48, 0, 20);
}
