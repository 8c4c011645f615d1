//! One SSH connection: who logged in by which key, and what its channels may ask for.

use std::{collections::HashMap, sync::Arc, time::Duration};

use deis_core::{
    Digest,
    model::{SshKey, User, UserId},
};
use russh::{
    Channel, ChannelId, ChannelOpenFailure, Disconnect,
    server::{Auth, ChannelOpenHandle, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey},
};
use tokio::sync::{Semaphore, oneshot};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    GitSsh,
    command::{refuse, run},
};
use crate::{
    git::{algorithms, exec::Exec},
    keyed_limit::KeyedPermit,
    pending::PendingTicket,
    telemetry::chain,
};

/// Channels of one connection.
const MAX_CHANNELS: usize = 10;
/// How long a channel may be open before its command comes.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);
/// What somebody is told who wants something else.
const UNSUPPORTED: &str =
    "this command is not supported here: only git push, git fetch and what they need, and ping";
/// What somebody is told whose key or user is not what it was.
const LOGIN_GONE: &str = "the key or the user that this connection logged in with is gone; log in again";

/// What the server knows of one connection.
pub(super) struct Connection {
    server: GitSsh,
    login: Option<Login>,
    /// Counts for as long as the connection is there.
    seat: Option<KeyedPermit<UserId>>,
    /// The place among those who have not logged in.
    unauthenticated: Option<PendingTicket>,
    /// Cancelled once the client has logged in.
    known: CancellationToken,
    /// Channels that wait for a command.
    channels: HashMap<ChannelId, oneshot::Sender<Command>>,
    /// Places for channels.
    open: Arc<Semaphore>,
}

/// What a channel is used for.
enum Command {
    /// A command of a user who has been looked up just now.
    Run(User, Exec),
    /// Why nothing is done, for the client, and whether the whole connection ends with that.
    Refuse(&'static str, bool),
}

/// By which records a client has logged in. A connection lives longer than it takes to remove a key or a user, and to
/// register another user of the same name: a name alone proves nothing later on.
struct Login {
    user: UserId,
    key: Uuid,
    fingerprint: Digest,
}

impl Connection {
    pub(super) fn new(server: GitSsh, ticket: PendingTicket, known: CancellationToken) -> Self {
        Self {
            server,
            login: None,
            seat: None,
            unauthenticated: Some(ticket),
            known,
            channels: HashMap::new(),
            open: Arc::new(Semaphore::new(MAX_CHANNELS)),
        }
    }

    async fn user_of(&self, key: &russh::keys::PublicKey) -> Option<(User, SshKey)> {
        let blob = key.to_bytes().ok()?;
        let found = self.server.platform.user_by_key(&Digest::of(&blob)).await.ok()?;
        found.filter(|(user, _)| user.active)
    }

    /// What becomes of a command: the user is looked up for each, as for each request over HTTP.
    async fn command(&self, data: &[u8]) -> Command {
        let Some(login) = &self.login else { return Command::Refuse(LOGIN_GONE, true) };
        let user = match self.server.platform.user_by_key(&login.fingerprint).await {
            Ok(Some((user, key))) if user.active && user.id == login.user && key.uuid == login.key => user,
            Ok(_) => return Command::Refuse(LOGIN_GONE, true),
            Err(error) => {
                tracing::error!(error = chain(&error), "a user could not be looked up");
                return Command::Refuse(
                    "the platform is not available right now; try again in a moment",
                    false,
                );
            }
        };
        match Exec::parse(&String::from_utf8_lossy(data)) {
            Some(request) => Command::Run(user, request),
            None => Command::Refuse(UNSUPPORTED, false),
        }
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
        let Some((user, key)) = self.user_of(key.public_key).await else { return Ok(Auth::reject()) };
        let Ok(seat) = self.server.seats.enter(user.id) else { return Ok(Auth::reject()) };
        self.seat = Some(seat);
        self.login = Some(Login { user: user.id, key: key.uuid, fingerprint: key.fingerprint });
        self.known.cancel();
        self.unauthenticated = None;
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        session: &mut Session,
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
        let (server, handle) = (self.server.clone(), session.handle());
        tokio::spawn(async move {
            let _place = place;
            // The session waits for whoever does not read what comes for a channel; so somebody always does, or drops it.
            match tokio::time::timeout(COMMAND_TIMEOUT, command).await {
                Ok(Ok(Command::Run(user, request))) => run(server, user, request, channel).await,
                Ok(Ok(Command::Refuse(text, is_over))) => {
                    refuse(channel, text).await;
                    if is_over {
                        let _ = handle
                            .disconnect(Disconnect::ByApplication, text.to_owned(), String::new())
                            .await;
                    }
                }
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
        let Some(channel) = self.channels.remove(&id) else {
            return session.channel_failure(id);
        };
        session.channel_success(id)?;
        // A channel that waited too long is closed by now.
        let _ = channel.send(self.command(data).await);
        Ok(())
    }
}
