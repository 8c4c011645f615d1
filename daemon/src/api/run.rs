//! One-off commands.

use deis_core::{
    Exit,
    port::{OutputLine, output_channel},
};
use serde_json::{Value, json};
use tokio::sync::mpsc::Receiver;

use super::{
    auth::App,
    error::{ApiError, Result},
    payload::Payload,
    respond::Answer,
};

/// Most bytes of output that are sent back.
const MOST_OUTPUT: usize = 8 << 20;

/// Runs a command with the live release and answers with its output and exit code.
pub(super) async fn run(App(app): App, payload: Payload) -> Result<Answer<Value>> {
    let missing = || ApiError::Bad("command is a required field".to_owned());
    let command = payload.members.get("command").and_then(Value::as_str).filter(|c| !c.trim().is_empty());
    let command = command.ok_or_else(missing)?;
    let (sender, lines) = output_channel();
    let (exit, output) = tokio::join!(app.run(command, sender), collect(lines, MOST_OUTPUT));
    let code = match exit {
        Ok(Exit::Code(code)) => code,
        Ok(Exit::Signal(signal)) => 128 + signal,
        Ok(Exit::TimedOut) => {
            return Err(ApiError::Unavailable("the command took too long and was stopped".to_owned()));
        }
        Ok(Exit::Lost) => return Err(ApiError::Unavailable("the command was interrupted".to_owned())),
        Err(deis_core::Error::NoBuild) => {
            let text = "No build associated with this release to run this command";
            return Err(ApiError::NoBuild(text));
        }
        Err(error) => return Err(error.into()),
    };
    Ok(Answer::ok(json!({"exit_code": code, "output": output})))
}

/// The lines up to the first that does not fit; the others are read all the same, for the command waits for that.
async fn collect(mut lines: Receiver<OutputLine>, most: usize) -> String {
    let mut output = String::new();
    let mut cut = false;
    while let Some(line) = lines.recv().await {
        if cut {
            continue;
        }
        cut = output.len() + line.text.len() >= most;
        output.push_str(if cut { "[the output is longer than this server sends back]" } else { &line.text });
        output.push('\n');
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn output_ends_where_it_stops_to_fit() {
        let (sender, lines) = output_channel();
        for text in ["one", "two", "a line that is too long", "three"] {
            sender.send(OutputLine { text: text.to_owned() }).await.unwrap();
        }
        drop(sender);
        let output = collect(lines, 12).await;
        assert_eq!(output, "one\ntwo\n[the output is longer than this server sends back]\n");
    }
}
