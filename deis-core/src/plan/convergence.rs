//! How far what runs is from what should run.

use std::time::Duration;

use crate::model::{Cause, Instance, InstanceState, Observation, ProcessGroup, ProcessType, Workload};

/// Whether what runs is what `target` wants: each of its groups has as many ready instances of its template as wanted,
/// all of them available, and no other template of its types is in rotation.
///
/// Only the groups of `target` are judged. Draining instances do not count, so an open websocket never delays a push.
pub(crate) fn is_settled_on_target(target: &Workload, seen: &Observation) -> bool {
    let proven = |i: &Instance| !i.is_ready() || i.available || group_of(target, i).is_none();
    is_settled_on_fallback(target, seen) && seen.instances.iter().all(proven)
}

/// The same for the workload of a version that was live before: it has proved itself, so ready is enough.
pub(crate) fn is_settled_on_fallback(fallback: &Workload, seen: &Observation) -> bool {
    fallback.groups.iter().all(|(process, group)| {
        let ready = |own: bool| {
            let mut all = seen.instances.iter().filter(|i| i.process == *process && i.is_ready());
            all.by_ref().filter(|i| (i.template == group.id) == own).count()
        };
        ready(true) == wanted(group) && ready(false) == 0
    })
}

/// Evidence from the target's own templates that waiting does not help.
pub(crate) fn broken(target: &Workload, seen: &Observation) -> Option<Cause> {
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

/// What a time-out is blamed on: the last trouble of an instance that is still missing, else what blocks its type, else
/// what is missing.
pub(crate) fn overdue(target: &Workload, seen: &Observation, step: &str, seconds: u64) -> Cause {
    let trouble = target.groups.iter().find_map(|(process, group)| {
        lacking(process, group, seen).find_map(|i| match &i.state {
            InstanceState::Failing { cause } => Some(cause.clone()),
            _ => i.trouble.clone(),
        })
    });
    let blocked = || {
        let missing = |process: &ProcessType| {
            target.groups.get(process).is_some_and(|group| ready(process, group, seen) < wanted(group))
        };
        seen.blocked.iter().find(|(process, _)| missing(process)).map(|(_, cause)| cause.clone())
    };
    trouble.or_else(blocked).unwrap_or_else(|| Cause::Timeout {
        step: step.to_owned(),
        seconds,
        detail: missing(target, seen),
    })
}

/// What is still missing, for people: `web 1 of 3 ready`, or `web 3 of 3 ready, 1 available`.
pub(crate) fn missing(target: &Workload, seen: &Observation) -> String {
    let parts: Vec<String> = target
        .groups
        .iter()
        .filter(|(_, group)| group.scale > 0)
        .map(|(process, group)| {
            let ready = ready(process, group, seen);
            let available = own(process, group, seen).filter(|i| i.is_ready() && i.available).count();
            let of = format!("{process} {ready} of {} ready", group.scale);
            if ready >= wanted(group) && available < wanted(group) {
                format!("{of}, {available} available")
            } else {
                of
            }
        })
        .collect();
    parts.join(", ")
}

/// How many instances of a group are replaced at a time: a quarter, rounded up. So many more than wanted may run.
pub(crate) const fn surge(scale: u32) -> u32 {
    scale.div_ceil(4)
}

/// Time that the minimum ready times of a workload take when all of its instances are replaced: the longest of any
/// group, for each batch that it is replaced in. It comes on top of every deadline.
pub(crate) fn min_ready_time(workload: &Workload) -> Duration {
    let of = |group: &ProcessGroup| {
        let batches = group.scale.div_ceil(surge(group.scale).max(1));
        u64::from(group.min_ready) * u64::from(batches)
    };
    Duration::from_secs(workload.groups.values().map(of).max().unwrap_or(0))
}

/// The group of `workload` that an instance is one of.
fn group_of<'a>(workload: &'a Workload, instance: &Instance) -> Option<&'a ProcessGroup> {
    workload.groups.get(&instance.process).filter(|group| group.id == instance.template)
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

/// Instances that are wanted and not ready. One above the scale of its group is none of them: who fails is counted last.
fn lacking<'a>(
    process: &ProcessType,
    group: &ProcessGroup,
    seen: &'a Observation,
) -> impl Iterator<Item = &'a Instance> {
    let missing = wanted(group).saturating_sub(ready(process, group, seen));
    let mut others: Vec<&Instance> = own(process, group, seen).filter(|i| !i.is_ready()).collect();
    others.sort_by_key(|i| matches!(i.state, InstanceState::Failing { .. }));
    others.into_iter().take(missing)
}

/// Whether a cause is evidence. Want of room is, only when nothing is left of the target's types that could still make
/// room: nobody is on the way out, and nobody is there beyond what old and new ones together have to be. Old instances
/// that are ready make no room, because they leave only when new ones are available.
fn counts(cause: &Cause, target: &Workload, seen: &Observation) -> bool {
    if !matches!(cause, Cause::Unschedulable { .. } | Cause::Quota { .. }) {
        return true;
    }
    target.groups.iter().all(|(process, group)| {
        let of_type = || seen.instances.iter().filter(|i| i.process == *process);
        let leaves = |i: &Instance| i.is_draining() || (i.template != group.id && !i.is_ready());
        of_type().filter(|i| i.is_ready()).count() <= wanted(group)
            && own(process, group, seen).count() <= wanted(group)
            && !of_type().any(leaves)
    })
}
