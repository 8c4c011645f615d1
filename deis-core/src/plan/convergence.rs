//! How far what runs is from what should run.

use crate::model::{Cause, Instance, InstanceState, Observation, ProcessGroup, ProcessType, Workload};

/// Judges only the groups of `target`: each has as many ready instances of its template as wanted, and no
/// other template of its types is in rotation. Draining instances do not count, so an open websocket never
/// delays a push.
pub fn is_settled(target: &Workload, seen: &Observation) -> bool {
    target.groups.iter().all(|(process, group)| {
        let ready = |own: bool| {
            let mut all = seen.instances.iter().filter(|i| i.process == *process && i.is_ready());
            all.by_ref().filter(|i| (i.template == group.id) == own).count()
        };
        ready(true) == wanted(group) && ready(false) == 0
    })
}

/// Evidence from the target's own templates that waiting does not help.
pub fn broken(target: &Workload, seen: &Observation) -> Option<Cause> {
    let failing = target.groups.iter().find_map(|(process, group)| {
        lacking(process, group, seen).find_map(|instance| match &instance.state {
            InstanceState::Failing { cause } if counts(cause, target, seen) => Some(cause.clone()),
            _ => None,
        })
    });
    failing.or_else(|| {
        let blocked = seen.blocked.iter().find(|(process, cause)| {
            target.groups.get(process).is_some_and(|g| ready(process, g, seen) < wanted(g))
                && counts(cause, target, seen)
        });
        blocked.map(|(_, cause)| cause.clone())
    })
}

/// What a time-out is blamed on: the last trouble of an instance that is still missing, else what is missing.
pub fn overdue(target: &Workload, seen: &Observation, step: &str, seconds: u64) -> Cause {
    let trouble = target.groups.iter().find_map(|(process, group)| {
        lacking(process, group, seen).find_map(|i| match &i.state {
            InstanceState::Failing { cause } => Some(cause.clone()),
            _ => i.trouble.clone(),
        })
    });
    trouble.unwrap_or_else(|| Cause::Timeout {
        step: step.to_owned(),
        seconds,
        detail: missing(target, seen),
    })
}

/// What is still missing, for people: `web 1 of 3 ready`.
pub fn missing(target: &Workload, seen: &Observation) -> String {
    let parts: Vec<String> = target
        .groups
        .iter()
        .filter(|(_, group)| group.scale > 0)
        .map(|(process, group)| format!("{process} {} of {} ready", ready(process, group, seen), group.scale))
        .collect();
    parts.join(", ")
}

fn wanted(group: &ProcessGroup) -> usize {
    usize::try_from(group.scale).unwrap_or(usize::MAX)
}

fn ready(process: &ProcessType, group: &ProcessGroup, seen: &Observation) -> usize {
    own(process, group, seen).filter(|i| i.is_ready()).count()
}

fn own<'a>(
    process: &ProcessType,
    group: &ProcessGroup,
    seen: &'a Observation,
) -> impl Iterator<Item = &'a Instance> {
    seen.instances.iter().filter(move |i| i.process == *process && i.template == group.id && !i.is_draining())
}

/// Instances that are wanted and not ready; none once enough are ready, for then a failing one is surplus.
fn lacking<'a>(
    process: &ProcessType,
    group: &ProcessGroup,
    seen: &'a Observation,
) -> impl Iterator<Item = &'a Instance> {
    let enough = ready(process, group, seen) >= wanted(group);
    own(process, group, seen).filter(move |i| !enough && !i.is_ready())
}

/// Want of room is evidence only when nothing is left that could still make room.
fn counts(cause: &Cause, target: &Workload, seen: &Observation) -> bool {
    if !matches!(cause, Cause::Unschedulable { .. } | Cause::Quota { .. }) {
        return true;
    }
    let foreign = |i: &Instance| target.groups.get(&i.process).is_none_or(|g| g.id != i.template);
    let surplus = |p: &ProcessType, g: &ProcessGroup| own(p, g, seen).count() > wanted(g);
    !seen.instances.iter().any(|i| i.is_draining() || foreign(i))
        && !target.groups.iter().any(|(p, g)| surplus(p, g))
}
