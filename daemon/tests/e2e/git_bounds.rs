//! What one client of git can make the daemon hold, over real connections.

use std::{
    fmt::Write as _,
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::{
    test_platform::{STATIC, TestPlatform, Work},
    web::ask,
};

const NULL: &str = "0000000000000000000000000000000000000000";

fn packet(text: &str) -> String {
    format!("{:04x}{text}", text.len() + 4)
}

fn basic(user: &str, token: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{token}")))
}

/// What a service answers to a body.
fn post(rig: &TestPlatform, app: &str, service: &str, body: &str) -> (u16, String) {
    let headers = [
        ("Authorization", basic("ann", &rig.token())),
        ("Content-Type", format!("application/x-git-{service}-request")),
    ];
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let answer = ask(rig.http, "POST", &format!("/{app}.git/git-{service}"), &headers, Some(body));
    (answer.status, answer.body)
}

fn tip(work: &Work) -> String {
    work.git(&["rev-parse", "HEAD"]).trim().to_owned()
}

#[test]
fn what_a_push_says_before_its_pack_has_bounds() {
    let rig = TestPlatform::new();
    let work = rig.app("said", STATIC);
    work.git(&["push", "deis", "main"]);
    let tip = tip(&work);
    let command = |number: usize, length: usize, more: &str| {
        packet(&format!("{NULL} {tip} refs/heads/b{number}{}{more}", "x".repeat(length)))
    };
    let capabilities = "\0report-status side-band-64k push-options";
    let mut many = command(0, 0, capabilities);
    (1..1001).for_each(|number| many.push_str(&command(number, 0, "")));
    let mut long = command(0, 0, capabilities);
    (1..20).for_each(|number| long.push_str(&command(number, 60_000, "")));
    let mut shallow = String::new();
    (0..10_001).for_each(|_| shallow.push_str(&packet(&format!("shallow {tip}"))));
    let mut options = command(0, 0, capabilities) + "0000";
    (0..101).for_each(|number| options.push_str(&packet(&format!("option={number}"))));
    for (body, words) in [
        (many + "0000", "a push may move at most 1000 refs"),
        (long + "0000", "the commands of a push may have at most 1048576 bytes"),
        (shallow + "0000", "more than 10000 shallow lines"),
        (options + "0000", "a push may have at most 100 options"),
        ("fff1".to_owned() + &"x".repeat(70_000), "a packet line is malformed"),
    ] {
        let (status, said) = post(&rig, "said", "receive-pack", &body);
        assert!(status == 200 && said.contains(words), "{words:?} is missing in {status} {said:?}");
    }
    // Nobody else is held up, and as many options as there may be do no harm.
    work.commit(&[("more.html", "x")]);
    let mut push = vec!["push".to_owned()];
    (0..100).for_each(|number| push.push(format!("--push-option=o{number}")));
    push.extend(["deis".to_owned(), "main".to_owned()]);
    let push: Vec<&str> = push.iter().map(String::as_str).collect();
    let (ok, said) = work.try_git(&push);
    assert!(ok || said.contains("does not support push options"), "{said}");
    work.git(&["push", "deis", "main"]);
    assert_eq!(rig.get("said.localhost").0, 200);
}

#[test]
fn what_a_fetch_names_has_bounds() {
    let rig = TestPlatform::new();
    let work = rig.app("asked", STATIC);
    work.git(&["push", "deis", "main"]);
    let tip = tip(&work);
    let want = packet(&format!("want {tip} multi_ack_detailed no-done side-band-64k\n"));
    let wants = packet(&format!("want {tip}\n")).repeat(10_001);
    let excluded = want.clone() + &packet("deepen-not refs/heads/main\n").repeat(101);
    let haves = want.clone() + "0000" + &packet(&format!("have {}\n", "1".repeat(40))).repeat(100_001);
    for (body, words) in [
        (wants + "0000", "a fetch may name at most 10000 objects"),
        (excluded + "0000", "a fetch may name at most 10000 objects"),
        (haves + "0000", "a fetch may negotiate over at most 100000 objects"),
        (want.clone() + &packet("want-ref refs/heads/main\n") + "0000", "is not served here"),
        (want.clone() + &packet("deepen 1e9\n") + "0000", "a depth or time is malformed"),
        (packet("want main\n") + "0000", "an object id is malformed"),
    ] {
        let (status, said) = post(&rig, "asked", "upload-pack", &body);
        let said: String = said.chars().filter(|c| !c.is_control()).collect();
        let end = said.len().saturating_sub(300);
        assert!(status == 200 && said.contains(words), "{words:?} is missing in {status} …{}", &said[end..]);
    }
    work.git(&["fetch", "deis"]);
}

#[test]
fn a_repository_has_so_many_refs_and_no_more() {
    let rig = TestPlatform::new();
    let work = rig.app("refs", STATIC);
    work.git(&["push", "deis", "main"]);
    let repository = fs::read_dir(rig.path("data/repos")).unwrap().flatten().next().unwrap().path();
    let mut packed = "# pack-refs with: peeled fully-peeled sorted \n".to_owned();
    let tip = tip(&work);
    for number in 0..9_998 {
        let _ = writeln!(packed, "{tip} refs/tags/t{number:05}");
    }
    fs::write(repository.join("packed-refs"), packed).unwrap();
    let (ok, said) = work.try_git(&["push", "deis", "main:refs/tags/z1", "main:refs/tags/z2"]);
    assert!(!ok && said.contains("a repository may have at most 10000 refs"), "{said}");
    let listed = work.git(&["ls-remote", "--refs", "deis"]);
    assert_eq!(listed.lines().filter(|line| line.contains("refs/tags/z")).count(), 1);
    // What is there can be moved and deleted.
    work.git(&["push", "deis", ":refs/tags/t00001", ":refs/tags/t00002"]);
    work.git(&["push", "deis", "main:refs/tags/z2"]);
}

/// Begins a push over HTTP and says no more than `beginning`.
fn begun(rig: &TestPlatform, app: &str, beginning: &str) -> TcpStream {
    let mut socket = TcpStream::connect(("127.0.0.1", rig.http)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    let head = format!(
        "POST /{app}.git/git-receive-pack HTTP/1.1\r\nHost: localhost\r\nAuthorization: {}\r\n\
         Content-Type: application/x-git-receive-pack-request\r\nTransfer-Encoding: chunked\r\n\r\n",
        basic("ann", &rig.token())
    );
    let chunk = match beginning.len() {
        0 => String::new(),
        length => format!("{length:x}\r\n{beginning}\r\n"),
    };
    let _ = socket.write_all((head + &chunk).as_bytes());
    socket
}

#[test]
fn who_sends_next_to_nothing_is_cut_off() {
    let rig = TestPlatform::new();
    rig.app("slow", STATIC);
    let mut trickles = begun(&rig, "slow", "00");
    let mut silent = begun(&rig, "slow", "00");
    let mut says_nothing = begun(&rig, "slow", "");
    let mut writer = trickles.try_clone().unwrap();
    let began = Instant::now();
    let trickle = std::thread::spawn(move || {
        // A line that never gets as long as it says.
        let mut sent = writer.write_all(b"2\r\nff\r\n");
        while sent.is_ok() && began.elapsed() < Duration::from_secs(100) {
            std::thread::sleep(Duration::from_millis(300));
            sent = writer.write_all(b"1\r\nx\r\n");
        }
    });
    for socket in [&mut silent, &mut says_nothing, &mut trickles] {
        let mut said = [0; 4096];
        let mut all = String::new();
        while !all.contains("the client stopped sending, or sent next to nothing") {
            let count = socket.read(&mut said).unwrap();
            assert_ne!(count, 0, "it ended with {all:?}");
            all.push_str(&String::from_utf8_lossy(&said[..count]));
        }
        assert!(began.elapsed() > Duration::from_secs(20), "{all}");
    }
    trickle.join().unwrap();
}
