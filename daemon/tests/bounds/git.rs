//! Git commands that wait for nothing, and pushes that are refused.

use std::{io::Read as _, net::TcpStream, process::Command};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use flate2::{Compression, read::ZlibEncoder};

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

/// An object of a pack: its head and what it holds.
fn object(kind: u8, data: &[u8], base: &[u8]) -> Vec<u8> {
    let mut size = data.len();
    let mut bytes = vec![kind << 4 | u8::try_from(size & 15).unwrap()];
    size >>= 4;
    while size > 0 {
        *bytes.last_mut().unwrap() |= 0x80;
        bytes.push(u8::try_from(size & 0x7f).unwrap());
        size >>= 7;
    }
    bytes.extend(base);
    ZlibEncoder::new(data, Compression::fast()).read_to_end(&mut bytes).unwrap();
    bytes
}

/// A push of 100 MiB of zeros and of a delta that makes as many of them again: some hundred kilobytes.
fn swelling(scenario: &Scenario) -> Vec<u8> {
    const SIZE: usize = 100 << 20;
    let whole = object(3, &vec![0; SIZE], b"");
    let mut delta = Vec::new();
    for _ in 0..2 {
        let mut left = SIZE;
        while left > 0x7f {
            delta.push(u8::try_from(left & 0x7f).unwrap() | 0x80);
            left >>= 7;
        }
        delta.push(u8::try_from(left).unwrap());
    }
    let mut left = SIZE;
    while left > 0 {
        // Copies from the beginning of the base, as much as one command can.
        let part = left.min(0x00ff_ffff);
        delta.push(0xf0);
        delta.extend(&u32::try_from(part).unwrap().to_le_bytes()[..3]);
        left -= part;
    }
    let mut distance = whole.len();
    let mut back = vec![u8::try_from(distance & 0x7f).unwrap()];
    while distance > 0x7f {
        distance = (distance >> 7) - 1;
        back.insert(0, u8::try_from(distance & 0x7f).unwrap() | 0x80);
    }
    let mut pack = [b"PACK\0\0\0\x02\0\0\0\x02", whole.as_slice(), &object(6, &delta, &back)].concat();
    let file = scenario.platform.path("pack");
    std::fs::write(&file, &pack).unwrap();
    let sum = Command::new("sha1sum").arg(&file).output().unwrap().stdout;
    let sum = String::from_utf8(sum).unwrap();
    pack.extend((0..20).map(|at| u8::from_str_radix(&sum[at * 2..at * 2 + 2], 16).unwrap()));
    let line = format!("{} {} refs/heads/swell\0report-status", "0".repeat(40), "1".repeat(40));
    let body = [format!("{:04x}{line}0000", line.len() + 4).as_bytes(), &pack].concat();
    let login = BASE64_STANDARD.encode(format!("mallory:{}", scenario.mallory));
    let head = format!(
        "POST /idle.git/git-receive-pack HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {login}\r\n\
         Content-Type: application/x-git-receive-pack-request\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), &body].concat()
}

#[test]
fn packs_that_swell() {
    let scenario = Scenario::new();
    let http = scenario.platform.http;
    let push = swelling(&scenario);
    println!("  a push of {} KiB unpacks to 200 MiB", push.len() >> 10);
    let cost = scenario.attack("16 pushes at once that unpack to 200 MiB each", || {
        let mut held: Vec<TcpStream> = (0..16).map(|_| sent(http, &push)).collect();
        for socket in &mut held {
            socket.set_read_timeout(Some(std::time::Duration::from_secs(300))).unwrap();
            let mut answer = Vec::new();
            socket.read_to_end(&mut answer).unwrap();
            let answer = String::from_utf8_lossy(&answer);
            assert!(answer.contains("unpack ok") && answer.contains("missing necessary objects"), "{answer}");
        }
    });
    cost.is_at_most(1100, 64, 64);
}
