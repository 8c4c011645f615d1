//! One-off commands, as the original's client runs them: one request, one answer with everything.

use deis_core::{model::Exit, port::OutputItem};
use serde_json::{Value, json};

use super::{
    auth::App,
    error::{ApiError, Result},
    payload::Payload,
    respond::Answer,
};

/// Most bytes of output that are sent back.
const MAX_OUTPUT: usize = 8 << 20;
/// What stands where an answer ends before the output does.
const CUT: &str = "[the output is longer than this server sends back]\n";

/// Runs a command with the live release and answers with its output and exit code.
pub(super) async fn run(App(app): App, payload: Payload) -> Result<Answer<Value>> {
    let missing = || ApiError::Bad("command is a required field".to_owned());
    let command = payload.members.get("command").and_then(Value::as_str).filter(|c| !c.trim().is_empty());
    let command = command.ok_or_else(missing)?;
    let mut output = Collected { bytes: Vec::new(), cut: false, most: MAX_OUTPUT };
    let exit = app.run(command, |item| {
        output.add(item);
        std::future::ready(())
    });
    let code = match exit.await {
        Ok(Exit::Code(code)) => code,
        Ok(Exit::Signal(signal)) => 128 + signal,
        Ok(Exit::TimedOut) => {
            return Err(ApiError::Unavailable("the command took too long and was stopped".to_owned()));
        }
        Ok(Exit::Lost) => return Err(ApiError::Unavailable("the command was interrupted".to_owned())),
        Err(error) => return Err(not_run(error)),
    };
    Ok(Answer::ok(json!({"exit_code": code, "output": output.into_text()})))
}

/// Why a command was not run.
pub(super) fn not_run(error: deis_core::Error) -> ApiError {
    match error {
        deis_core::Error::NoBuild => {
            ApiError::NoBuild("No build associated with this release to run this command")
        }
        error => error.into(),
    }
}

/// The output up to the first piece that does not fit; what follows is read all the same, for the command waits for
/// that.
struct Collected {
    bytes: Vec<u8>,
    cut: bool,
    most: usize,
}

impl Collected {
    fn add(&mut self, item: OutputItem) {
        if self.cut {
            return;
        }
        match item {
            OutputItem::Output(chunk) if self.bytes.len() + chunk.bytes.len() > self.most => {
                let room = self.most - self.bytes.len();
                self.bytes.extend_from_slice(&chunk.bytes[..room]);
                if !self.bytes.ends_with(b"\n") {
                    self.bytes.push(b'\n');
                }
                self.bytes.extend_from_slice(CUT.as_bytes());
                self.cut = true;
            }
            OutputItem::Output(chunk) => self.bytes.extend_from_slice(&chunk.bytes),
            OutputItem::Lost { bytes } => {
                self.bytes.extend_from_slice(format!("[{bytes} bytes were lost here]\n").as_bytes());
            }
            OutputItem::Broken { reason } => {
                self.bytes.extend_from_slice(format!("[the output ends here: {reason}]\n").as_bytes());
            }
            OutputItem::Ended { .. } => {}
        }
    }

    /// JSON holds text only; who needs the bytes attaches.
    fn into_text(self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use deis_core::{
        Timestamp,
        port::{OutputChunk, OutputStream},
    };

    use super::*;

    #[test]
    fn output_ends_where_it_stops_to_fit() {
        let mut output = Collected { bytes: Vec::new(), cut: false, most: 12 };
        for text in ["one\n", "two\n", "a line that is too long\n", "three\n"] {
            let bytes = bytes::Bytes::from_static(text.as_bytes());
            output.add(OutputItem::Output(OutputChunk {
                stream: OutputStream::Stdout,
                at: Timestamp(0),
                bytes,
            }));
        }
        assert_eq!(output.into_text(), format!("one\ntwo\na li\n{CUT}"));
    }
}
