//! Connections over SSH, before and after the log-in.

use std::{
    fs, io,
    net::Ipv4Addr,
    path::Path,
    pin::Pin,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use russh::{
    client::{self, Handle},
    keys::{PrivateKey, PrivateKeyWithHashAlg, PublicKeyOrCertificate, load_secret_key},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::{
    attacker::{connect_from, many, until_ended},
    scenario::Scenario,
    test_platform::{text, until},
};

/// A client that takes every server for the right one.
struct Trusting;

impl client::Handler for Trusting {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        Ok(true)
    }
}

async fn log_in(port: u16, key: Arc<PrivateKey>) -> Option<Handle<Trusting>> {
    log_in_deaf(port, key, Arc::default()).await
}

/// A client that reads nothing any more once `is_deaf` is set.
struct Deaf {
    socket: TcpStream,
    is_deaf: Arc<AtomicBool>,
}

impl AsyncRead for Deaf {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_deaf.load(Ordering::SeqCst) {
            return Poll::Pending;
        }
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl AsyncWrite for Deaf {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

async fn log_in_deaf(port: u16, key: Arc<PrivateKey>, is_deaf: Arc<AtomicBool>) -> Option<Handle<Trusting>> {
    let config = Arc::new(client::Config::default());
    let socket = connect_from(Ipv4Addr::LOCALHOST, port);
    rustix::net::sockopt::set_socket_recv_buffer_size(&socket, 4096).unwrap();
    socket.set_nonblocking(true).unwrap();
    let socket = TcpStream::from_std(socket).unwrap();
    let mut session = client::connect_stream(config, Deaf { socket, is_deaf }, Trusting).await.ok()?;
    let key = PrivateKeyWithHashAlg::new(key, None);
    session.authenticate_publickey("git", key).await.ok()?.success().then_some(session)
}

/// A key of mallory's.
fn mallorys_key(scenario: &Scenario) -> Arc<PrivateKey> {
    let file = scenario.platform.path("mallory");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&file).output();
    assert!(made.as_ref().is_ok_and(|o| o.status.success()), "{made:?}");
    let public = fs::read_to_string(file.with_extension("pub")).unwrap();
    let body = serde_json::json!({"id": "mallory", "public": public.trim()}).to_string();
    let added = scenario.call("POST", "/v2/keys/", Some(&body));
    assert_eq!(added.status, 201, "{added:?}");
    Arc::new(load_secret_key(file, None).unwrap())
}

/// What ann's client gets.
fn ping(key: &Path, port: u16) -> String {
    let output = Command::new("ssh")
        .args(["-F", "/dev/null", "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no"])
        .args(["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "BatchMode=yes", "-i"])
        .arg(key)
        .args(["-p", &port.to_string(), "git@localhost", "ping"])
        .output()
        .unwrap();
    text(&output)
}

#[test]
fn clients_that_never_finish_the_key_exchange() {
    let scenario = Scenario::new();
    scenario.platform.with_key();
    let (ssh, key) = (scenario.platform.ssh, scenario.platform.path("key"));
    let cost = scenario.attack("200 SSH connections that never log in", || {
        let mut held = many(50, ssh, b"SSH-2.0-slow\r\n");
        held.extend(many(50, ssh, b"SSH-2.0-slow\r\n\x00\x00\x01\x00\x06\x14"));
        held.extend(many(50, ssh, b""));
        held.extend(many(50, ssh, b"hello\r\n"));
        // Somebody at another address logs in all the same.
        assert_eq!(ping(&key, ssh), "pong");
        held.iter_mut().for_each(until_ended);
    });
    cost.is_at_most(24, 0, 64);
}

#[test]
fn channels_and_requests_of_one_user() {
    let scenario = Scenario::new();
    scenario.platform.with_key();
    let (ssh, key) = (scenario.platform.ssh, scenario.platform.path("key"));
    let mallory = mallorys_key(&scenario);
    let cost = scenario.attack("12 SSH connections of 12 channels, 4,000 requests on each", || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let held = runtime.block_on(async {
            let (mut sessions, mut channels) = (Vec::new(), Vec::new());
            for _ in 0..12 {
                let Some(session) = log_in(ssh, Arc::clone(&mallory)).await else { continue };
                let mut own = 0;
                for _ in 0..12 {
                    let Ok(channel) = session.channel_open_session().await else { continue };
                    own += 1;
                    channels.push(channel);
                }
                assert_eq!(own, 10, "channels of one connection");
                let channel = channels.last().unwrap();
                for number in 0..2_000 {
                    channel.set_env(true, format!("N{number}"), "x".repeat(100)).await.unwrap();
                    channel.window_change(number, 1, 1, 1).await.unwrap();
                }
                sessions.push(session);
            }
            assert_eq!(sessions.len(), 10, "connections of one user");
            (sessions, channels)
        });
        assert_eq!(ping(&key, ssh), "pong");
        // Until the runtime goes, the connections are there.
        std::thread::sleep(Duration::from_millis(200));
        (held, runtime)
    });
    cost.is_at_most(64, 0, 10);
}

#[test]
fn clients_that_read_nothing_hold_no_seat() {
    let scenario = Scenario::new();
    scenario.platform.with_key();
    let (ssh, key) = (scenario.platform.ssh, scenario.platform.path("key"));
    let mallory = mallorys_key(&scenario);
    let cost = scenario.attack("10 SSH connections that ask without end and read nothing", || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            for _ in 0..10 {
                let is_deaf = Arc::new(AtomicBool::new(false));
                let session = log_in_deaf(ssh, Arc::clone(&mallory), Arc::clone(&is_deaf)).await.unwrap();
                is_deaf.store(true, Ordering::SeqCst);
                tokio::spawn(async move { while session.send_keepalive(true).await.is_ok() {} });
            }
            assert!(log_in(ssh, Arc::clone(&mallory)).await.is_none(), "all seats are taken");
        });
        assert_eq!(ping(&key, ssh), "pong");
        until("the seats are free while the clients hold their ends", || {
            std::thread::sleep(Duration::from_millis(500));
            runtime.block_on(log_in(ssh, Arc::clone(&mallory))).is_some()
        });
        runtime.shutdown_background();
    });
    cost.is_at_most(64, 0, 10);
}
