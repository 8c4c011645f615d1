//! Git over SSH: public keys only, two commands only.

use std::{collections::HashMap, io, net::IpAddr, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use deis_build::git::{Service, error_packet};
use deis_core::{Digest, Platform, Username, model::User};
use russh::{
    Channel, ChannelId, ChannelOpenFailure, MethodKind, MethodSet,
    server::{
        Auth, ChannelOpenHandle, Config, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey, run_stream,
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
};
use tokio_util::sync::CancellationToken;

use super::{
    CHUNKS, algorithms, app_for,
    exec::Exec,
    host_keys,
    input::{GitInput, git_input},
    no_such_app,
    socket::GraceSocket,
    unavailable,
};
use crate::{
    acceptor::Acceptor,
    keyed_limit::{Exhausted, KeyedLimit, KeyedPermit},
    network::network_of,
    pending::{Pending, PendingTicket},
    push::{ConversationEnd, Pushes},
    telemetry::chain,
};

/// The SSH side of git. Clones share one.
#[derive(Clone, Debug)]
pub struct GitSsh {
    platform: Platform,
    pushes: Pushes,
    config: Arc<Config>,
    seats: KeyedLimit<Username>,
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
            preferred: algorithms::preferred(),
            ..Config::default()
        };
        Ok(Self { platform, pushes, config: Arc::new(config), seats: KeyedLimit::new(MAX_SESSIONS_OF_USER) })
    }

    /// Serves connections until it is told to stop. Pushes that are past their pack go on.
    pub async fn serve(&self, listener: TcpListener, stop: CancellationToken) {
        let sessions = Arc::new(Semaphore::new(MAX_SESSIONS));
        let strangers = Pending::new(MAX_STRANGERS_OF_ADDRESS, MAX_STRANGERS);
        let mut acceptor = Acceptor::new(listener);
        while let Some((socket, peer)) = acceptor.next(&stop).await {
            match admit(&sessions, &strangers, peer.ip()) {
                Ok((place, stranger)) => {
                    let own = self.clone();
                    tokio::spawn(async move {
                        if let Err(error) = own.session(socket, stranger, place).await {
                            tracing::debug!(error = chain(&error), "an SSH session ended early");
                        }
                    });
                }
                // A server may say something before its name (RFC 4253, 4.2).
                Err(text) => drop(socket.try_write(format!("{text}\r\n").as_bytes())),
            }
        }
    }

    /// One connection. It has to log in within the grace time, or its socket goes.
    async fn session(
        &self,
        socket: TcpStream,
        stranger: PendingTicket,
        place: OwnedSemaphorePermit,
    ) -> Result<(), russh::Error> {
        let known = CancellationToken::new();
        let _ = socket.set_nodelay(true);
        let socket = GraceSocket::new(socket, GRACE, known.clone(), stranger.evicted().clone(), place);
        let connection = Connection {
            server: self.clone(),
            user: None,
            seat: None,
            stranger: Some(stranger),
            known,
            channels: HashMap::new(),
            open: Arc::new(Semaphore::new(MAX_CHANNELS)),
        };
        run_stream(Arc::clone(&self.config), socket, connection).await?.await
    }
}

/// A place for one more connection. Whoever comes when there is none is turned away at once, so that those who have
/// logged in are not affected.
fn admit(
    sessions: &Arc<Semaphore>,
    strangers: &Pending,
    client: IpAddr,
) -> Result<(OwnedSemaphorePermit, PendingTicket), &'static str> {
    let place = Arc::clone(sessions).try_acquire_owned();
    let place = place.map_err(|_| "There are as many connections as there may be.")?;
    let stranger = strangers.enter(network_of(client), true).map_err(|exhausted| match exhausted {
        Exhausted::Key => "There are too many connections from this address that have not logged in.",
        Exhausted::Total => "There are too many connections that have not logged in.",
    })?;
    Ok((place, stranger))
}

/// How long a client may take to log in.
const GRACE: Duration = Duration::from_secs(10);
/// Connections that have not logged in.
const MAX_STRANGERS: usize = 64;
/// Those of one address.
const MAX_STRANGERS_OF_ADDRESS: usize = 16;
/// Connections in all.
const MAX_SESSIONS: usize = 256;
/// Connections of one user.
const MAX_SESSIONS_OF_USER: usize = 10;
/// Channels of one connection.
const MAX_CHANNELS: usize = 10;
/// How long a client may take to read the end of an answer.
const LAST_WORDS: Duration = Duration::from_secs(600);
/// How long a channel may be open before its command comes.
const COMMAND: Duration = Duration::from_secs(30);

struct Connection {
    server: GitSsh,
    user: Option<User>,
    /// Counts for as long as the connection is there.
    seat: Option<KeyedPermit<Username>>,
    /// The place among those who have not logged in.
    stranger: Option<PendingTicket>,
    /// Cancelled once the client has logged in.
    known: CancellationToken,
    /// Channels that wait for a command.
    channels: HashMap<ChannelId, oneshot::Sender<Command>>,
    /// Places for channels.
    open: Arc<Semaphore>,
}

/// What a channel is used for: `None` is a command that is not served here.
type Command = (User, Option<Exec>);

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
        let known = algorithms::is_trusted(offer.algorithm) && self.user_of(offer.public_key).await.is_some();
        Ok(if known { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_publickey(&mut self, _: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, russh::Error> {
        if !algorithms::is_trusted(key.algorithm) {
            return Ok(Auth::reject());
        }
        self.user = self.user_of(key.public_key).await;
        self.seat = self.user.as_ref().and_then(|user| self.server.seats.enter(user.name.clone()).ok());
        if self.seat.is_none() {
            self.user = None;
            return Ok(Auth::reject());
        }
        self.known.cancel();
        self.stranger = None;
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        let Ok(place) = Arc::clone(&self.open).try_acquire_owned() else {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        };
        let (sender, command) = oneshot::channel();
        // What was closed before its command came is forgotten here.
        self.channels.retain(|_, waiting| !waiting.is_closed());
        self.channels.insert(channel.id(), sender);
        reply.accept().await;
        let server = self.server.clone();
        tokio::spawn(async move {
            let _place = place;
            // The session waits for whoever does not read what comes for a channel; so somebody always does, or drops it.
            match tokio::time::timeout(COMMAND, command).await {
                Ok(Ok((user, Some(request)))) => run(server, user, request, channel).await,
                Ok(Ok((_, None))) => refuse(channel, UNSUPPORTED).await,
                Ok(Err(_)) | Err(_) => {
                    let (input, out) = channel.split();
                    drop(input);
                    let _ = out.close().await;
                }
            }
        });
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

    async fn x11_request(
        &mut self,
        id: ChannelId,
        _: bool,
        _: &str,
        _: &str,
        _: u32,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        session.channel_failure(id)
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        _: &str,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        session.channel_failure(id)
    }

    async fn window_change_request(
        &mut self,
        id: ChannelId,
        _: u32,
        _: u32,
        _: u32,
        _: u32,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        session.channel_failure(id)
    }

    async fn signal(
        &mut self,
        id: ChannelId,
        _: russh::Sig,
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
        let (Some(command), Some(user)) = (self.channels.remove(&id), self.user.clone()) else {
            return session.channel_failure(id);
        };
        let request = Exec::parse(&String::from_utf8_lossy(data));
        session.channel_success(id)?;
        // A channel that waited too long is closed by now.
        let _ = command.send((user, request));
        Ok(())
    }
}

/// What somebody is told who wants something else.
const UNSUPPORTED: &str =
    "this command is not supported here: only git push, git fetch and what they need, and ping";

/// Says on standard error why a command is not carried out, and ends it.
async fn refuse(channel: Channel<Msg>, text: &str) {
    let (input, out) = channel.split();
    drop(input);
    let _ = out.extended_data_bytes(1, format!("{text}\n")).await;
    let _ = out.exit_status(127).await;
    let _ = out.eof().await;
    let _ = out.close().await;
}

/// Carries out a command and closes the channel: answer, exit status, end of file, close, in this order, or git takes
/// a success for a failure.
async fn run(server: GitSsh, user: User, request: Exec, channel: Channel<Msg>) {
    let (mut input, out) = channel.split();
    let (output, mut chunks) = mpsc::channel::<Bytes>(CHUNKS);
    let mut writer = out.make_writer();
    let mut copy_out = tokio::spawn(async move {
        while let Some(chunk) = chunks.recv().await {
            if writer.write_all(&chunk).await.is_err() {
                return;
            }
        }
        let _ = writer.flush().await;
    });
    let (sender, received) = git_input(false);
    let copy_in = tokio::spawn(async move {
        let mut from = input.make_reader();
        let mut buffer = vec![0; 32 * 1024];
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
    let code = match serve(&server, &user, request, received, output).await {
        Ok(code) => code,
        // What broke on this side has no place in the conversation any more.
        Err(error) => {
            tracing::error!(user = %user.name, error = chain(&error), "a git request failed");
            let _ = out.extended_data_bytes(1, format!("{}\n", unavailable(&error))).await;
            1
        }
    };
    // A client that does not read the last of it is not waited for without end.
    if tokio::time::timeout(LAST_WORDS, &mut copy_out).await.is_err() {
        copy_out.abort();
    }
    let _ = out.exit_status(code).await;
    let _ = out.eof().await;
    let _ = out.close().await;
    copy_in.abort();
}

/// The exit status; an error is one of this side, which the client has not been told.
async fn serve(
    server: &GitSsh,
    user: &User,
    request: Exec,
    input: GitInput,
    output: mpsc::Sender<Bytes>,
) -> Result<u32, deis_core::Error> {
    let Exec::Git(service, repository) = request else {
        let _ = output.send(Bytes::from_static(b"pong")).await;
        return Ok(0);
    };
    let Some(app) = app_for(&server.platform, user, &repository).await else {
        let _ = output.send(error_packet(&no_such_app(&repository)).into()).await;
        return Ok(1);
    };
    let conversation = match server.pushes.converse(&user.name) {
        Ok(conversation) => conversation,
        Err(crowded) => {
            let _ = output.send(error_packet(&crowded.to_string()).into()).await;
            return Ok(1);
        }
    };
    let refs = server.pushes.advertise(&app, service, false).await?;
    let busy = refs.get(4..8) == Some(b"ERR ");
    let _ = output.send(refs.into()).await;
    if busy {
        return Ok(1);
    }
    let ended = match service {
        Service::ReceivePack => server.pushes.receive(&app, conversation, input, output).await?,
        Service::UploadPack => server.pushes.upload(&app, conversation, input, output, false).await?,
    };
    Ok(match ended {
        ConversationEnd::Well => 0,
        ConversationEnd::Refused => 1,
    })
}
