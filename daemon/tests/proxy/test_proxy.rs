//! A proxy for one app, `blog`, and connections to it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use deis_core::{
    AppName, DomainName, ProcessType,
    model::{AppRef, AppRoutes, AppUid, Generation, InstanceName, RouteFence, RouteMode, TemplateId},
    port::Router as _,
    routing::{EndpointInfo, Endpoints, Lease, RouteTable},
};
use deis_daemon::proxy::{ClientInfo, Proxy, ProxyMetrics, ProxyOptions};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;

async fn who(axum::Extension(client): axum::Extension<ClientInfo>) -> String {
    format!("{} over {}", client.address, client.scheme.as_str())
}

pub(crate) struct TestProxy {
    pub(crate) address: SocketAddr,
    pub(crate) app: AppUid,
    pub(crate) endpoints: Endpoints,
    pub(crate) metrics: Arc<ProxyMetrics>,
    pub(crate) stop: CancellationToken,
    pub(crate) ended: tokio::task::JoinHandle<()>,
}

impl TestProxy {
    /// With instances at these addresses.
    pub(crate) async fn to(instances: &[SocketAddr]) -> Self {
        Self::with(instances, |_| ()).await
    }

    pub(crate) async fn with(instances: &[SocketAddr], tune: impl FnOnce(&mut ProxyOptions)) -> Self {
        let app = AppUid(uuid::Uuid::new_v4());
        let routes = Arc::new(RouteTable::new(Some(DomainName::new("example.com").unwrap())));
        let published = AppRoutes {
            app: AppRef { name: AppName::new("blog").unwrap(), uid: app },
            fence: RouteFence { routes: 1, generation: Generation(1) },
            process: Some(ProcessType::web()),
            domains: vec![DomainName::new("blog").unwrap()],
            mode: RouteMode::Serve,
        };
        routes.publish(&published).await.unwrap();
        let endpoints = Endpoints::default();
        let mut options = ProxyOptions::new("example.com");
        tune(&mut options);
        let metrics = Arc::new(ProxyMetrics::default());
        let endless = || async {
            let hello = futures_util::stream::once(async { Ok::<_, std::io::Error>("hello") });
            let for_ever = futures_util::stream::pending();
            axum::body::Body::from_stream(futures_util::StreamExt::chain(hello, for_ever))
        };
        let all = |body: axum::body::Bytes| async move { format!("the platform got {}", body.len()) };
        let platform = axum::Router::new()
            .route("/follow", axum::routing::get(endless))
            .route("/take", axum::routing::post(all))
            .route("/refuse", axum::routing::post(|| async { http::StatusCode::PAYLOAD_TOO_LARGE }))
            .route("/who", axum::routing::get(who))
            .fallback(|| async { "the platform" });
        let complete = CancellationToken::new();
        complete.cancel();
        let proxy =
            Proxy::new(options, 80, endpoints.clone(), routes, platform, Arc::clone(&metrics), complete);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let ended = tokio::spawn({
            let stop = stop.clone();
            async move { proxy.serve(listener, stop).await }
        });
        let proxy = Self { address, app, endpoints, metrics, stop, ended };
        for address in instances {
            proxy.join(*address);
        }
        proxy
    }

    /// One more instance, as busy as the lease is held: whoever is idle comes first.
    pub(crate) fn join(&self, address: SocketAddr) -> Lease {
        let others: Vec<_> =
            self.endpoints.of(self.app, &ProcessType::web()).into_iter().map(|e| e.instance).collect();
        let index = others.len();
        let name = InstanceName::new(format!("blog-web-1-{index:05}")).unwrap();
        self.endpoints.add(self.app, &ProcessType::web(), &name, &TemplateId("t".into()), address);
        self.endpoints.lease(self.app, &ProcessType::web(), &others).unwrap()
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends these bytes on a connection of their own and reads until its end, or until nothing comes for a while.
    pub(crate) async fn raw(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(2), stream.read_to_end(&mut answer)).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// A request of this method, with its answer.
    pub(crate) async fn request(&self, method: &str, body: &str) -> String {
        self.raw(&format!(
            "{method} /some/path?q=1 HTTP/1.1\r\nHost: blog.example.com\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await
    }

    /// What the table has about the app's instances.
    pub(crate) fn instances(&self) -> Vec<EndpointInfo> {
        self.endpoints.of(self.app, &ProcessType::web())
    }

    /// Requests in flight at all instances.
    pub(crate) fn leases(&self) -> usize {
        self.endpoints.of(self.app, &ProcessType::web()).iter().map(|e| e.in_flight).sum()
    }

    /// Waits until nothing is leased any more.
    pub(crate) async fn is_idle(&self) {
        let idle = async {
            while self.leases() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), idle).await.expect("every lease is given back");
    }
}
