//! What would a change do? The answer comes from the functions that would do it, and changes nothing.

use deis_core::{ConfigPatch, EnvKey, Intent, PageQuery, ProcessType, local::shim};
use deis_examples::{Result, create_app, platform, worker};

fn main() -> Result<()> {
    shim::run_if_asked();
    tokio::runtime::Runtime::new()?.block_on(run())
}

async fn run() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (platform, workers) = platform(folder.path()).await?;
    let app = create_app(&platform).await?;
    let change = app.deploy(worker()?).await?;
    app.wait(&change).await?;

    let config = Intent::Config(ConfigPatch::default().set(EnvKey::new("GREETING")?, "hello"));
    let scale = Intent::Scale([(ProcessType::new("worker")?, 2)].into());
    for intent in [config, scale] {
        let plan = app.plan(&intent).await?;
        for step in &plan.steps {
            println!("{}: {}", step.action, step.detail);
        }
        for difference in &plan.diff {
            println!("  {} {:?} -> {:?}", difference.path, difference.before, difference.after);
        }
    }
    println!("releases: {}", app.releases(PageQuery::default()).await?.total);

    app.destroy().await?;
    app.destroyed().await?;
    workers.stop().await;
    Ok(())
}
