//! Connections that stay: followed logs, commands as websockets, tunnels to apps.

use std::time::Duration;

use crate::{
    attacker::{are_told, has_ended, heard, many},
    scenario::Scenario,
    test_platform::until,
};

/// A request of mallory's that asks for an upgrade, or for an answer without an end.
fn request(scenario: &Scenario, path: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: token {}\r\n{more}\r\n",
        scenario.mallory
    )
}

const WEBSOCKET: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

#[test]
fn followers_of_logs() {
    let scenario = Scenario::new();
    let http = scenario.platform.http;
    let follow = request(&scenario, "/v2/apps/idle/logs?follow=1", "");
    let cost = scenario.attack("40 followed logs of one user", || {
        let mut held = many(40, http, follow.as_bytes());
        assert_eq!(are_told(&mut held, 8, "You follow 32 logs already"), Ok(()));
        held
    });
    cost.is_at_most(24, 32, 3 * 40);
}

#[test]
fn websockets_that_say_nothing() {
    let scenario = Scenario::new();
    let http = scenario.platform.http;
    let run = request(&scenario, "/v2/apps/idle/run", WEBSOCKET);
    let cost = scenario.attack("24 silent websockets of one user", || {
        let mut held = many(24, http, run.as_bytes());
        assert_eq!(are_told(&mut held, 8, "You are attached to 16 commands already"), Ok(()));
        // The others are told after ten seconds what was expected of them.
        until("the silent ones are ended", || held.iter().filter(|stream| has_ended(stream)).count() == 16);
    });
    cost.is_at_most(24, 0, 24);
}

/// Switches to a protocol in which it talks without end and hears nothing.
const FLOOD: &str = r#"
import os, socketserver, time

class Flood(socketserver.StreamRequestHandler):
    def handle(self):
        head = b""
        while (line := self.rfile.readline().strip()):
            head += line.lower() + b"\n"
        if b"upgrade: flood" not in head:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
            return
        self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: flood\r\nConnection: Upgrade\r\n\r\n")
        while True:
            self.wfile.write(b"x" * 65536)

class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

Server(("127.0.0.1", int(os.environ["PORT"])), Flood).serve_forever()
"#;

#[test]
fn tunnels_that_nobody_reads() {
    let scenario = Scenario::new();
    let http = scenario.platform.http;
    let files = [("flood.py", FLOOD), ("Procfile", "web: exec python3 flood.py\n")];
    scenario.platform.app("flood", &files).git(&["push", "--quiet", "deis", "main"]);
    let upgrade = "GET / HTTP/1.1\r\nHost: flood.localhost\r\nConnection: Upgrade\r\nUpgrade: flood\r\n\r\n";
    let cost = scenario.attack("100 tunnels that are flooded and not read", || {
        let mut held = many(100, http, upgrade.as_bytes());
        for stream in &mut held {
            // The answer's head, and no more of what follows than the system took meanwhile.
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let mut status = [0; 12];
            std::io::Read::read_exact(stream, &mut status).unwrap();
            assert_eq!(&status, b"HTTP/1.1 101");
        }
        std::thread::sleep(Duration::from_secs(1));
        held
    });
    cost.is_at_most(32, 0, 2 * 100);
    let one = "GET / HTTP/1.1\r\nHost: flood.localhost\r\nConnection: close\r\n\r\n";
    assert!(heard(&mut many(1, http, one.as_bytes())[0], Duration::from_secs(5)).ends_with("ok"));
}
