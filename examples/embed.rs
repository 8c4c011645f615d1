//! The whole engine in a program of your own: an app, a release, a process, a request, and away with it.

use std::sync::Arc;

use deis_core::{
    Actor, AppName, BuildSpec, Digest, Endpoints, Platform, ProcessType, Username,
    local::{LocalOptions, LocalRunner, LocalScheduler, preparer, shim, unpacked_at},
    logs::RingLogs,
    port::Wake,
    routing::RouteTable,
    store::SqliteStore,
};
use deis_examples::{Result, now};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

fn main() -> Result<()> {
    // Each process of an app is supervised by this very program, run once more.
    shim::run_if_asked();
    tokio::runtime::Runtime::new()?.block_on(run())
}

async fn run() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let files = folder.path().join("app");
    tokio::fs::create_dir(&files).await?;
    tokio::fs::write(files.join("index.html"), "hello from an embedded platform\n").await?;

    let (endpoints, wake) = (Endpoints::default(), Wake::default());
    let options = LocalOptions::new(folder.path().join("run"), unpacked_at(&files))
        .with_endpoints(endpoints.clone())
        .with_wake(wake.clone());
    let platform = Platform::builder()
        .store(Arc::new(SqliteStore::open(folder.path().join("deis.db"))?))
        .scheduler(Arc::new(LocalScheduler::open(options.clone()).await?))
        .runner(Arc::new(LocalRunner::open(options).await?))
        .router(Arc::new(RouteTable::new(None)))
        .logs(Arc::new(RingLogs::new(1000)))
        .preparer(preparer(unpacked_at(&files)))
        .wake(wake)
        .clock(Arc::new(now))
        .build()?;
    let workers = platform.start();

    let session = platform.session(Actor::System { name: Username::new("ann")? });
    let created = session.create_app(AppName::new("blog")?).await?;
    let app = session.app(&created.name).await?;
    let web = [(ProcessType::web(), "exec python3 -m http.server $PORT".to_owned())];
    let change = app.deploy(BuildSpec::slug(Digest::of(b"any"), web.into())).await?;
    println!("{:?}: {:?}", change.release, app.wait(&change).await?);

    let lease = endpoints.lease(created.uid, &ProcessType::web(), &[]).ok_or("nothing is ready")?;
    let mut stream = tokio::net::TcpStream::connect(lease.address()).await?;
    stream.write_all(b"GET /index.html HTTP/1.0\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    println!("{}", answer.lines().last().unwrap_or_default());
    drop(lease);
    app.destroy().await?;
    app.destroyed().await?;
    workers.stop().await;
    Ok(())
}
