//! What runs and is routed at rest is what the records say, and identity is kept where it must be.

use std::collections::{BTreeMap, BTreeSet};

use deis_core::{
    DomainName,
    model::{Instance, Template},
};

use super::{
    records::{Content, Known, Records},
    shape::{Fate, Shape, shapes},
};
use crate::{
    actions::{Action, TestBuild, config_key, domain, oldest_web, process},
    harness::{Answer, Harness, app},
};

/// The live release runs, in one of the shapes that the attempts allow, and requests lead to it.
pub(super) fn check(
    harness: &Harness,
    records: &Records,
    matched: &[Option<usize>],
    fates: &[Fate],
) -> Result<(), String> {
    let live = records.live.and_then(|version| records.version(version)).ok_or("nothing is live")?;
    let made: Vec<_> = matched.iter().map(|index| index.map(|index| &records.releases[index])).collect();
    let running = harness.world.running(&app());
    let mut right = Err("no shape is possible".to_owned());
    for shape in shapes(&harness.history, fates, &made) {
        right = right.or_else(|_| is_shape(harness, &shape, live, records, &running));
    }
    right.map_err(|e| format!("{e}; this runs: {}", describe(&running)))?;
    check_domains(harness, records)?;
    check_routes(harness, records, live)
}

fn is_shape(
    harness: &Harness,
    shape: &Shape,
    live: &Known,
    records: &Records,
    running: &[(Instance, Template)],
) -> Result<(), String> {
    let types: BTreeMap<_, _> = live.content.build.into_iter().flat_map(TestBuild::types).collect();
    let mut left = running.len();
    for (name, command) in &types {
        let process = process(name);
        let wanted = shape.scale(name);
        if records.formation.scale(&process) != wanted
            || records.formation.restarts(&process) != shape.restarts(name)
        {
            return Err(format!("{:?} is on record, {shape:?} was asked for", records.formation));
        }
        let own: Vec<_> = running.iter().filter(|(instance, _)| instance.process == process).collect();
        if own.len() != usize::try_from(wanted).unwrap() {
            return Err(format!("{} of {wanted} {name} are there", own.len()));
        }
        for (instance, template) in &own {
            let up = instance.is_ready() || harness.world.is_spoiled(&instance.template);
            is_right((instance, up), template, command, live)?;
            if template.restarts != shape.restarts(name) {
                return Err(format!("{} was not restarted", instance.name));
            }
        }
        left -= own.len();
    }
    if left == 0 { Ok(()) } else { Err(format!("{left} instances are not of {}", live.release.version)) }
}

/// The instance is up, or failed after its release was live, and is of the live release: its build, its command, its config.
fn is_right(
    (instance, up): (&Instance, bool),
    template: &Template,
    command: &str,
    live: &Known,
) -> Result<(), String> {
    let value = template.env.get(config_key().as_str()).and_then(|text| text.parse().ok());
    let build = TestBuild::of(template.launch.artifact.digest());
    let right = up
        && template.release == live.release.version
        && template.launch.command.as_shell() == Some(command)
        && (Content { build, value }) == live.content;
    if right { Ok(()) } else { Err(format!("{instance:?} is not of {live:?}")) }
}

/// Domains that were acknowledged are there, refused ones are not, and the router has them all.
fn check_domains(harness: &Harness, records: &Records) -> Result<(), String> {
    let mut must = BTreeSet::from([DomainName::new(app().as_str()).unwrap()]);
    let mut may = must.clone();
    for attempted in &harness.history {
        if let Action::Domain(number) = attempted.action {
            match attempted.answer {
                Answer::Acknowledged(_) => _ = must.insert(domain(number)),
                Answer::Unknown => _ = may.insert(domain(number)),
                Answer::Refused(_) => {}
            }
        }
    }
    may.extend(must.iter().cloned());
    if !records.domains.is_superset(&must) || !records.domains.is_subset(&may) {
        return Err(format!("{:?} are the domains, {must:?} were acknowledged", records.domains));
    }
    let routed: BTreeSet<_> = harness.world.routes(&app()).into_iter().flat_map(|r| r.domains).collect();
    if routed == records.domains { Ok(()) } else { Err(format!("only {routed:?} are routed")) }
}

/// Requests lead to `web` if some of it is wanted, else to `cmd`, by the routes of what is on record.
fn check_routes(harness: &Harness, records: &Records, live: &Known) -> Result<(), String> {
    let routes = harness.world.routes(&app()).ok_or("nothing is routed at rest")?;
    if routes.fence < records.fence {
        return Err(format!("{:?} are the routes, {:?} is on record", routes.fence, records.fence));
    }
    let wanted = |name: &&str| {
        let known =
            live.content.build.is_some_and(|build| build.types().any(|(process, _)| process == *name));
        known && records.formation.scale(&process(name)) > 0
    };
    match ["web", "cmd"].iter().find(|name| wanted(name)) {
        Some(name) if routes.process != Some(process(name)) => {
            Err(format!("requests lead to {:?} and not to {name}", routes.process))
        }
        _ => Ok(()),
    }
}

/// Who stays and who is replaced by the last attempt, if everything was at rest when it began.
pub(super) fn check_identity(harness: &Harness, fate: Fate) -> Result<(), String> {
    let Some(attempted) = harness.history.last() else { return Ok(()) };
    let names = |all: &[Instance]| all.iter().map(|i| i.name.clone()).collect::<BTreeSet<_>>();
    let (before, after) = (names(&attempted.running), names(&harness.world.instances(&app())));
    let same = before == after;
    let all_new = before.is_disjoint(&after);
    let right = match (attempted.action, fate) {
        (Action::Scale(..) | Action::Domain(_), _) => before.is_subset(&after) || after.is_subset(&before),
        (Action::RestartOne, _) => {
            let replaced = oldest_web(&attempted.running).filter(|name| !after.contains(name));
            let acknowledged = matches!(attempted.answer, Answer::Acknowledged(_));
            let kept = before.intersection(&after).count();
            (replaced.is_some() || !acknowledged) && kept + usize::from(replaced.is_some()) == before.len()
        }
        (_, Fate::InForce) => all_new,
        (_, Fate::Undone) => same,
        (_, Fate::Either) => same || all_new,
    };
    if right { Ok(()) } else { Err(format!("{attempted:?} is {fate:?}, and then {after:?} runs")) }
}

fn describe(running: &[(Instance, Template)]) -> String {
    let word = |(i, t): &(Instance, Template)| {
        format!("{} {} of {} ({}, {:?})", i.name, t.launch.command, t.release, t.restarts, i.state)
    };
    running.iter().map(word).collect::<Vec<_>>().join(", ")
}
