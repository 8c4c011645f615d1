//! One-off commands, as the original's client runs them: one request, one answer with everything.

use axum::{
    Extension,
    body::Body,
    http::{HeaderValue, Response, header},
};
use deis_core::{model::Exit, port::OutputItem};
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::{
    auth::App,
    error::{ApiError, Result},
    held_answer::{AnswerBudget, held},
    payload::Payload,
};
use crate::keyed_limit::KeyedPermit;

/// Most bytes of output that are sent back, as they stand in the answer: JSON needs six for some.
const MAX_OUTPUT: usize = 8 << 20;
/// What stands where an answer ends before the output does.
const CUT: &str = "[the output is longer than this server sends back]\n";
/// The same, where other answers hold the room.
const NO_ROOM: &str =
    "[the rest is left out: your answers that wait to be read hold as much memory as they may]\n";

/// Runs a command with the live release and answers with its output and exit code. It ends with its client.
pub(super) async fn run(
    App(app): App,
    Extension(budget): Extension<AnswerBudget>,
    payload: Payload,
) -> Result<Response<Body>> {
    let missing = || ApiError::Bad("command is a required field".to_owned());
    let command = payload.members.get("command").and_then(Value::as_str).filter(|c| !c.trim().is_empty());
    let command = command.ok_or_else(missing)?;
    let mut output = Collected::new(MAX_OUTPUT, budget.of(app.actor().name().to_string()));
    let exit = app.run(command, |item| {
        output.add(item);
        std::future::ready(())
    });
    match exit.await {
        Ok(Exit::Code(code)) => output.into_answer(code),
        Ok(Exit::Signal(signal)) => output.into_answer(128 + signal),
        Ok(Exit::TimedOut) => Err(ApiError::Service {
            code: "run_timeout",
            text: "the command took too long and was stopped".to_owned(),
        }),
        Ok(Exit::Lost) => {
            let text = output.broken.unwrap_or_else(|| "the command was interrupted".to_owned());
            Err(ApiError::Service { code: "run_interrupted", text })
        }
        Err(error) => Err(not_run(error)),
    }
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
    /// Bytes of the answer that it needs at most, and may need.
    size: usize,
    most: usize,
    cut: bool,
    /// Why the output ends too early.
    broken: Option<String>,
    permit: KeyedPermit<String>,
}

impl Collected {
    fn new(most: usize, permit: KeyedPermit<String>) -> Self {
        Self { bytes: Vec::new(), size: 0, most, cut: false, broken: None, permit }
    }

    fn add(&mut self, item: OutputItem) {
        match item {
            OutputItem::Output(chunk) => self.add_bytes(&chunk.bytes),
            OutputItem::Lost { bytes } => {
                self.add_bytes(format!("[{bytes} bytes were lost here]\n").as_bytes());
            }
            OutputItem::Broken { reason } => {
                self.add_bytes(format!("[the output ends here: {reason}]\n").as_bytes());
                self.broken = Some(reason);
            }
            OutputItem::Ended { .. } => {}
        }
    }

    fn add_bytes(&mut self, bytes: &[u8]) {
        if self.cut {
            return;
        }
        let size = encoded_size(bytes);
        let fits = self.size + size <= self.most;
        if fits && self.permit.grow(size).is_ok() {
            self.size += size;
            self.bytes.extend_from_slice(bytes);
            return;
        }
        self.cut = true;
        let mut room = if fits { 0 } else { self.most - self.size };
        let last = bytes.iter().take_while(|byte| {
            let size = encoded_size(std::slice::from_ref(*byte));
            let fits = size <= room;
            room = room.saturating_sub(size);
            fits
        });
        // No more than the chunk that is in memory anyway.
        self.bytes.extend(last);
        if !self.bytes.is_empty() && !self.bytes.ends_with(b"\n") {
            self.bytes.push(b'\n');
        }
        self.bytes.extend_from_slice(if fits { NO_ROOM } else { CUT }.as_bytes());
    }

    /// JSON holds text only; who needs the bytes attaches.
    fn into_answer(self, exit_code: i32) -> Result<Response<Body>> {
        #[derive(Serialize)]
        struct RunAnswer<'a> {
            exit_code: i32,
            output: Text<'a>,
        }
        let mut answer = Vec::with_capacity(self.size + 256);
        serde_json::to_writer(&mut answer, &RunAnswer { exit_code, output: Text(&self.bytes) })
            .map_err(|_| ApiError::Internal)?;
        let mut response = Response::new(held(answer, self.permit));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(response)
    }
}

/// How long bytes are at most as part of a JSON text.
fn encoded_size(bytes: &[u8]) -> usize {
    let of = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 8 | 12 => 2,
        0..0x20 => 6,
        _ => 1,
    };
    let piece = |chunk: std::str::Utf8Chunk<'_>| {
        let replaced = if chunk.invalid().is_empty() { 0 } else { '\u{fffd}'.len_utf8() };
        chunk.valid().bytes().map(of).sum::<usize>() + replaced
    };
    bytes.utf8_chunks().map(piece).sum()
}

/// Bytes as text, with marks for what is none. It is never there as a whole: it may be three times as long.
struct Text<'a>(&'a [u8]);

impl std::fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for chunk in self.0.utf8_chunks() {
            f.write_str(chunk.valid())?;
            if !chunk.invalid().is_empty() {
                f.write_str("\u{fffd}")?;
            }
        }
        Ok(())
    }
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use deis_core::{
        Timestamp,
        port::{OutputChunk, OutputStream},
    };
    use http_body_util::BodyExt as _;

    use super::*;

    fn collected(most: usize, pieces: &[&[u8]]) -> Collected {
        let mut output = Collected::new(most, AnswerBudget::default().of("ann".to_owned()));
        for piece in pieces {
            let bytes = bytes::Bytes::copy_from_slice(piece);
            output.add(OutputItem::Output(OutputChunk {
                stream: OutputStream::Stdout,
                at: Timestamp(0),
                bytes,
            }));
        }
        output
    }

    async fn answer(output: Collected) -> (usize, Value) {
        let body = output.into_answer(3).unwrap().into_body().collect().await.unwrap().to_bytes();
        (body.len(), serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn output_ends_where_it_stops_to_fit() {
        let pieces = [&b"one\n"[..], b"two\n", b"a line that is too long\n", b"three\n"];
        let (_, answer) = answer(collected(14, &pieces)).await;
        assert_eq!(answer, serde_json::json!({"exit_code": 3, "output": format!("one\ntwo\na li\n{CUT}")}));
    }

    #[tokio::test]
    async fn an_answer_is_no_longer_than_what_was_counted() {
        let mut bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
        bytes.extend("ä€😀".repeat(1000).into_bytes());
        let pieces: Vec<&[u8]> = bytes.chunks(7).collect();
        let output = collected(MAX_OUTPUT, &pieces);
        let counted = output.size;
        let (length, whole) = answer(output).await;
        assert!(length <= counted + 64, "{length} bytes, {counted} counted");
        assert_eq!(whole["output"], String::from_utf8_lossy(&bytes).as_ref());
        let (length, _) = answer(collected(50_000, &pieces)).await;
        assert!(length <= 50_200, "{length}");
    }

    #[tokio::test]
    async fn answers_that_nobody_reads_leave_no_room_for_more() {
        let budget = AnswerBudget::default();
        let mut unread = Vec::new();
        loop {
            let mut output = Collected::new(MAX_OUTPUT, budget.of("ann".to_owned()));
            output.add_bytes(&vec![b'x'; MAX_OUTPUT]);
            if output.cut {
                assert_eq!(answer(output).await.1["output"], NO_ROOM);
                break;
            }
            unread.push(output.into_answer(0).unwrap());
        }
        assert_eq!(unread.len(), 4);
        unread.pop();
        let mut output = Collected::new(MAX_OUTPUT, budget.of("ann".to_owned()));
        output.add_bytes(&vec![b'x'; MAX_OUTPUT]);
        assert!(!output.cut);
    }
}
