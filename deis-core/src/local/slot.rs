//! What the scheduler keeps in memory of one instance.

use std::sync::Arc;

use tokio::sync::watch;

use super::shim::{State, Who, now};
use crate::model::{
    Cause, Instance, InstanceName, InstanceState, ProcessType, ReleaseVersion, Template, TemplateId,
    Timestamp,
};

/// One instance, from before its start until nothing of it runs.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) process: ProcessType,
    pub(super) release: ReleaseVersion,
    pub(super) id: TemplateId,
    /// `None` after adoption, until a workload names the template again: it holds secrets and is on no disk.
    pub(super) template: watch::Sender<Option<Arc<Template>>>,
    pub(super) state: InstanceState,
    pub(super) trouble: Option<Cause>,
    /// Whether it was ever ready.
    pub(super) proven: bool,
    pub(super) evicted: bool,
    pub(super) started: Timestamp,
    pub(super) main: Option<Who>,
    pub(super) port: Option<u16>,
    /// Tells its supervisor to let it go.
    pub(super) leave: watch::Sender<bool>,
}

impl Slot {
    /// One that is to be started.
    pub(super) fn fresh(id: TemplateId, template: Arc<Template>) -> Self {
        Self {
            process: template.process.clone(),
            release: template.release,
            id,
            template: watch::Sender::new(Some(template)),
            state: InstanceState::Starting,
            trouble: None,
            proven: false,
            evicted: false,
            started: now(),
            main: None,
            port: None,
            leave: watch::Sender::new(false),
        }
    }

    /// One that runs already.
    /// `proven`: it was ready when it was looked at last.
    pub(super) fn adopted(state: &State, proven: bool) -> Self {
        let identity = &state.identity;
        Self {
            process: identity.process.clone(),
            release: identity.release,
            id: identity.template.clone(),
            template: watch::Sender::default(),
            state: if state.stopping { InstanceState::Draining } else { InstanceState::Starting },
            trouble: None,
            proven,
            evicted: false,
            started: state.started,
            main: Some(state.main),
            port: Some(identity.port),
            leave: watch::Sender::new(state.stopping),
        }
    }

    pub(super) fn is_leaving(&self) -> bool {
        matches!(self.state, InstanceState::Draining)
    }

    pub(super) fn observe(&self, name: &InstanceName) -> Instance {
        Instance {
            name: name.clone(),
            process: self.process.clone(),
            template: self.id.clone(),
            release: self.release,
            state: self.state.clone(),
            started: self.started,
            trouble: self.trouble.clone(),
        }
    }
}
