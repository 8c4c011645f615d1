//! One-off commands.

use deis_core::{Exit, port::output_channel};
use serde_json::{Value, json};

use super::{
    auth::App,
    error::{ApiError, Result},
    json::{Answer, Payload},
};

/// Most bytes of output that are sent back.
const MOST_OUTPUT: usize = 8 << 20;

/// Runs a command with the live release and answers with its output and exit code.
pub(super) async fn run(App(app): App, payload: Payload) -> Result<Answer<Value>> {
    let missing = || ApiError::Bad("command is a required field".to_owned());
    let command = payload.0.get("command").and_then(Value::as_str).filter(|c| !c.trim().is_empty());
    let command = command.ok_or_else(missing)?;
    let (sender, mut lines) = output_channel();
    let collect = async {
        let mut output = String::new();
        while let Some(line) = lines.recv().await {
            if output.len() + line.text.len() < MOST_OUTPUT {
                output.push_str(&line.text);
                output.push('\n');
            }
        }
        output
    };
    let (exit, output) = tokio::join!(app.run(command, sender), collect);
    let code = match exit {
        Ok(Exit::Code(code)) => code,
        Ok(Exit::Signal(signal)) => 128 + signal,
        Ok(Exit::TimedOut) => {
            return Err(ApiError::Unavailable("the command took too long and was stopped".to_owned()));
        }
        Ok(Exit::Lost) => return Err(ApiError::Unavailable("the command was interrupted".to_owned())),
        Err(deis_core::Error::NoBuild) => {
            let text = "No build associated with this release to run this command";
            return Err(ApiError::Bad(text.to_owned()));
        }
        Err(error) => return Err(error.into()),
    };
    Ok(Answer::ok(json!({"exit_code": code, "output": output})))
}
