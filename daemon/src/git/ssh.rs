//! Git over SSH: public keys only, two commands only.

use std::{collections::HashMap, io, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use deis_build::git::{Service, refusal};
use deis_core::{Digest, Platform, User, Username};
use russh::{
    Channel, ChannelId, Disconnect, MethodKind, MethodSet,
    server::{
        Auth, ChannelOpenHandle, Config, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey, run_stream,
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
};
use tokio_util::sync::CancellationToken;

use super::{app_for, exec::Exec, host_keys, no_such_app, stdin::stdin};
use crate::{
    acceptor::Acceptor,
    caps::{Caps, Place},
    push::{Ended, Pushes},
};

/// The SSH side of git. Clones share one.
#[derive(Clone, Debug)]
pub struct GitSsh {
    platform: Platform,
    pushes: Pushes,
    config: Arc<Config>,
    seats: Caps<Username>,
}

impl GitSsh {
    /// A server with the host keys below `folder`, which are made if there are none.
    pub fn new(platform: Platform, pushes: Pushes, folder: &Path) -> io::Result<Self> {
        let config = Config {
            keys: host_keys::load_or_create(folder)?,
            methods: MethodSet::from(&[MethodKind::PublicKey][..]),
            auth_rejection_time: Duration::from_secs(1),
            // OpenSSH asks for "none" first, which must not cost a second.
            auth_rejection_time_initial: Some(Duration::ZERO),
            inactivity_timeout: None,
            keepalive_interval: Some(Duration::from_secs(15)),
            max_auth_attempts: 6,
            ..Config::default()
        };
        Ok(Self { platform, pushes, config: Arc::new(config), seats: Caps::new(SEATS) })
    }

    /// Serves connections until it is told to stop. Pushes that are past their pack go on.
    pub async fn serve(&self, listener: TcpListener, stop: CancellationToken) {
        let (strangers, sessions) = (Arc::new(Semaphore::new(STRANGERS)), Arc::new(Semaphore::new(SESSIONS)));
        let mut acceptor = Acceptor::new(listener);
        while let Some((socket, _)) = acceptor.next(&stop).await {
            // Whoever comes when all places are taken is turned away at once; those who are in are not affected.
            let places =
                (Arc::clone(&strangers).try_acquire_owned(), Arc::clone(&sessions).try_acquire_owned());
            if let (Ok(stranger), Ok(session)) = places {
                let own = self.clone();
                tokio::spawn(async move {
                    if let Err(error) = own.session(socket, stranger).await {
                        tracing::debug!(%error, "an SSH session ended early");
                    }
                    drop(session);
                });
            }
        }
    }

    /// One connection. It has to log in within the grace time.
    async fn session(&self, socket: TcpStream, stranger: OwnedSemaphorePermit) -> Result<(), russh::Error> {
        let known = CancellationToken::new();
        let grace = tokio::time::sleep(GRACE);
        tokio::pin!(grace);
        let connection = Connection {
            server: self.clone(),
            user: None,
            seat: None,
            known: known.clone(),
            channels: HashMap::new(),
        };
        let _ = socket.set_nodelay(true);
        let mut running = tokio::select! {
            running = run_stream(Arc::clone(&self.config), socket, connection) => running?,
            () = &mut grace => return Ok(()),
        };
        tokio::select! {
            ended = &mut running => return ended,
            () = known.cancelled() => {}
            () = &mut grace => {
                let text = "log in faster".to_owned();
                return running.handle().disconnect(Disconnect::ByApplication, text, String::new()).await;
            }
        }
        drop(stranger);
        running.await
    }
}

/// How long a client may take to log in.
const GRACE: Duration = Duration::from_secs(10);
/// Connections that have not logged in.
const STRANGERS: usize = 64;
/// Connections in all.
const SESSIONS: usize = 256;
/// Connections of one user.
const SEATS: usize = 10;

struct Connection {
    server: GitSsh,
    user: Option<User>,
    /// Counts for as long as the connection is there.
    seat: Option<Place<Username>>,
    /// Cancelled once the client has logged in.
    known: CancellationToken,
    channels: HashMap<ChannelId, Channel<Msg>>,
}

impl Connection {
    async fn user_of(&self, key: &russh::keys::PublicKey) -> Option<User> {
        let blob = key.to_bytes().ok()?;
        let found = self.server.platform.user_by_key(&Digest::of(&blob)).await.ok()?;
        found.map(|(user, _)| user).filter(|user| user.active)
    }
}

impl Handler for Connection {
    type Error = russh::Error;

    async fn auth_publickey_offered(
        &mut self,
        _: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, russh::Error> {
        Ok(if self.user_of(offer.public_key).await.is_some() { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_publickey(&mut self, _: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, russh::Error> {
        self.user = self.user_of(key.public_key).await;
        self.seat = self.user.as_ref().and_then(|user| self.server.seats.enter(user.name.clone()));
        if self.seat.is_none() {
            self.user = None;
            return Ok(Auth::reject());
        }
        self.known.cancel();
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        self.channels.insert(channel.id(), channel);
        reply.accept().await;
        Ok(())
    }

    async fn env_request(
        &mut self,
        id: ChannelId,
        _: &str,
        _: &str,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        session.channel_success(id)
    }

    async fn shell_request(&mut self, id: ChannelId, session: &mut Session) -> Result<(), russh::Error> {
        session.channel_failure(id)
    }

    async fn pty_request(
        &mut self,
        id: ChannelId,
        _: &str,
        _: u32,
        _: u32,
        _: u32,
        _: u32,
        _: &[(russh::Pty, u32)],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        session.channel_failure(id)
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        let (Some(channel), Some(user)) = (self.channels.remove(&id), self.user.clone()) else {
            return session.channel_failure(id);
        };
        let command = String::from_utf8_lossy(data).into_owned();
        let Some(request) = Exec::parse(&command) else { return session.channel_failure(id) };
        session.channel_success(id)?;
        tokio::spawn(run(self.server.clone(), user, request, channel));
        Ok(())
    }
}

/// Carries out a command and closes the channel: answer, exit status, end of file, close, in this order, or git takes
/// a success for a failure.
async fn run(server: GitSsh, user: User, request: Exec, channel: Channel<Msg>) {
    let (mut input, out) = channel.split();
    let (output, mut chunks) = mpsc::channel::<Bytes>(64);
    let mut writer = out.make_writer();
    let copy_out = tokio::spawn(async move {
        while let Some(chunk) = chunks.recv().await {
            if writer.write_all(&chunk).await.is_err() {
                return;
            }
        }
        let _ = writer.flush().await;
    });
    let (sender, reader) = stdin();
    let copy_in = tokio::spawn(async move {
        let mut from = input.make_reader();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match from.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(count) => {
                    if sender.send(Ok(Bytes::copy_from_slice(&buffer[..count]))).await.is_err() {
                        return;
                    }
                }
            }
        }
    });
    let code = serve(&server, &user, request, reader, output).await;
    let _ = copy_out.await;
    let _ = out.exit_status(code).await;
    let _ = out.eof().await;
    let _ = out.close().await;
    copy_in.abort();
}

async fn serve(
    server: &GitSsh,
    user: &User,
    request: Exec,
    input: impl io::Read + Send + 'static,
    output: mpsc::Sender<Bytes>,
) -> u32 {
    let Exec::Git(service, repository) = request else {
        let _ = output.send(Bytes::from_static(b"pong")).await;
        return 0;
    };
    let Some(app) = app_for(&server.platform, user, &repository).await else {
        let _ = output.send(refusal(&no_such_app(&repository)).into()).await;
        return 1;
    };
    let refs = match server.pushes.advertise(&app, service, false).await {
        Ok(refs) => refs,
        Err(error) => {
            tracing::error!(app = %app.name(), %error, "a git request failed");
            let text = "the platform is not available right now; try again in a moment";
            let _ = output.send(refusal(text).into()).await;
            return 1;
        }
    };
    let busy = refs.get(4..8) == Some(b"ERR ");
    let _ = output.send(refs.into()).await;
    if busy {
        return 1;
    }
    let ended = match service {
        Service::ReceivePack => server.pushes.receive(&app, input, output).await,
        Service::UploadPack => server.pushes.upload(&app, input, output, false).await,
    };
    match ended {
        Ok(Ended::Well) => 0,
        Ok(Ended::Refused) => 1,
        Err(error) => {
            tracing::error!(app = %app.name(), %error, "a git request failed");
            1
        }
    }
}
