//! One-off commands.

use std::{io::Write as _, os::unix::fs::FileTypeExt as _};

use serde_json::{Value, json};

use super::super::{
    args::AppArg,
    context::Context,
    error::{ClientError, Result},
    output, shell,
};

pub(super) async fn run(cx: &Context, arg: &AppArg, words: &[String]) -> Result<()> {
    let (api, app) = (cx.api()?, cx.app_to_change(arg).await?);
    let command = shell::command(words);
    // What arrives here as a pipe or a file was meant for the command.
    let input = std::fs::metadata("/proc/self/fd/0").map(|input| input.file_type());
    if input.is_ok_and(|kind| kind.is_fifo() || kind.is_file()) {
        output::warn("The command does not get this standard input; its own is empty.");
    }
    eprintln!("Running '{command}'...");
    let (path, body) = (format!("/v2/apps/{app}/run"), json!({"command": command}));
    let mut interrupts = output::interrupts()?;
    let call = api.post::<Value>(&path, &body);
    let answer = tokio::select! {
        answer = call => answer?,
        _ = interrupts.recv() => {
            let text = "Detached. The command goes on without you; its output is lost.";
            return Err(ClientError::Interrupted(text.to_owned()));
        }
    };
    let text = output::text(&answer, "output");
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    if !text.is_empty() && !text.ends_with('\n') {
        let _ = out.write_all(b"\n");
    }
    match answer.get("exit_code").and_then(Value::as_i64).and_then(|c| i32::try_from(c).ok()) {
        Some(0) => Ok(()),
        Some(code) => Err(ClientError::Remote(code)),
        None => Err(ClientError::BadAnswer("it has no exit_code".to_owned())),
    }
}
