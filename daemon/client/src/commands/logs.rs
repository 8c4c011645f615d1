//! The log of an app.

use std::io::Write as _;

use futures_util::StreamExt as _;
use serde_json::{Value, json};

use super::super::{
    args::LogsArgs,
    context::Context,
    error::{ClientError, Result},
    http::segment,
    output,
};

pub(super) async fn logs(cx: &Context, args: LogsArgs) -> Result<()> {
    let (api, app) = (cx.api()?, cx.app(&args.app).await?);
    let mut path = format!("/v2/apps/{app}/logs?log_lines={}", args.lines);
    if args.follow {
        path.push_str("&follow=1");
    }
    if let Some(process) = &args.process {
        path.push_str("&process=");
        path.push_str(&segment(process)?);
    }
    let mut interrupts = output::interrupts()?;
    let response = api.stream(&path).await?;
    if args.lines == 0 && !args.follow {
        // It was asked all the same, so that a wrong name is told; a daemon answers with one line at least.
        return Ok(());
    }
    let mut nothing = true;
    let mut chunks = response.bytes_stream();
    let mut pending = Vec::new();
    loop {
        let chunk = tokio::select! {
            chunk = chunks.next() => chunk,
            _ = interrupts.recv() => {
                let text = format!("Detached from the log of {app}; the app goes on.");
                return Err(ClientError::Interrupted(text));
            }
        };
        let Some(chunk) = chunk else { break };
        let chunk = chunk.map_err(ClientError::Ended)?;
        nothing = nothing && chunk.is_empty();
        let text = if args.json { as_json(&mut pending, &chunk) } else { chunk.to_vec() };
        let mut out = std::io::stdout().lock();
        if out.write_all(&text).and_then(|()| out.flush()).is_err() {
            return Ok(());
        }
    }
    if args.follow {
        return Err(ClientError::Other(format!("the log of {app} ended; run it again to go on")));
    }
    if nothing {
        let hint = match args.process {
            Some(process) => format!("There are no log messages of the process type {process} of {app}."),
            None => format!("There are no log messages for {app} yet: push something, or send it a request."),
        };
        eprintln!("{hint}");
    }
    Ok(())
}

/// The whole lines of what came so far, as one JSON object a line; the rest stays in `pending`.
fn as_json(pending: &mut Vec<u8>, chunk: &[u8]) -> Vec<u8> {
    pending.extend_from_slice(chunk);
    let whole = pending.iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1);
    let lines: Vec<u8> = pending.drain(..whole).collect();
    String::from_utf8_lossy(&lines)
        .lines()
        .flat_map(|line| format!("{}\n", parsed(line)).into_bytes())
        .collect()
}

/// `TIME APP[SOURCE]: TEXT` by its parts.
fn parsed(line: &str) -> Value {
    let parts = line.split_once(' ').and_then(|(time, rest)| {
        let (source, text) = rest.split_once("]: ")?;
        let (app, source) = source.split_once('[')?;
        Some(json!({"time": time, "app": app, "source": source, "text": text}))
    });
    parts.unwrap_or_else(|| json!({"text": line}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_objects_however_they_arrive() {
        let mut pending = Vec::new();
        assert!(as_json(&mut pending, b"2026-01-01T00:00:00+00:00 blog[web.v3.ab").is_empty());
        let text = String::from_utf8(as_json(&mut pending, b"1de]: a]: b\nodd\nrest")).unwrap();
        let lines: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        let time = "2026-01-01T00:00:00+00:00";
        let first = json!({"time": time, "app": "blog", "source": "web.v3.ab1de", "text": "a]: b"});
        assert_eq!(lines, [first, json!({"text": "odd"})]);
        assert_eq!(pending, b"rest");
    }
}
