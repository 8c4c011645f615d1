//! The whole work of a shim: connects its child, starts it, and writes down how it ended.

use std::{
    io,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal};

use super::{
    CANNOT_START, Job, Spec,
    channels::Channels,
    inherited,
    instance::InstanceChannels,
    process_tree::ProcessTree,
    start,
    task::TaskChannels,
    watch::{Watch, on_signal},
};
use crate::model::Exit;

/// Runs the child to its end and writes down how it ended.
pub(super) fn supervise(mut spec: Spec) -> io::Result<()> {
    // Before the child exists: a SIGTERM that comes while it is started would end the shim alone, and a SIGCHLD of a
    // child that ends at once would be missed.
    let terminate = on_signal(Signal::TERM)?;
    let child_ended = on_signal(Signal::CHILD)?;
    inherited::stop_ignoring()?;
    if let Some(soft) = spec.open_files {
        inherited::limit_files(soft)?;
    }
    // A task's socket is made before the child, too: whoever reads that the task runs can connect at once.
    let (stdio, mut channels): (_, Box<dyn Channels>) = match &mut spec.job {
        Job::Instance { identity, notices } => {
            (start::Stdio::Piped, Box::new(InstanceChannels::new(&spec.folder, identity, notices)))
        }
        Job::Task(task) => {
            let (stdio, channels) = TaskChannels::new(&spec.folder, task)?;
            (stdio, Box::new(channels))
        }
    };
    let mut child = match start::start(&spec, stdio) {
        Ok(child) => child,
        Err(error) => {
            channels.not_started(&error);
            return channels.finish(Exit::Code(CANNOT_START));
        }
    };
    let mut watch = Watch {
        folder: std::mem::take(&mut spec.folder),
        tree: ProcessTree::new(Pid::from_child(&child)),
        channels,
        terminate,
        child_ended,
        grace: Duration::from_millis(spec.grace_ms),
        limit: spec.limit_ms.map(|ms| Instant::now() + Duration::from_millis(ms)),
        stop_by: None,
        child_told: true,
    };
    // It holds the environment, and with it secrets that this process has no use for.
    drop(spec);
    if let Err(error) = watch.channels.begin(&mut child) {
        // What nobody could find again must not run.
        watch.tree.kill();
        watch.channels.not_started(&error);
        return watch.channels.finish(Exit::Code(CANNOT_START));
    }
    let exit = watch.until_end();
    watch.channels.finish(exit)
}
