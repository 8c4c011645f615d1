//! Everything that happens is an event, in commit order, from any point on: for audits, hooks and user interfaces.

use deis_core::{ReleaseVersion, local::shim, model::EventKind};
use deis_examples::{Result, create_app, platform, worker};
use futures_util::StreamExt as _;

fn main() -> Result<()> {
    shim::run_if_asked();
    tokio::runtime::Runtime::new()?.block_on(run())
}

async fn run() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (platform, workers) = platform(folder.path()).await?;
    let app = create_app(&platform).await?;
    app.deploy(worker()?).await?;

    let mut events = app.events(None);
    while let Some(event) = events.next().await {
        let (cursor, event) = event?;
        println!("{:>3}  {:?}", cursor.revision, event.kind);
        if event.kind == (EventKind::ReleaseLive { version: ReleaseVersion(2) }) {
            break;
        }
    }

    app.destroy().await?;
    app.destroyed().await?;
    workers.stop().await;
    Ok(())
}
