//! An app of the simulated scheduler: its instances, and how they come and go.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{
    AppRef, Cause, Exit, Generation, Instance, InstanceName, InstanceState, Observation, ProcessGroup,
    ProcessType, Stall, TemplateId, Timestamp, Workload,
};

/// Ticks that an image takes to arrive: longer than a rollout may take (see [`super::World::tick_length`]).
const PULLS_FOR: u32 = 13;
/// Ticks for which something is left of a removed app when its instances have gone.
const REMAINS_FOR: u32 = 2;

#[derive(Clone, Debug)]
pub(super) struct SimApp {
    pub(super) app: AppRef,
    pub(super) accepted: Generation,
    pub(super) workload: Option<Workload>,
    pub(super) instances: Vec<Instance>,
    /// Ticks until the images of templates are there.
    pulling: BTreeMap<TemplateId, u32>,
    /// Ticks for which something is left besides instances, once it is removed.
    remaining: Option<u32>,
}

impl SimApp {
    pub(super) fn new(app: AppRef) -> Self {
        Self {
            app,
            accepted: Generation(0),
            workload: None,
            instances: Vec::new(),
            pulling: BTreeMap::new(),
            remaining: None,
        }
    }

    /// Nothing of it shall be left.
    pub(super) fn remove(&mut self) {
        self.workload = None;
        self.accepted = Generation(0);
        self.instances.iter_mut().for_each(|i| i.state = InstanceState::Draining);
        self.remaining.get_or_insert(REMAINS_FOR);
    }

    /// Whether nothing is left of it, and nothing is wanted.
    pub(super) fn is_gone(&self) -> bool {
        self.workload.is_none() && self.instances.is_empty() && self.remains().is_none()
    }

    /// What is left of it while it is removed, besides its instances.
    pub(super) fn remains(&self) -> Option<String> {
        self.remaining
            .filter(|left| *left > 0)
            .map(|_| format!("the namespace of {} is going", self.app.name))
    }

    /// Whether an image of the newest workload is being fetched.
    pub(super) fn is_pulling(&self) -> bool {
        let groups = self.workload.iter().flat_map(|workload| workload.groups.values());
        let mut fetched = groups.filter_map(|group| self.pulling.get(&sim_id(group)));
        fetched.any(|left| *left > 0)
    }

    /// Whether an image was ever fetched here for long.
    pub(super) fn has_pulled(&self) -> bool {
        !self.pulling.is_empty()
    }

    /// What the scheduler says of the app. In an outage it says of all instances that were not ready that they fail.
    pub(super) fn observe(&self, is_outage: bool) -> Observation {
        let mut instances = self.instances.clone();
        for instance in &mut instances {
            let plain = instance.template.0.trim_end_matches("-crash").to_owned();
            instance.template = TemplateId(plain);
            if is_outage && !instance.is_ready() && !instance.is_draining() {
                let cause = Cause::NodeLost { process: instance.process.clone(), node: "one".to_owned() };
                instance.state = InstanceState::Failing { cause };
            }
        }
        let groups = self.workload.iter().flat_map(|workload| &workload.groups);
        let blocked = groups.filter(|(_, group)| has_no_room(group)).map(|(process, _)| {
            (process.clone(), Cause::Unschedulable { reason: "0 of 3 machines have room".to_owned() })
        });
        let pulling = self.is_pulling().then_some(Stall::Pulling);
        Observation {
            generation: self.accepted,
            instances,
            blocked: blocked.collect(),
            stalled: if is_outage { Some(Stall::Outage) } else { pulling },
            remains: self.remains(),
        }
    }

    pub(super) fn tick(&mut self, counter: &mut u64, spoiled: &BTreeSet<TemplateId>) -> bool {
        let mut changed = self.advance_instances(spoiled);
        changed |= self.drain_unwanted();
        let groups = self.workload.as_ref().map(|workload| workload.groups.clone()).unwrap_or_default();
        for (process, group) in &groups {
            changed |= self.roll(process, group, counter);
        }
        if let Some(left @ 1..) = self.remaining.as_mut().filter(|_| self.instances.is_empty()) {
            *left -= 1;
            changed = true;
        }
        changed
    }

    /// A type that shall not run leaves at once, and so does whatever fails and is of an old template. Returns whether
    /// there was any.
    pub(super) fn drain_unwanted(&mut self) -> bool {
        let Some(workload) = &self.workload else { return false };
        let mut changed = false;
        for instance in &mut self.instances {
            let group = workload.groups.get(&instance.process);
            let failing = matches!(instance.state, InstanceState::Failing { .. } | InstanceState::Starting);
            let foreign = group.is_none_or(|g| sim_id(g) != instance.template);
            if !instance.is_draining() && (group.is_none() || (foreign && failing)) {
                instance.state = InstanceState::Draining;
                changed = true;
            }
        }
        changed
    }

    /// What started is up now, or fails; what drained is gone.
    fn advance_instances(&mut self, spoiled: &BTreeSet<TemplateId>) -> bool {
        let before = self.instances.len();
        self.instances.retain(|i| !i.is_draining());
        let mut changed = before != self.instances.len();
        for instance in &mut self.instances {
            if instance.is_ready() && !instance.available {
                // One tick stands for the minimum ready time.
                instance.available = true;
                changed = true;
            }
            if instance.state == InstanceState::Starting {
                if let Some(left @ 1..) = self.pulling.get_mut(&instance.template) {
                    *left -= 1;
                    changed = true;
                    continue;
                }
                let crashes = instance.template.0.ends_with("-crash") || spoiled.contains(&instance.template);
                let cause = crash_loop(&instance.process);
                instance.state =
                    if crashes { InstanceState::Failing { cause } } else { InstanceState::Ready };
                changed = true;
            }
        }
        changed
    }

    /// One extra instance at a time, and an old one leaves only when a new one is available.
    fn roll(&mut self, process: &ProcessType, group: &ProcessGroup, counter: &mut u64) -> bool {
        let id = sim_id(group);
        let wanted = usize::try_from(group.scale).unwrap_or(usize::MAX);
        let count = |own: bool, available: bool, all: &[Instance]| {
            all.iter()
                .filter(|i| {
                    i.process == *process
                        && !i.is_draining()
                        && (i.template == id) == own
                        && (!available || (i.is_ready() && i.available))
                })
                .count()
        };
        let (own, own_available) = (count(true, false, &self.instances), count(true, true, &self.instances));
        let foreign = count(false, false, &self.instances);
        if own < wanted && own == own_available && !has_no_room(group) {
            *counter += 1;
            if group.template.launch.command.as_shell() == Some("pull") {
                self.pulling.entry(id.clone()).or_insert(PULLS_FOR);
            }
            self.instances.push(Instance {
                name: InstanceName::new(format!("{}-{process}-{counter:08}-abcde", self.app.name))
                    .expect("parts of valid names and digits are a valid name"),
                process: process.clone(),
                template: id,
                release: group.template.release,
                state: InstanceState::Starting,
                available: false,
                started: Timestamp(0),
                trouble: None,
            });
            return true;
        }
        let surplus = own > wanted;
        if foreign > 0 && own_available + foreign > wanted || surplus {
            let goes = |i: &&mut Instance| {
                i.process == *process && !i.is_draining() && (i.template == id) == surplus
            };
            if let Some(instance) = self.instances.iter_mut().rev().find(goes) {
                instance.state = InstanceState::Draining;
                return true;
            }
        }
        false
    }
}

/// Why an instance does not come up.
pub(super) fn crash_loop(process: &ProcessType) -> Cause {
    Cause::CrashLoop { process: process.clone(), exit: Exit::Code(1), last_lines: vec!["boom".to_owned()] }
}

/// Whether no machine takes its instances.
fn has_no_room(group: &ProcessGroup) -> bool {
    group.scale > 0 && group.template.launch.command.as_shell() == Some("no-room")
}

/// The template id as the simulation keeps it: it tells by itself whether the process comes up.
pub(super) fn sim_id(group: &ProcessGroup) -> TemplateId {
    if group.template.launch.command.as_shell() == Some("crash") {
        TemplateId(format!("{}-crash", group.id))
    } else {
        group.id.clone()
    }
}
