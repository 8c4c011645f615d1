//! Git commands that wait for nothing, and pushes that are refused.

use std::{io::Read as _, net::TcpStream};

use base64::{Engine as _, prelude::BASE64_STANDARD};

use crate::{
    attacker::{many, sent},
    scenario::Scenario,
    test_platform::{STATIC, until},
    usage::disk,
};

/// The head of a push over HTTP, and the beginning of its body.
fn begun(scenario: &Scenario, beginning: &str) -> String {
    let login = BASE64_STANDARD.encode(format!("mallory:{}", scenario.mallory));
    format!(
        "POST /idle.git/git-receive-pack HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {login}\r\n\
         Content-Type: application/x-git-receive-pack-request\r\nTransfer-Encoding: chunked\r\n\r\n\
         {:x}\r\n{beginning}\r\n",
        beginning.len()
    )
}

/// The first words of an answer.
fn status(socket: &mut TcpStream) -> String {
    let mut status = [0; 12];
    socket.read_exact(&mut status).unwrap();
    String::from_utf8_lossy(&status).into_owned()
}

#[test]
fn idle_pushes_of_one_user() {
    // Their address could not even have so many connections otherwise.
    let scenario = Scenario::with(&["--address-platform-connections", "900"]);
    let http = scenario.platform.http;
    let idle = begun(&scenario, "00");
    let cost = scenario.attack("720 idle git-receive-pack of one user", || {
        let mut held = many(720, http, idle.as_bytes());
        let statuses: Vec<String> = held.iter_mut().map(status).collect();
        let count = |wanted: &str| statuses.iter().filter(|status| *status == wanted).count();
        assert_eq!((count("HTTP/1.1 200"), count("HTTP/1.1 429")), (16, 704), "{statuses:?}");
        // Somebody else pushes as ever.
        scenario.calm.commit(&[("more.html", "x")]);
        let said = scenario.calm.git(&["push", "deis", "main"]);
        assert!(said.contains("Done, calm:v3 deployed"), "{said}");
        held
    });
    cost.is_at_most(96, 48, 720);
    let ended = begun(&scenario, "0000");
    until("the places are free", || status(&mut sent(http, ended.as_bytes())) == "HTTP/1.1 200");
}

/// Nothing that compresses.
fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut noise = Vec::with_capacity(bytes);
    let mut state = seed;
    while noise.len() < bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        noise.extend_from_slice(&state.rotate_left(17).to_le_bytes());
    }
    noise
}

#[test]
fn pushes_that_are_refused() {
    let scenario = Scenario::new();
    let work = scenario.platform.app("loot", STATIC);
    work.git(&["push", "--quiet", "deis", "main"]);
    let kept =
        || ["repos", "build", "objects"].map(|name| disk(&scenario.platform.path("data").join(name)) >> 10);
    let before = kept();
    let cost = scenario.attack("8 refused pushes of 4 MiB each", || {
        for number in 0..8 {
            std::fs::write(work.folder.join("blob"), noise(4 << 20, number + 1)).unwrap();
            work.commit(&[("bin/pre-compile", "#!/bin/sh\nexit 3\n")]);
            // Half of them by their ref, and half by their build.
            let refspec = if number % 2 == 0 { "HEAD:refs/notes/loot" } else { "HEAD:main" };
            assert!(!work.try_git(&["push", "deis", refspec]).0);
        }
    });
    let after = kept();
    println!("  KiB of repositories, builds and slugs: {before:?} before, {after:?} after");
    assert!(after.iter().zip(before).all(|(after, before)| *after <= before + 512));
    cost.is_at_most(96, 16, 16);
}
