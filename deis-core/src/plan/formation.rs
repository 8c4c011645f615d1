//! Scales: what a build brings, what a person may ask for.

use std::collections::{BTreeMap, BTreeSet};

use super::constants::MAX_SCALE;
use crate::model::{BuildKind, BuildSpec, Command, Formation, ProcessType};

/// A scale that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ScaleError {
    /// The build has no such process type.
    #[error("the build has no process type {0}")]
    UnknownType(ProcessType),
    /// The number is out of bounds.
    #[error("{process}: at most {MAX_SCALE} processes are possible, not {wanted}")]
    TooMany {
        /// The process type.
        process: ProcessType,
        /// What was asked for.
        wanted: u32,
    },
    /// All types together are out of bounds.
    #[error("at most {MAX_SCALE} processes of an app are possible, not {0}")]
    TooManyInAll(u64),
}

/// The release phase: declared like a process type, run between staging and rolling, never scaled.
pub(crate) fn is_release_phase(process: &ProcessType) -> bool {
    process.as_str() == "release"
}

/// The process types of a build that can run, with their commands. An image always has the type `cmd`: by default
/// what it runs by itself.
pub(crate) fn runnable(build: &BuildSpec) -> BTreeMap<ProcessType, Command> {
    let declared = build.processes.iter().filter(|(process, _)| !is_release_phase(process));
    let mut types: BTreeMap<_, _> = declared.map(|(p, command)| (p.clone(), command.clone())).collect();
    if build.kind() != BuildKind::Buildpack {
        types.entry(ProcessType::cmd()).or_insert(Command::ImageDefault);
    }
    types
}

/// How many processes of each type an app shall have: 0 of those that its build lacks, whatever is wanted of them.
pub(crate) fn structure(formation: &Formation, build: Option<&BuildSpec>) -> BTreeMap<ProcessType, u32> {
    structure_of(formation, &build.map(runnable).unwrap_or_default().into_keys().collect())
}

/// The same for a build that can run these types.
pub(crate) fn structure_of(
    formation: &Formation,
    types: &BTreeSet<ProcessType>,
) -> BTreeMap<ProcessType, u32> {
    let shown = |(process, scale): (&ProcessType, &u32)| {
        (process.clone(), if types.contains(process) { *scale } else { 0 })
    };
    formation.scales.iter().map(shown).collect()
}

/// The formation that `build` brings to an app that had `before`. The first build, and one of another kind, starts the
/// default structure, and of another kind's `web` and `cmd` nothing is wanted any more.
///
/// What is wanted of a type that the build lacks stays: the next build that has the type starts so many. A mistyped
/// Procfile costs no setting, and the corrected one brings everything back. For the same reason `web` is started by
/// the first build that has it, if until then neither `web` nor `cmd` was ever asked for.
pub(crate) fn for_build(before: &Formation, build: &BuildSpec) -> Formation {
    let mut next = before.clone();
    if before.kind != Some(build.kind()) {
        for process in [ProcessType::web(), ProcessType::cmd()] {
            if let Some(scale) = next.scales.get_mut(&process) {
                *scale = 0;
            }
        }
        if let Some(process) = default_type(build) {
            next.scales.insert(process, 1);
        }
        next.kind = Some(build.kind());
    } else if !next.scales.keys().any(ProcessType::is_routable)
        && build.processes.contains_key(&ProcessType::web())
    {
        next.scales.insert(ProcessType::web(), 1);
    }
    next
}

fn default_type(build: &BuildSpec) -> Option<ProcessType> {
    if build.processes.contains_key(&ProcessType::web()) {
        return Some(ProcessType::web());
    }
    match build.kind() {
        BuildKind::Image | BuildKind::Dockerfile => Some(ProcessType::cmd()),
        BuildKind::Buildpack => None,
    }
}

/// The formation with these scales.
///
/// # Errors
/// [`ScaleError`] for the first type that cannot have this scale.
pub(crate) fn scaled(
    before: &Formation,
    build: &BuildSpec,
    wanted: &BTreeMap<ProcessType, u32>,
) -> Result<Formation, ScaleError> {
    let types = runnable(build);
    let mut next = before.clone();
    for (process, scale) in wanted {
        if !types.contains_key(process) {
            // Nothing may be wanted any more of a type that an earlier build had.
            if *scale == 0 && before.scale(process) > 0 {
                next.scales.insert(process.clone(), 0);
                continue;
            }
            // `cmd` is a type of every app; one that no build runs is at 0 already.
            if *scale == 0 && *process == ProcessType::cmd() {
                continue;
            }
            return Err(ScaleError::UnknownType(process.clone()));
        }
        if *scale > MAX_SCALE {
            return Err(ScaleError::TooMany { process: process.clone(), wanted: *scale });
        }
        next.scales.insert(process.clone(), *scale);
    }
    let all: u64 = structure(&next, Some(build)).values().map(|scale| u64::from(*scale)).sum();
    if all > u64::from(MAX_SCALE) {
        return Err(ScaleError::TooManyInAll(all));
    }
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{BuildSource, Digest};

    fn slug(types: &[&str]) -> BuildSpec {
        let processes = types.iter().map(|t| (ProcessType::new(*t).unwrap(), "x".to_owned())).collect();
        BuildSpec::slug(Digest::of(b"x"), processes)
    }

    #[test]
    fn the_first_build_starts_web_and_later_ones_keep_the_counts() {
        let first = for_build(&Formation::default(), &slug(&["web", "worker", "release"]));
        assert_eq!(first.scale(&ProcessType::web()), 1);
        assert_eq!(first.scales.len(), 1);
        let zero = scaled(&first, &slug(&["web"]), &[(ProcessType::web(), 0)].into()).unwrap();
        assert_eq!(for_build(&zero, &slug(&["web"])).scale(&ProcessType::web()), 0);
    }

    #[test]
    fn what_is_wanted_outlives_a_build_that_lacks_the_type() {
        let (web, worker) = (ProcessType::web(), ProcessType::new("worker").unwrap());
        let both = slug(&["web", "worker"]);
        let wanted = [(web.clone(), 3), (worker.clone(), 2)].into();
        let formation = scaled(&for_build(&Formation::default(), &both), &both, &wanted).unwrap();
        let mistyped = slug(&["wbe", "worker"]);
        let between = for_build(&formation, &mistyped);
        let shown = BTreeMap::from([(web.clone(), 0), (worker.clone(), 2)]);
        assert_eq!(structure(&between, Some(&mistyped)), shown);
        assert_eq!(structure(&for_build(&between, &both), Some(&both)), wanted, "the corrected one");
        let given_up = scaled(&between, &mistyped, &[(web.clone(), 0)].into()).unwrap();
        assert_eq!(for_build(&given_up, &both).scale(&web), 0);
        assert!(scaled(&between, &mistyped, &[(web.clone(), 1)].into()).is_err());
        assert!(scaled(&given_up, &mistyped, &[(web.clone(), 0)].into()).is_err(), "nothing is wanted of it");
        assert_eq!(structure(&between, None), BTreeMap::from([(web, 0), (worker, 0)]));
    }

    #[test]
    fn the_first_build_with_web_starts_it_unless_somebody_has_scaled_it() {
        let (web, worker) = (ProcessType::web(), ProcessType::new("worker").unwrap());
        let first = for_build(&Formation::default(), &slug(&["wbe", "worker"]));
        let first = scaled(&first, &slug(&["wbe", "worker"]), &[(worker, 1)].into()).unwrap();
        assert_eq!(for_build(&first, &slug(&["web", "worker"])).scale(&web), 1);
    }

    #[test]
    fn another_kind_of_build_starts_anew() {
        let (web, cmd) = (ProcessType::web(), ProcessType::cmd());
        let formation = scaled(
            &for_build(&Formation::default(), &slug(&["web"])),
            &slug(&["web"]),
            &[(web.clone(), 3)].into(),
        );
        let image = BuildSpec {
            source: BuildSource::Image { reference: "blog:1".to_owned() },
            processes: [].into(),
            ..slug(&[])
        };
        let next = for_build(&formation.unwrap(), &image);
        assert_eq!(structure(&next, Some(&image)), BTreeMap::from([(web, 0), (cmd.clone(), 1)]));
        assert_eq!(runnable(&image)[&cmd], Command::ImageDefault);
        assert!(scaled(&next, &image, &[(cmd, 2)].into()).is_ok());
    }

    #[test]
    fn unknown_types_are_refused() {
        let worker = ProcessType::new("worker").unwrap();
        let both = slug(&["web", "worker"]);
        let formation =
            scaled(&for_build(&Formation::default(), &both), &both, &[(worker.clone(), 2)].into()).unwrap();
        assert!(scaled(&formation, &slug(&["web"]), &[(worker, 1)].into()).is_err());
        let cmd = ProcessType::cmd();
        assert_eq!(scaled(&formation, &both, &[(cmd.clone(), 0)].into()).unwrap(), formation);
        assert!(scaled(&formation, &both, &[(cmd, 1)].into()).is_err());
        let release = ProcessType::new("release").unwrap();
        assert!(scaled(&formation, &slug(&["web", "release"]), &[(release, 1)].into()).is_err());
    }

    #[test]
    fn scales_have_a_bound_each_and_in_all() {
        let (web, worker) = (ProcessType::web(), ProcessType::new("worker").unwrap());
        let both = slug(&["web", "worker"]);
        let with = |wanted: &[(&ProcessType, u32)]| {
            let wanted = wanted.iter().map(|(process, scale)| ((*process).clone(), *scale)).collect();
            scaled(&Formation::default(), &both, &wanted)
        };
        assert!(with(&[(&web, MAX_SCALE)]).is_ok());
        assert!(with(&[(&web, MAX_SCALE - 1), (&worker, 1)]).is_ok());
        let too_many = ScaleError::TooMany { process: web.clone(), wanted: MAX_SCALE + 1 };
        assert_eq!(with(&[(&web, MAX_SCALE + 1)]), Err(too_many));
        let in_all = ScaleError::TooManyInAll(u64::from(MAX_SCALE) + 1);
        assert_eq!(with(&[(&web, MAX_SCALE), (&worker, 1)]), Err(in_all));
    }

    #[test]
    fn an_image_starts_web_if_it_has_one_and_cmd_otherwise() {
        let (web, cmd) = (ProcessType::web(), ProcessType::cmd());
        let image = |types: &[&str]| BuildSpec {
            source: BuildSource::Image { reference: "blog:1".to_owned() },
            ..slug(types)
        };
        let first = |build: &BuildSpec| for_build(&Formation::default(), build).scales;
        assert_eq!(first(&image(&["web", "worker"])), BTreeMap::from([(web.clone(), 1)]));
        assert_eq!(first(&image(&["worker"])), BTreeMap::from([(cmd.clone(), 1)]));
        assert_eq!(first(&slug(&["worker"])), BTreeMap::new());
        // What people have asked for of the two is not started a second time by a build that has more of them.
        let only_cmd = for_build(&Formation::default(), &image(&["worker"]));
        assert_eq!(for_build(&only_cmd, &image(&["web"])).scale(&web), 0);
        assert_eq!(runnable(&image(&["cmd"]))[&cmd], "x".into(), "its own command");
    }
}
