//! Limits of the proxy.

use std::time::Duration;

use super::TrustedProxies;

/// How patient the proxy is, and how much it takes.
#[derive(Clone, Debug)]
pub struct ProxyOptions {
    /// Domain under which apps live; itself and `deis.` below it are the platform.
    pub domain: String,
    /// Proxies before this one that are believed what they say about their clients.
    pub trusted_proxies: TrustedProxies,
    /// Time that a client may take for the head of a request.
    pub head_timeout: Duration,
    /// How long a client's connection may wait for its next request.
    pub idle_timeout: Duration,
    /// Time that an instance may take to accept a connection while there is another one to ask.
    pub connect_timeout: Duration,
    /// Time that the only instance may take to accept a connection.
    pub only_connect_timeout: Duration,
    /// Time that an app may take for the head of its answer, counted from the last bytes of the request.
    pub answer_timeout: Duration,
    /// How long a client may pause within a request's body, or leave what was sent to it unread.
    pub stall_timeout: Duration,
    /// How long the rest of a request is read, and thrown away, after it was answered.
    pub linger: Duration,
    /// How long the client may pause meanwhile.
    pub linger_silence: Duration,
    /// How long an unused connection to an app is kept.
    pub idle_upstream: Duration,
    /// How long an upgraded connection may be silent both ways.
    pub idle_tunnel: Duration,
    /// Bytes of the head of a request, or of an answer.
    pub max_head: usize,
    /// Header fields of a request.
    pub max_request_fields: usize,
    /// Header fields of an answer. Apps are trusted with more than clients.
    pub max_answer_fields: usize,
    /// Connections from one address to apps; also those that have asked for nothing yet.
    pub max_address_connections: usize,
    /// Connections from one address to the platform's own hosts.
    pub max_address_platform_connections: usize,
    /// Connections to apps in all.
    pub max_connections: usize,
    /// Connections to the platform's own hosts in all.
    pub max_platform_connections: usize,
    /// Connections of trusted proxies in all, whatever they are used for.
    pub max_proxy_connections: usize,
    /// Connections in all that have asked for nothing yet.
    pub max_pending_connections: usize,
    /// Requests and upgraded connections in flight to one app.
    pub max_in_flight: usize,
    /// Time that requests in flight get when the daemon stops.
    pub stop_limit: Duration,
}

impl ProxyOptions {
    /// The usual limits for apps below `domain`.
    pub fn new(domain: impl Into<String>) -> Self {
        Self {
            domain: domain.into(),
            trusted_proxies: TrustedProxies::default(),
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(1),
            only_connect_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(1300),
            stall_timeout: Duration::from_secs(60),
            linger: Duration::from_secs(30),
            linger_silence: Duration::from_secs(5),
            idle_upstream: deis_core::plan::constants::IDLE_UPSTREAM,
            idle_tunnel: Duration::from_secs(3600),
            max_head: 64 * 1024,
            max_request_fields: 100,
            max_answer_fields: 512,
            max_address_connections: 512,
            max_address_platform_connections: 128,
            max_connections: 16_384,
            max_platform_connections: 1024,
            max_proxy_connections: 4096,
            max_pending_connections: 4096,
            max_in_flight: 1000,
            stop_limit: Duration::from_secs(10),
        }
    }
}
