//! Git over SSH: public keys only, two commands only.

mod command;
mod connection;

use std::{io, net::IpAddr, path::Path, sync::Arc, time::Duration};

use deis_core::{Platform, model::UserId};
use russh::{
    MethodKind, MethodSet,
    server::{Config, run_stream},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::sync::CancellationToken;

use super::{algorithms, host_keys, socket::SshSocket};
use crate::{
    acceptor::Acceptor,
    keyed_limit::{Exhausted, KeyedLimit},
    network::network_of,
    pending::{Pending, PendingTicket},
    push::Pushes,
    telemetry::chain,
};
use connection::Connection;

/// The SSH side of git. Clones share one.
#[derive(Clone, Debug)]
pub struct GitSsh {
    platform: Platform,
    pushes: Pushes,
    config: Arc<Config>,
    seats: KeyedLimit<UserId>,
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
        let unauthenticated = Pending::new(MAX_UNAUTHENTICATED_OF_ADDRESS, MAX_UNAUTHENTICATED);
        let mut acceptor = Acceptor::new(listener);
        while let Some((socket, peer)) = acceptor.next(&stop).await {
            match admit(&sessions, &unauthenticated, peer.ip()) {
                Ok((place, ticket)) => {
                    let own = self.clone();
                    tokio::spawn(async move {
                        if let Err(error) = own.session(socket, ticket, place).await {
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
        ticket: PendingTicket,
        place: OwnedSemaphorePermit,
    ) -> Result<(), russh::Error> {
        let known = CancellationToken::new();
        let _ = socket.set_nodelay(true);
        let socket = SshSocket::new(socket, LOGIN_TIMEOUT, known.clone(), ticket.evicted().clone(), place);
        let connection = Connection::new(self.clone(), ticket, known);
        run_stream(Arc::clone(&self.config), socket, connection).await?.await
    }
}

/// A place for one more connection. Whoever comes when there is none is turned away at once, so that those who have
/// logged in are not affected.
fn admit(
    sessions: &Arc<Semaphore>,
    unauthenticated: &Pending,
    client: IpAddr,
) -> Result<(OwnedSemaphorePermit, PendingTicket), &'static str> {
    let place = Arc::clone(sessions).try_acquire_owned();
    let place = place.map_err(|_| "There are as many connections as there may be.")?;
    let ticket = unauthenticated.enter(network_of(client), true).map_err(|exhausted| match exhausted {
        Exhausted::Key => "There are too many connections from this address that have not logged in.",
        Exhausted::Total => "There are too many connections that have not logged in.",
    })?;
    Ok((place, ticket))
}

/// How long a client may take to log in.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections that have not logged in.
const MAX_UNAUTHENTICATED: usize = 64;
/// Those of one address.
const MAX_UNAUTHENTICATED_OF_ADDRESS: usize = 16;
/// Connections in all.
const MAX_SESSIONS: usize = 256;
/// Connections of one user.
const MAX_SESSIONS_OF_USER: usize = 10;
