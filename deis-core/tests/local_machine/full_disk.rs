//! What becomes of a task's output when the disk takes no more of it: it is never silently less.
//!
//! A limit on the size of files stands for the full disk: a write beyond it fails, whoever runs the test.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use deis_core::{
    local::{LocalRunner, ShimProgram},
    model::{Attempt, Exit, Program, Task, TaskKind, TaskName, TaskOutput, TaskStreams, WhenFull},
    port::{Cursor, OutputItem, TaskRunner, TaskRunnerExt as _},
};
use futures_util::StreamExt as _;

use crate::support::{Machine, artifact, python, shim};

/// Bytes that the task prints: more than fit.
const PRINTED: u64 = 1_000_000;

/// A runner whose shims can make no file of more than 128 KiB.
async fn on_a_small_disk(machine: &Machine) -> LocalRunner {
    let wrapper = machine.dir().join("shim-with-small-files");
    let program = shim();
    let script = format!("#!/bin/sh\ntrap '' XFSZ\nulimit -f 256\nexec '{}' \"$@\"\n", program.display());
    fs::write(&wrapper, script).unwrap();
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
    LocalRunner::open(machine.options().with_shim(ShimProgram::Path(wrapper))).await.unwrap()
}

fn counting(machine: &Machine, when_full: WhenFull) -> Task {
    let script = format!(
        "import sys; p = bytes(range(251)) * 400; n = {PRINTED}\n\
         while n > 0: n -= sys.stdout.buffer.write(p[:n])"
    );
    let program = Program::Launch { artifact: artifact(), command: python(&script).as_str().into() };
    let name = TaskName::new("one").unwrap();
    let task = Task::new(machine.app.clone(), TaskKind::Run, name, program, Duration::from_secs(60));
    Task { attempt: Attempt(1), output: TaskOutput { streams: TaskStreams::Apart, when_full }, ..task }
}

/// What a reader got.
#[derive(Debug, Default)]
struct Got {
    /// Bytes of output, each of which is the right one for its position.
    output: u64,
    lost: u64,
    broken: Option<String>,
}

async fn read(runner: &LocalRunner, task: &Task) -> (Got, Exit) {
    runner.start(task).await.unwrap();
    let reference = task.reference();
    let mut items = runner.items(&reference, Cursor::START);
    let mut got = Got::default();
    loop {
        let item = items.next().await.unwrap().unwrap().item;
        assert!(got.broken.is_none() || matches!(item, OutputItem::Ended { .. }), "{item:?} after {got:?}");
        match item {
            OutputItem::Output(chunk) => {
                for byte in chunk.bytes {
                    // The pattern that is printed is 400 times 251 bytes long, so it goes on without a seam.
                    assert_eq!(u64::from(byte), (got.output + got.lost) % 251);
                    got.output += 1;
                }
            }
            OutputItem::Lost { bytes } => got.lost += bytes,
            OutputItem::Broken { reason } => got.broken = Some(reason),
            OutputItem::Ended { exit } => return (got, exit),
        }
    }
}

#[tokio::test]
async fn output_that_may_not_be_dropped_breaks_off_and_ends_the_task() {
    let machine = Machine::new();
    let runner = on_a_small_disk(&machine).await;
    let (got, exit) = read(&runner, &counting(&machine, WhenFull::Hold)).await;
    assert!(got.output > 0 && got.output < PRINTED && got.lost == 0, "{got:?}");
    assert!(got.broken.as_ref().is_some_and(|reason| !reason.is_empty()), "{got:?}");
    assert_ne!(exit, Exit::Code(0), "what it printed did not arrive");
}

#[tokio::test]
async fn output_that_may_be_dropped_is_told_to_be_lost_and_the_task_goes_on() {
    let machine = Machine::new();
    let runner = on_a_small_disk(&machine).await;
    let (got, exit) = read(&runner, &counting(&machine, WhenFull::Drop)).await;
    assert!(got.output > 0 && got.lost > 0, "{got:?}");
    assert_eq!(got.output + got.lost, PRINTED, "{got:?}");
    assert_eq!((got.broken, exit), (None, Exit::Code(0)));
}
