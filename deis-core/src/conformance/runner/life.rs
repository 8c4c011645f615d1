//! Life: what ends with its process or its writer, what goes on, and what stays known.

use super::{RunnerSubject, app, attempt_of, name, output::attached, task, until};
use crate::{
    model::{Exit, TaskInput, TaskKind, TaskLife, TaskState},
    port::Cursor,
};

/// A bound task with a writer ends when that goes.
pub async fn a_bound_task_ends_with_its_writer(s: RunnerSubject) {
    let task = s.start(&attached(&s, &s.lasts, TaskInput::Open)).await;
    let attached = s.runner.attach(&task, Cursor::START, true).await.expect("the task is known");
    let writer = attached.input.expect("it was asked for");
    drop(attached.output);
    s.running(&task).await;
    drop(writer);
    assert_ne!(s.ended(&task).await.0, Exit::Code(0));
}

/// A bound task ends when the process of its runner does; what it printed and that it was lost is still known then.
pub async fn a_bound_task_ends_with_its_process_and_is_still_known(mut s: RunnerSubject) {
    let app = app();
    let before = s.start(&task(&app, TaskKind::Release, 3, &s.prints)).await;
    let end = s.ended(&before).await;
    let lost = s.start(&task(&app, TaskKind::Build, 4, &s.lasts)).await;
    s.running(&lost).await;
    let next = std::sync::Arc::clone(&s.next_process);
    s.runner = std::sync::Arc::new(super::Nobody);
    s.runner = next().await;
    assert_eq!(s.ended(&before).await, end);
    assert_eq!(s.ended(&lost).await.0, Exit::Lost);
    let got = s.read(&before, Cursor::START).await;
    assert_eq!((&got.stdout[..], got.exit), (&b"out\nerr\n"[..], Some(Exit::Code(3))));
    assert_eq!(attempt_of(&s, &lost).await, 4, "what was tried once is not tried again");
}

/// A detached task goes on without the process that started it; the next one finds it, and follows and stops it.
pub async fn a_detached_task_is_found_by_the_next_process(mut s: RunnerSubject) {
    let mut detached = attached(&s, &s.copies, TaskInput::Open);
    detached.life = TaskLife::Detached;
    let task = s.start(&detached).await;
    s.running(&task).await;
    let next = std::sync::Arc::clone(&s.next_process);
    s.runner = std::sync::Arc::new(super::Nobody);
    s.runner = next().await;
    assert_eq!(s.observe(&task).await.state, TaskState::Running);
    let attached = s.runner.attach(&task, Cursor::START, true).await.expect("the task is known");
    let writer = attached.input.expect("it was asked for");
    writer.write(bytes::Bytes::from_static(b"still here")).await.expect("the task reads");
    writer.end().await.expect("the task is there");
    let got = s.read(&task, Cursor::START).await;
    assert_eq!((&got.stdout[..], got.exit), (&b"still here"[..], Some(Exit::Code(0))));
}

/// What runs and what ended is listed, of one app or of all.
pub async fn tasks_are_listed(s: RunnerSubject) {
    let (blog, shop) = (app(), app());
    let mut run = task(&blog, TaskKind::Run, 0, &s.lasts);
    run.life = TaskLife::Detached;
    let run = s.start(&run).await;
    let build = s.start(&task(&blog, TaskKind::Build, 7, &s.prints)).await;
    let other = s.start(&task(&shop, TaskKind::Run, 0, &s.lasts)).await;
    s.ended(&build).await;
    s.running(&run).await;
    let of_blog = s.runner.tasks(Some(&blog)).await.expect("the runner can be asked");
    let listed = |task| of_blog.iter().find(|info| info.task == task).expect("it is listed");
    assert_eq!(of_blog.len(), 2);
    assert_eq!((listed(run.clone()).life, listed(build.clone()).life), (TaskLife::Detached, TaskLife::Bound));
    assert_eq!(listed(run).state, TaskState::Running);
    assert_eq!(listed(build.clone()).attempt.0, 7);
    let ended = TaskState::Ended { exit: Exit::Code(3), last_lines: Vec::new() };
    assert_eq!(listed(build).state, ended);
    let all = s.runner.tasks(None).await.expect("the runner can be asked");
    assert!(all.len() == 3 && all.iter().any(|info| info.task == other), "{all:?}");
    for app in [&blog, &shop] {
        s.stop(app, crate::port::StopScope::All, u64::MAX).await;
        until(s.patience, "all tasks end", || async { s.is_idle(app).await.then_some(()) }).await;
    }
}

/// At least 32 ended tasks of a kind are kept, and not all that ever were.
pub async fn ended_tasks_are_kept_for_a_while(s: RunnerSubject) {
    let app = app();
    for n in 0..40 {
        let mut one = task(&app, TaskKind::Run, 0, &s.prints);
        one.name = name(&format!("run-{n}"));
        let one = s.start(&one).await;
        s.ended(&one).await;
    }
    let known = until(s.patience, "the oldest are forgotten", || async {
        let known = s.runner.tasks(Some(&app)).await.expect("the runner can be asked");
        (known.len() < 40).then_some(known)
    });
    let known = known.await;
    assert!(known.len() >= 32, "{}", known.len());
    assert!(known.iter().any(|info| info.task.name == name("run-39")), "the newest is kept");
}
