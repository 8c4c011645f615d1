//! Connections over HTTP, and the heads of requests on them.

use std::time::Duration;

use crate::{
    attacker::{are_told, heard, many, sent, until_ended},
    scenario::Scenario,
};

#[test]
fn connections_that_ask_for_nothing() {
    let scenario = Scenario::new();
    let http = scenario.platform.http;
    let cost = scenario.attack("1,500 silent connections of one address", || many(1500, http, b""));
    // 512 are held, the oldest ones give way, and some are on their way out.
    cost.is_at_most(48, 0, 900);
}

#[test]
fn connections_to_apps() {
    let scenario = Scenario::new();
    let http = scenario.platform.http;
    let cost = scenario.attack("600 connections of one address to an app", || {
        let mut held = many(600, http, b"GET / HTTP/1.1\r\nHost: calm.localhost\r\n\r\n");
        // All beyond 512 are told why.
        let words = "as many connections to apps from this address as there may be";
        assert_eq!(are_told(&mut held, 88, words), Ok(()));
        held
    });
    // Each has one to the client, and one to the app as long as it is kept; and those are there that are refused.
    cost.is_at_most(96, 0, 2 * 600);
}

#[test]
fn connections_to_the_platform() {
    let scenario = Scenario::new();
    let http = scenario.platform.http;
    let cost = scenario.attack("200 connections of one address to the API", || {
        let mut held = many(200, http, b"GET /v2/apps/ HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(are_told(&mut held, 72, "\"code\":\"address_platform_connections\""), Ok(()));
        held
    });
    // Those that are refused are there for a moment.
    cost.is_at_most(32, 0, 200);
}

#[test]
fn heads() {
    let scenario = Scenario::new();
    let http = scenario.platform.http;
    let fields = |count: usize, length: usize| -> String {
        (0..count).map(|n| format!("X-{n}: {}\r\n", "x".repeat(length))).collect::<Vec<_>>().concat()
    };
    let start = "GET /v2/ HTTP/1.1\r\nHost: localhost\r\n";
    let cost = scenario.attack("heads of 64 KiB, of 101 fields, and 200 that never end", || {
        for head in [format!("{start}{}\r\n", fields(1, 70_000)), format!("{start}{}\r\n", fields(100, 1))] {
            let answer = heard(&mut sent(http, head.as_bytes()), Duration::from_secs(5));
            assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
        }
        let mut endless = many(200, http, format!("{start}{}", fields(60, 1000)).as_bytes());
        endless.iter_mut().for_each(until_ended);
    });
    // Each head is held twice: as it is parsed, and as it came.
    cost.is_at_most(64, 0, 200);
}
