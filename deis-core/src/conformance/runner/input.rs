//! Input: one writer, exact bytes, an end, signals, and a terminal's size.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::time::timeout;

use super::{RunnerSubject, output::attached};
use crate::{
    model::{Exit, TaskInput, TaskLife, TaskRef, TaskSignal, TerminalSize},
    port::{Cursor, MAX_CHUNK, OutputItem, TaskError, TaskWriter},
};

impl RunnerSubject {
    async fn writer(&self, task: &TaskRef) -> Box<dyn TaskWriter> {
        let attached = self.runner.attach(task, Cursor::START, true).await.expect("the task has no writer");
        attached.input.expect("it was asked for")
    }
}

/// Input of any size arrives to the last byte, and its end is one. A write of more than a chunk is refused, and none of it
/// arrives.
pub async fn input_arrives_and_ends(s: RunnerSubject) {
    let task = s.start(&attached(&s, &s.copies, TaskInput::Open)).await;
    let writer = s.writer(&task).await;
    let bytes: Vec<u8> = (0..3_000_000u32).map(|n| u8::try_from(n % 253).unwrap_or(0)).collect();
    let large = writer.write(Bytes::from(vec![b'x'; MAX_CHUNK + 1])).await;
    assert!(matches!(large, Err(TaskError::Rejected { .. })), "{large:?}");
    let write = async {
        for piece in bytes.chunks(MAX_CHUNK) {
            writer.write(Bytes::copy_from_slice(piece)).await.expect("the task reads");
        }
        writer.end().await.expect("the task is there");
    };
    let ((), got) = tokio::join!(write, s.read(&task, Cursor::START));
    assert_eq!(got.exit, Some(Exit::Code(0)));
    assert!(got.stdout == bytes, "{} of {} bytes", got.stdout.len(), bytes.len());
}

/// There is one writer; when it goes, its place is free.
pub async fn there_is_one_writer(s: RunnerSubject) {
    let mut task = attached(&s, &s.copies, TaskInput::Open);
    task.life = TaskLife::Detached;
    let task = s.start(&task).await;
    let first = s.writer(&task).await;
    let second = s.runner.attach(&task, Cursor::START, true).await;
    assert!(matches!(second, Err(TaskError::Busy)), "{second:?}");
    first.write(Bytes::from_static(b"one ")).await.expect("the task reads");
    drop(first);
    let second = super::until(s.patience, "the place is free", || async {
        s.runner.attach(&task, Cursor::START, true).await.ok()
    });
    let second = second.await.input.expect("it was asked for");
    second.write(Bytes::from_static(b"two")).await.expect("the task reads");
    second.end().await.expect("the task is there");
    let got = s.read(&task, Cursor::START).await;
    assert_eq!(String::from_utf8_lossy(&got.stdout), "one two");
}

/// A write waits while the process does not read, and holds up no signal.
pub async fn a_write_waits_for_the_process(s: RunnerSubject) {
    let task = s.start(&attached(&s, &s.lasts, TaskInput::Open)).await;
    let writer = s.writer(&task).await;
    let write = async {
        // More than the pipes on the way can hold.
        for _ in 0..64 {
            writer.write(Bytes::from(vec![b'x'; MAX_CHUNK])).await.expect("the task is there");
        }
    };
    assert!(timeout(Duration::from_millis(500), write).await.is_err(), "nobody reads this");
    writer.signal(TaskSignal::Term).await.expect("the task is there");
    assert_eq!(s.ended(&task).await.0, Exit::Signal(15));
}

/// A signal reaches the process, and its end says so.
pub async fn signals_reach_the_process(s: RunnerSubject) {
    let task = s.start(&attached(&s, &s.lasts, TaskInput::Open)).await;
    let writer = s.writer(&task).await;
    writer.signal(TaskSignal::Int).await.expect("the task is there");
    assert_eq!(s.ended(&task).await.0, Exit::Signal(2));
    assert!(writer.signal(TaskSignal::Int).await.is_err(), "nobody is there any more");
}

/// A process in a terminal knows its size, and hears of another one; Ctrl-D ends its input.
pub async fn a_terminal_has_a_size(s: RunnerSubject) {
    let size = TerminalSize { columns: 101, rows: 31 };
    let task = s.start(&attached(&s, &s.measures, TaskInput::Terminal(size))).await;
    let writer = s.writer(&task).await;
    let mut items = s.items(&task, Cursor::START).await;
    let mut text = String::new();
    for (size, wanted) in [(None, "31 101"), (Some(TerminalSize { columns: 77, rows: 22 }), "22 77")] {
        if let Some(size) = size {
            writer.resize(size).await.expect("the task is there");
        }
        while !text.contains(wanted) {
            let next = timeout(s.patience, items.next()).await.expect("the size is told");
            let item = next.expect("it runs").expect("the runner is there").item;
            let OutputItem::Output(chunk) = item else { panic!("{item:?} after {text:?}") };
            text.push_str(&String::from_utf8_lossy(&chunk.bytes));
        }
    }
    writer.end().await.expect("the task is there");
    assert_eq!(s.ended(&task).await.0, Exit::Code(0));
}
