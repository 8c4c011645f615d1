//! Clients for the instances of apps.

use std::time::Duration;

use deis_core::routing::Lease;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};

use super::{ProxyOptions, body::UploadBody, upstream_stream::Connector};

/// Connections to apps.
pub(super) struct Upstream {
    /// Where another instance can be asked instead.
    hasty: Clients,
    /// For the only instance there is.
    patient: Clients,
}

/// A kept connection may be closed by the app at the very moment at which a request is written. A safe request is sent
/// again then, if there was no word of an answer. One with an effect could be done twice, so it always gets a connection
/// of its own.
pub(super) struct Clients {
    pub(super) kept: Client<Connector, UploadBody>,
    pub(super) fresh: Client<Connector, UploadBody>,
}

impl Upstream {
    pub(super) fn new(options: &ProxyOptions) -> Self {
        let clients = |connect_timeout: Duration| {
            let connector = Connector::new(connect_timeout, options.answer_timeout);
            // On its own the library repeats a request only if nothing of it was written, because the kept connection
            // had been closed. What may be repeated beyond that is decided in `forward`.
            let mut builder = Client::builder(TokioExecutor::new());
            builder
                .pool_timer(TokioTimer::new())
                // Shorter than the time after which common servers close an idle connection, so that it is mostly this
                // side that ends.
                .pool_idle_timeout(options.idle_upstream)
                .set_host(false)
                .http1_max_buf_size(options.max_head)
                .http1_max_headers(options.max_answer_fields);
            let kept = builder.build(connector.clone());
            Clients { kept, fresh: builder.pool_max_idle_per_host(0).build(connector) }
        };
        Self { hasty: clients(options.connect_timeout), patient: clients(options.only_connect_timeout) }
    }

    /// The clients for a lease. The time limit of a connect is the connector's, so there are two of each, and a connection
    /// that one of them keeps is of no use to the other: an app pays with one connect when it gets its second instance.
    pub(super) fn clients(&self, lease: &Lease) -> &Clients {
        if lease.is_only() { &self.patient } else { &self.hasty }
    }
}
