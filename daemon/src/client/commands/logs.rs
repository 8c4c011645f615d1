//! The log of an app.

use std::io::Write as _;

use futures_util::StreamExt as _;

use super::super::{
    args::LogsArgs,
    context::Context,
    error::{ClientError, Result},
};

pub(super) async fn logs(cx: &Context, args: LogsArgs) -> Result<()> {
    let (api, app) = (cx.api()?, cx.app(&args.app).await?);
    let mut path = format!("/v2/apps/{app}/logs?log_lines={}", args.lines);
    if args.follow {
        path.push_str("&follow=1");
    }
    if let Some(process) = &args.process {
        let process =
            deis_core::ProcessType::new(process.as_str()).map_err(|e| ClientError::Usage(e.to_string()))?;
        path.push_str("&process=");
        path.push_str(process.as_str());
    }
    let response = api.stream(&path).await?;
    let mut nothing = true;
    let mut chunks = response.bytes_stream();
    loop {
        let chunk = tokio::select! {
            chunk = chunks.next() => chunk,
            _ = tokio::signal::ctrl_c() => return Ok(()),
        };
        let Some(chunk) = chunk else { break };
        let chunk = chunk.map_err(|e| api.unreachable(e))?;
        nothing = nothing && chunk.is_empty();
        let mut out = std::io::stdout().lock();
        if out.write_all(&chunk).and_then(|()| out.flush()).is_err() {
            return Ok(());
        }
    }
    if nothing && !args.follow {
        eprintln!("There are no log messages for {app} yet: push something, or send it a request.");
    }
    Ok(())
}
