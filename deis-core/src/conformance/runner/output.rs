//! Output: exact, in order, from any cursor, for any number of readers.

use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::time::timeout;

use super::{COUNTED, RunnerSubject, app, task};
use crate::{
    model::{Exit, Task, TaskInput, TaskKind, TaskOutput, TaskRef, TaskState, TaskStreams, WhenFull},
    port::{Cursor, HOLD_LIMIT, MAX_CHUNK, MAX_TASK_OUTPUT, OutputItem, OutputItems, OutputStream},
};

/// Everything that a reader got.
#[derive(Debug, Default)]
pub(super) struct Got {
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
    /// Each gap: where in the output, and how large.
    pub(super) lost: Vec<(u64, u64)>,
    pub(super) exit: Option<Exit>,
    pub(super) cursor: Cursor,
}

impl Got {
    fn bytes(&self) -> u64 {
        (self.stdout.len() + self.stderr.len()) as u64
    }
}

impl RunnerSubject {
    pub(super) async fn items(&self, task: &TaskRef, from: Cursor) -> OutputItems {
        self.runner.attach(task, from, false).await.expect("the task is known").output
    }

    /// Reads to the end, which comes once and last.
    pub(super) async fn read(&self, task: &TaskRef, from: Cursor) -> Got {
        let got = self.read_some(&mut self.items(task, from).await, u64::MAX).await;
        assert!(got.exit.is_some(), "the last item is the end");
        got
    }

    /// Reads at least so many bytes, or to the end.
    pub(super) async fn read_some(&self, items: &mut OutputItems, most: u64) -> Got {
        let mut got = Got::default();
        while got.bytes() < most {
            let next = timeout(self.patience, items.next()).await.expect("output or the end comes");
            let Some(item) = next else { break };
            assert_eq!(got.exit, None, "nothing comes after the end");
            let item = item.expect("the runner is there");
            got.cursor = item.cursor;
            match item.item {
                OutputItem::Output(chunk) => {
                    assert!(!chunk.bytes.is_empty() && chunk.bytes.len() <= MAX_CHUNK);
                    let stream = match chunk.stream {
                        OutputStream::Stdout => &mut got.stdout,
                        OutputStream::Stderr => &mut got.stderr,
                    };
                    stream.extend_from_slice(&chunk.bytes);
                }
                OutputItem::Lost { bytes } => got.lost.push((got.bytes(), bytes)),
                OutputItem::Broken { reason } => panic!("the output broke off: {reason}"),
                OutputItem::Ended { exit } => got.exit = Some(exit),
            }
        }
        got
    }
}

/// A one-off command as it is attached to.
pub(super) fn attached(s: &RunnerSubject, program: &crate::model::Program, input: TaskInput) -> Task {
    let mut task = task(&app(), TaskKind::Run, 0, program);
    task.input = input;
    task.output = TaskOutput { streams: TaskStreams::Apart, when_full: WhenFull::Hold };
    task.limit = s.patience * 4 + HOLD_LIMIT;
    task
}

fn is_counted(bytes: &[u8], from: u64) -> bool {
    (from..).zip(bytes).all(|(n, byte)| u64::from(*byte) == n % 251)
}

/// What a task printed comes in the order it was printed, then its end; and that is remembered with its last lines.
pub async fn output_and_end_are_told(s: RunnerSubject) {
    let task = s.start(&task(&app(), TaskKind::Run, 1, &s.prints)).await;
    let got = s.read(&task, Cursor::START).await;
    assert_eq!(String::from_utf8_lossy(&got.stdout), "out\nerr\n");
    assert_eq!((got.exit, got.stderr), (Some(Exit::Code(3)), Vec::new()));
    assert_eq!(s.ended(&task).await, (Exit::Code(3), vec!["out".to_owned(), "err".to_owned()]));
    assert!(s.is_idle(&task.app).await);
}

/// Standard output and standard error are told apart where that was asked for.
pub async fn streams_are_kept_apart(s: RunnerSubject) {
    let task = s.start(&attached(&s, &s.prints, TaskInput::Closed)).await;
    let got = s.read(&task, Cursor::START).await;
    assert_eq!((&got.stdout[..], &got.stderr[..]), (&b"out\n"[..], &b"err\n"[..]));
}

/// More than is kept arrives to the last byte, whatever the bytes are.
pub async fn every_byte_arrives(s: RunnerSubject) {
    let task = s.start(&attached(&s, &s.counts, TaskInput::Closed)).await;
    let got = s.read(&task, Cursor::START).await;
    assert_eq!((got.stdout.len() as u64, got.lost.len(), got.exit), (COUNTED, 0, Some(Exit::Code(0))));
    assert!(is_counted(&got.stdout, 0));
}

/// A process whose output must not be dropped waits for its reader.
pub async fn what_is_held_waits_for_its_reader(s: RunnerSubject) {
    let task = s.start(&attached(&s, &s.counts, TaskInput::Closed)).await;
    s.running(&task).await;
    let some = s.read_some(&mut s.items(&task, Cursor::START).await, 1 << 20).await;
    // The reader has gone, and what it has not taken is more than is kept.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(s.observe(&task).await.state, TaskState::Running);
    let rest = s.read(&task, some.cursor).await;
    assert!(some.lost.is_empty() && rest.lost.is_empty());
    assert!(is_counted(&some.stdout, 0) && is_counted(&rest.stdout, some.bytes()));
    assert_eq!(some.bytes() + rest.bytes(), COUNTED);
}

/// Output that must not be dropped, and that nobody takes for a while, ends its task.
pub async fn what_is_held_and_never_read_is_stopped(s: RunnerSubject) {
    let task = s.start(&attached(&s, &s.floods, TaskInput::Closed)).await;
    tokio::time::sleep(HOLD_LIMIT).await;
    let (exit, _) = s.ended(&task).await;
    assert!(!matches!(exit, Exit::Code(0) | Exit::TimedOut), "{exit:?}");
}

/// Where the oldest output may go, it does, and a late reader hears once how much that was.
pub async fn what_is_dropped_is_counted(s: RunnerSubject) {
    let task = s.start(&task(&app(), TaskKind::Build, 1, &s.counts)).await;
    s.ended(&task).await;
    let got = s.read(&task, Cursor::START).await;
    let [(0, lost)] = got.lost[..] else { panic!("{:?}", got.lost) };
    assert_eq!(lost + got.bytes(), COUNTED);
    assert!(got.bytes() <= MAX_TASK_OUTPUT && got.bytes() >= MAX_TASK_OUTPUT / 2, "{}", got.bytes());
    assert!(is_counted(&got.stdout, lost));
}

/// A cursor goes on exactly behind the item it came with, as often as one likes.
pub async fn a_cursor_goes_on_where_it_was(s: RunnerSubject) {
    let task = s.start(&attached(&s, &s.counts, TaskInput::Closed)).await;
    let (mut from, mut bytes) = (Cursor::START, Vec::new());
    for _ in 0..20 {
        let got = s.read_some(&mut s.items(&task, from).await, 700_000).await;
        assert!(got.lost.is_empty());
        bytes.extend(got.stdout);
        from = got.cursor;
    }
    bytes.extend(s.read(&task, from).await.stdout);
    assert_eq!(bytes.len() as u64, COUNTED);
    assert!(is_counted(&bytes, 0));
}

/// A reader that stalls holds up neither others nor the task; one that goes stops nothing.
pub async fn readers_cost_only_themselves(s: RunnerSubject) {
    let task = s.start(&attached(&s, &s.counts, TaskInput::Closed)).await;
    let mut own = s.items(&task, Cursor::START).await;
    let mut got = s.read_some(&mut own, 1).await;
    let (mut stalled, mut leaves) =
        (s.items(&task, Cursor::START).await, s.items(&task, Cursor::START).await);
    s.read_some(&mut stalled, 1).await;
    s.read_some(&mut leaves, 1).await;
    drop(leaves);
    let rest = s.read_some(&mut own, u64::MAX).await;
    got.stdout.extend(rest.stdout);
    assert_eq!((got.bytes(), rest.lost.len(), rest.exit), (COUNTED, 0, Some(Exit::Code(0))));
    assert!(is_counted(&got.stdout, 0));
    let late = s.read_some(&mut stalled, u64::MAX).await;
    assert_eq!(late.exit, Some(Exit::Code(0)), "it hears of the end, whatever it has missed");
}

/// Who comes after the end gets everything that is kept, and the end.
pub async fn output_of_the_ended_is_still_there(s: RunnerSubject) {
    let task = s.start(&task(&app(), TaskKind::Release, 1, &s.prints)).await;
    s.ended(&task).await;
    for _ in 0..2 {
        let got = s.read(&task, Cursor::START).await;
        assert_eq!((&got.stdout[..], got.exit), (&b"out\nerr\n"[..], Some(Exit::Code(3))));
    }
}

/// A task that prints without end, read or not, ends at its limit.
pub async fn a_flood_does_not_hold_up_the_limit(s: RunnerSubject) {
    let mut task = task(&app(), TaskKind::Run, 1, &s.floods);
    task.limit = Duration::from_millis(300);
    let task = s.start(&task).await;
    let _stalled = s.items(&task, Cursor::START).await;
    let (exit, lines) = s.ended(&task).await;
    assert_eq!(exit, Exit::TimedOut);
    assert!(!lines.is_empty());
}
