//! The sockets that a daemon listens on.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::{StartError, open};
use crate::settings::Settings;

/// Listeners, bound before anything else is done, so that a taken port changes nothing.
pub(super) struct Listeners {
    pub(super) http: TcpListener,
    pub(super) ssh: Option<TcpListener>,
    pub(super) metrics: Option<TcpListener>,
}

/// Where they are.
#[derive(Debug)]
pub(super) struct Addresses {
    pub(super) http: SocketAddr,
    pub(super) ssh: Option<SocketAddr>,
    metrics: Option<SocketAddr>,
}

impl Listeners {
    /// Binds all that the settings name.
    pub(super) async fn bind(settings: &Settings) -> Result<Self, StartError> {
        let listen = async |what, address, flag| {
            TcpListener::bind(address).await.map_err(|source| StartError::Listen {
                what,
                address,
                flag,
                source,
            })
        };
        Ok(Self {
            http: listen("HTTP", settings.http, "--http-listen").await?,
            ssh: match settings.ssh {
                Some(address) => Some(listen("SSH", address, "--ssh-listen (or `--ssh-listen off`)").await?),
                None => None,
            },
            metrics: match settings.metrics {
                Some(address) => {
                    Some(listen("metrics", address, "--metrics-listen (or `--metrics-listen off`)").await?)
                }
                None => None,
            },
        })
    }

    pub(super) fn addresses(&self) -> Result<Addresses, StartError> {
        let local = |listener: &TcpListener| listener.local_addr().map_err(open("a listener"));
        Ok(Addresses {
            http: local(&self.http)?,
            ssh: self.ssh.as_ref().map(local).transpose()?,
            metrics: self.metrics.as_ref().map(local).transpose()?,
        })
    }
}

impl std::fmt::Display for Addresses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HTTP on {}", self.http)?;
        for (what, address) in [("SSH", self.ssh), ("metrics", self.metrics)] {
            if let Some(address) = address {
                write!(f, ", {what} on {address}")?;
            }
        }
        Ok(())
    }
}
