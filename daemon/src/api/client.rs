//! Whom a request counts for before it says who asks.

use std::{convert::Infallible, net::IpAddr};

use axum::{
    extract::FromRequestParts,
    http::{Extensions, request::Parts},
};

use crate::{network::network_of, proxy::ClientInfo};

/// The network of a request's client, by which what it costs is counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClientAddress(pub(super) IpAddr);

impl ClientAddress {
    /// Of a request with these extensions. Without a proxy in front, all clients are one.
    pub(super) fn of(extensions: &Extensions) -> Self {
        let client = extensions.get::<ClientInfo>().map(|client| network_of(client.address));
        Self(client.unwrap_or(IpAddr::from([127, 0, 0, 1])))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.extensions))
    }
}
