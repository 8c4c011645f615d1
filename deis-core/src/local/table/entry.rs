//! What the scheduler keeps in memory of one instance.

use std::sync::Arc;

use tokio::sync::watch;

use crate::{
    local::{
        run_dir::record::{InstanceRecord, ProcessIdentity},
        table::rolling::InstanceRank,
        time::now,
    },
    model::{
        Cause, Instance, InstanceName, InstanceState, ProcessType, ReleaseVersion, Template, TemplateId,
        Timestamp,
    },
};

/// What an instance has achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::local) enum Milestone {
    /// Nothing yet.
    Started,
    /// It was ready.
    Ready,
    /// It was available.
    Available,
}

/// One instance, from before its start until nothing of it runs.
#[derive(Debug)]
pub(in crate::local) struct InstanceEntry {
    pub(in crate::local) process: ProcessType,
    pub(in crate::local) release: ReleaseVersion,
    pub(in crate::local) id: TemplateId,
    /// `None` after adoption, until a workload names the template again: it holds secrets and is on no disk.
    pub(in crate::local) template: watch::Sender<Option<Arc<Template>>>,
    pub(in crate::local) state: InstanceState,
    pub(in crate::local) trouble: Option<Cause>,
    /// Whether it has been ready for the minimum ready time without a break.
    pub(in crate::local) available: bool,
    /// The furthest that it ever came.
    pub(in crate::local) best: Milestone,
    pub(in crate::local) evicted: bool,
    pub(in crate::local) started: Timestamp,
    pub(in crate::local) main: Option<ProcessIdentity>,
    pub(in crate::local) port: Option<u16>,
    /// Tells its supervisor to let it go.
    pub(in crate::local) leave: watch::Sender<bool>,
}

impl InstanceEntry {
    /// One that is to be started.
    pub(in crate::local) fn fresh(id: TemplateId, template: Arc<Template>) -> Self {
        Self {
            process: template.process.clone(),
            release: template.release,
            id,
            template: watch::Sender::new(Some(template)),
            state: InstanceState::Starting,
            trouble: None,
            available: false,
            best: Milestone::Started,
            evicted: false,
            started: now(),
            main: None,
            port: None,
            leave: watch::Sender::new(false),
        }
    }

    /// One that runs already.
    /// `proven`: it was ready when it was looked at last.
    pub(in crate::local) fn adopted(state: &InstanceRecord, proven: bool) -> Self {
        let identity = &state.identity;
        Self {
            process: identity.process.clone(),
            release: identity.release,
            id: identity.template.clone(),
            template: watch::Sender::default(),
            state: if state.stopping { InstanceState::Draining } else { InstanceState::Starting },
            trouble: None,
            available: false,
            best: if proven { Milestone::Ready } else { Milestone::Started },
            evicted: false,
            started: state.started,
            main: Some(state.main),
            port: Some(identity.port),
            leave: watch::Sender::new(state.stopping),
        }
    }

    /// How much it is worth to a rollout.
    pub(in crate::local) fn rank(&self) -> InstanceRank {
        match self.state {
            InstanceState::Ready if self.available => InstanceRank::Available,
            InstanceState::Ready => InstanceRank::Ready,
            _ if self.may_come_back() => InstanceRank::MayComeBack,
            _ => InstanceRank::Down,
        }
    }

    /// Whether one that is not ready may come back: it has worked, and nothing says that it will not again.
    fn may_come_back(&self) -> bool {
        let failing = matches!(self.state, InstanceState::Failing { .. });
        self.best == Milestone::Available || (self.best == Milestone::Ready && !failing)
    }

    pub(in crate::local) fn is_leaving(&self) -> bool {
        matches!(self.state, InstanceState::Draining)
    }

    pub(in crate::local) fn observe(&self, name: &InstanceName) -> Instance {
        Instance {
            name: name.clone(),
            process: self.process.clone(),
            template: self.id.clone(),
            release: self.release,
            state: self.state.clone(),
            available: self.available && matches!(self.state, InstanceState::Ready),
            started: self.started,
            trouble: self.trouble.clone(),
        }
    }
}
