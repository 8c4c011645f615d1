//! Versions that serve for a moment are not taken for ones that work, and no request is lost by finding out.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::task::JoinHandle;

use super::{
    load::{Counts, Load, load},
    test_platform::{TestPlatform, until},
};

/// Serves as its `MODE` says, and always finishes what it has accepted: `close 6` closes the port 6 s after it was
/// opened, `flap 2` closes and opens it every 2 s. With a `CHOSEN` only the one instance that gets to make this file
/// does so, all others serve.
const UNSTEADY: &str = r#"
import os, socket, threading, time

mode, _, seconds = os.environ.get("MODE", "serve").partition(" ")
if "CHOSEN" in os.environ:
    try:
        os.close(os.open(os.environ["CHOSEN"], os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        mode = "serve"
span = float("inf") if mode == "serve" else float(seconds)

def answer(client):
    with client, client.makefile("rb") as lines:
        path = lines.readline().split()[1:2]
        while lines.readline().strip():
            pass
        if path == [b"/slow"]:
            time.sleep(2)
        client.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")

def accept(server):
    client, _ = server.accept()
    client.settimeout(10)
    threading.Thread(target=answer, args=(client,), daemon=True).start()

while True:
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("127.0.0.1", int(os.environ["PORT"])))
    server.listen(128)
    until = time.monotonic() + span
    server.settimeout(0.02)
    while time.monotonic() < until:
        try:
            accept(server)
        except TimeoutError:
            pass
    server.setblocking(False)
    try:
        while True:
            accept(server)
    except BlockingIOError:
        server.close()
    time.sleep(span if mode == "flap" else 1e9)
"#;

/// Reads that are sent at a fixed rate.
struct Reads {
    stop: Arc<AtomicBool>,
    counts: Arc<Counts>,
    running: JoinHandle<()>,
}

impl Reads {
    fn start(port: u16, host: &'static str) -> Self {
        let (stop, counts) = (Arc::new(AtomicBool::new(false)), Arc::new(Counts::default()));
        let reads = Load { port, host, every: Duration::from_millis(10), writes: false };
        let running = tokio::spawn(load(reads, Arc::clone(&stop), Arc::clone(&counts)));
        Self { stop, counts, running }
    }

    /// None of them may have failed.
    async fn finish(self, what: &str) {
        self.stop.store(true, Ordering::SeqCst);
        self.running.await.unwrap();
        let (sent, failed) =
            (self.counts.sent.load(Ordering::SeqCst), self.counts.failed.load(Ordering::SeqCst));
        println!("{what}: {sent} requests sent, {failed} failed");
        assert_eq!(failed, 0, "{what}: {}", self.counts.first_failure.lock().unwrap());
    }
}

/// Pushes the app and runs two instances of it that serve.
fn push(rig: &TestPlatform, app: &str) {
    let procfile = "web: exec python3 app.py\n";
    rig.app(app, &[("app.py", UNSTEADY), ("Procfile", procfile)]).git(&["push", "deis", "main"]);
    rig.deis(&["scale", "web=2", "-a", app]);
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

/// A new version of which no instance stays ready: the old one serves all the time, and goes on to.
async fn goes_back(host: &'static str, mode: &'static str) {
    let app = host.trim_end_matches(".localhost");
    let rig = blocking(move || {
        let rig = TestPlatform::new();
        push(&rig, app);
        rig
    })
    .await;
    let (before, reads) = (rig.pids(), Reads::start(rig.http, host));
    let began = Instant::now();
    let (rig, (code, said)) = blocking(move || {
        let said = rig.try_deis(&["config:set", &format!("MODE={mode}"), "-a", app]);
        (rig, said)
    })
    .await;
    println!("{mode}: the release was given up after {:?}", began.elapsed());
    assert_ne!(code, 0, "{said}");
    assert!(said.contains("does not listen"), "{said}");
    let rig = blocking(move || {
        until("only the instances of before are left", || rig.pids() == before);
        rig
    })
    .await;
    reads.finish(mode).await;
    blocking(move || drop(rig)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_closes_its_port_goes_back() {
    goes_back("closes.localhost", "close 0.5").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_comes_and_goes_goes_back() {
    goes_back("flaps.localhost", "flap 0.4").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_instances_may_misbehave_once_it_is_available() {
    const APPS: [(&str, &str, &str); 3] = [
        ("early", "early.localhost", "close 6"),
        ("late", "late.localhost", "close 20"),
        ("often", "often.localhost", "flap 2"),
    ];
    let rig = blocking(|| {
        let rig = TestPlatform::new();
        for (app, ..) in APPS {
            push(&rig, app);
        }
        rig
    })
    .await;
    let reads = APPS.map(|(_, host, mode)| (mode, Reads::start(rig.http, host)));
    let rig = blocking(move || {
        for (app, _, mode) in APPS {
            let chosen = format!("CHOSEN={}", rig.path(&format!("chosen-{app}")).display());
            rig.deis(&["config:set", &format!("MODE={mode}"), &chosen, "-a", app]);
        }
        rig
    })
    .await;
    // The last of them was released just now, and each has to go through its bad time.
    tokio::time::sleep(Duration::from_secs(25)).await;
    for (mode, reads) in reads {
        reads.finish(mode).await;
    }
    blocking(move || {
        for (app, ..) in APPS {
            assert!(rig.path(&format!("chosen-{app}")).exists(), "no instance of {app} was chosen");
        }
        drop(rig);
    })
    .await;
}
