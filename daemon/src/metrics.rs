//! `/metrics` in the text format of Prometheus, on a listener of its own that only this machine can reach.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use axum::{Router, http::header, response::IntoResponse as _, routing::get};
use deis_core::{Actor, PageQuery, Platform, Username};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_service::Service as _;

use crate::{acceptor::Acceptor, network::network_of, pending::Pending, proxy::ProxyMetrics};

type Labels = Vec<(String, String)>;
type Number = Gauge<u64, AtomicU64>;

/// Connections at a time. Apps are on this machine too, and could hold any number.
const MAX_CONNECTIONS: usize = 16;
/// Time for a connection: one request and its answer.
const CONNECTION_LIMIT: Duration = Duration::from_secs(10);

/// Serves the metrics until it is told to stop.
pub(crate) async fn serve(
    listener: TcpListener,
    platform: Platform,
    proxy: Arc<ProxyMetrics>,
    stop: CancellationToken,
) {
    let handler = move || {
        let (platform, proxy) = (platform.clone(), Arc::clone(&proxy));
        async move {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], render(&platform, &proxy).await).into_response()
        }
    };
    let router = Router::new().route("/metrics", get(handler));
    let pending = Pending::new(MAX_CONNECTIONS, MAX_CONNECTIONS);
    let mut http = http1::Builder::new();
    http.keep_alive(false);
    let mut acceptor = Acceptor::new(listener);
    while let Some((stream, peer)) = acceptor.next(&stop).await {
        let Ok(ticket) = pending.enter(network_of(peer.ip()), true) else { continue };
        let router = router.clone();
        let service = service_fn(move |request| router.clone().call(request));
        let connection = http.serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move {
            tokio::select! {
                // An error is the end of the connection, of which the client knows.
                _ = connection => {}
                () = ticket.evicted().cancelled() => {}
                () = tokio::time::sleep(CONNECTION_LIMIT) => {}
            }
        });
    }
}

async fn render(platform: &Platform, proxy: &ProxyMetrics) -> String {
    let mut registry = Registry::with_prefix("deis");
    register(&mut registry, proxy);
    let mut gauge = |name: &str, help: &str, value: u64| {
        let gauge = Number::default();
        gauge.set(value);
        registry.register(name, help, gauge);
    };
    gauge("proxy_in_flight", "Requests that wait for the head of their answer", proxy.in_flight());
    gauge("up", "Whether the database answers", u64::from(platform.ready().await.is_ok()));
    let everything = PageQuery { offset: 0, limit: 1 };
    if let Ok(name) = Username::new("deis")
        && let Ok(apps) = platform.session(Actor::System { name }).apps(everything).await
    {
        gauge("apps", "Number of apps", apps.total as u64);
    }
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => text,
        Err(error) => format!("# {error}\n"),
    }
}

/// What only ever grows is a counter, so that a restart is no drop.
fn register(registry: &mut Registry, proxy: &ProxyMetrics) {
    let answers = Family::<Labels, Counter>::default();
    for (class, count) in proxy.answers().into_iter().enumerate() {
        let labels = vec![("class".to_owned(), format!("{}xx", class + 1))];
        answers.get_or_create(&labels).inc_by(count);
    }
    registry.register("proxy_answers", "Answers to requests for apps since the start, by class", answers);
    let retries = Counter::<u64>::default();
    retries.inc_by(proxy.retries());
    registry.register("proxy_retries", "Requests sent once more since the start", retries);
    let refusals = Family::<Labels, Counter>::default();
    for (bound, count) in proxy.refusals() {
        refusals.get_or_create(&vec![("bound".to_owned(), bound.name().to_owned())]).inc_by(count);
    }
    let help = "Connections and requests refused since the start, by the bound that was reached";
    registry.register("proxy_refusals", help, refusals);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_grows_is_a_counter() {
        let mut registry = Registry::with_prefix("deis");
        register(&mut registry, &ProxyMetrics::default());
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "# TYPE deis_proxy_answers counter",
            "deis_proxy_answers_total{class=\"5xx\"} 0",
            "# TYPE deis_proxy_retries counter",
            "deis_proxy_retries_total 0",
            "deis_proxy_refusals_total{bound=\"address_app_connections\"} 0",
        ] {
            assert!(text.contains(line), "{line:?} is missing in {text}");
        }
    }
}
