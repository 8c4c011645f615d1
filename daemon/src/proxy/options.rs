//! Limits of the proxy.

use std::time::Duration;

/// How patient the proxy is, and how much it takes.
#[derive(Clone, Debug)]
pub struct ProxyOptions {
    /// Domain under which apps live; itself and `deis.` below it are the platform.
    pub domain: String,
    /// Time that a client may take for the head of a request.
    pub head_timeout: Duration,
    /// How long a client's connection may wait for its next request.
    pub idle_timeout: Duration,
    /// Time that an app may take to accept a connection.
    pub connect_timeout: Duration,
    /// Time that an app may take for the head of its answer, counted from the last bytes of the request.
    pub answer_timeout: Duration,
    /// How long a client may pause within a request's body, or leave what was sent to it unread.
    pub stall_timeout: Duration,
    /// How long an unused connection to an app is kept.
    pub idle_upstream: Duration,
    /// How long an upgraded connection may be silent both ways.
    pub idle_tunnel: Duration,
    /// Bytes of the head of a request, or of an answer.
    pub most_head: usize,
    /// Connections from one address.
    pub most_connections: usize,
    /// Requests and upgraded connections in flight to one app.
    pub most_in_flight: usize,
    /// Time that requests in flight get when the daemon stops.
    pub stop_limit: Duration,
}

impl ProxyOptions {
    /// The usual limits for apps below `domain`.
    pub fn new(domain: impl Into<String>) -> Self {
        Self {
            domain: domain.into(),
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(30),
            answer_timeout: Duration::from_secs(1300),
            stall_timeout: Duration::from_secs(60),
            idle_upstream: deis_core::plan::constants::IDLE_UPSTREAM,
            idle_tunnel: Duration::from_secs(3600),
            most_head: 64 * 1024,
            most_connections: 512,
            most_in_flight: 1000,
            stop_limit: Duration::from_secs(10),
        }
    }
}
