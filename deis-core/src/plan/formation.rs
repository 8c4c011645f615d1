//! Scales: what a build brings, what a person may ask for.

use std::collections::BTreeMap;

use super::constants::MOST_SCALE;
use crate::model::{BuildKind, BuildSpec, Formation, ProcessType};

/// A scale that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScaleError {
    /// The build has no such process type.
    #[error("Container type {0} does not exist in application")]
    UnknownType(ProcessType),
    /// The number is out of bounds.
    #[error("{process}: at most {MOST_SCALE} processes are possible, not {wanted}")]
    TooMany {
        /// The process type.
        process: ProcessType,
        /// What was asked for.
        wanted: u32,
    },
}

/// The release phase: declared like a process type, run between staging and rolling, never scaled.
pub fn is_release_phase(process: &ProcessType) -> bool {
    process.as_str() == "release"
}

/// The process types of a build that can run, with their commands.
pub fn runnable(build: &BuildSpec) -> BTreeMap<ProcessType, String> {
    build
        .processes
        .iter()
        .filter(|(p, _)| !is_release_phase(p))
        .map(|(p, c)| (p.clone(), c.clone()))
        .collect()
}

/// The formation that `build` brings to an app that had `before`: the first build, and one of another kind,
/// starts the default structure; types that it lacks go to 0.
pub fn for_build(before: &Formation, build: &BuildSpec) -> Formation {
    let mut next = before.clone();
    if before.kind != Some(build.kind) {
        for process in [ProcessType::web(), ProcessType::cmd()] {
            if let Some(scale) = next.scales.get_mut(&process) {
                *scale = 0;
            }
        }
        if let Some(process) = default_type(build) {
            next.scales.insert(process, 1);
        }
        next.kind = Some(build.kind);
    }
    let types = runnable(build);
    for (process, scale) in &mut next.scales {
        if !types.contains_key(process) && *process != ProcessType::cmd() {
            *scale = 0;
        }
    }
    next
}

fn default_type(build: &BuildSpec) -> Option<ProcessType> {
    if build.processes.contains_key(&ProcessType::web()) {
        return Some(ProcessType::web());
    }
    match build.kind {
        BuildKind::Image | BuildKind::Dockerfile => Some(ProcessType::cmd()),
        BuildKind::Buildpack => None,
    }
}

/// The formation with these scales.
pub fn scaled(
    before: &Formation,
    build: &BuildSpec,
    wanted: &BTreeMap<ProcessType, u32>,
) -> Result<Formation, ScaleError> {
    let types = runnable(build);
    let mut next = before.clone();
    for (process, scale) in wanted {
        let known = types.contains_key(process)
            || (*process == ProcessType::cmd() && build.kind != BuildKind::Buildpack);
        // `cmd` is a type of every app; one that no build runs is at 0 already.
        if !known && *process == ProcessType::cmd() && *scale == 0 {
            continue;
        }
        if !known {
            return Err(ScaleError::UnknownType(process.clone()));
        }
        if *scale > MOST_SCALE {
            return Err(ScaleError::TooMany { process: process.clone(), wanted: *scale });
        }
        next.scales.insert(process.clone(), *scale);
    }
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Digest;

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
    fn types_that_go_are_scaled_to_zero_and_unknown_ones_refused() {
        let worker = ProcessType::new("worker").unwrap();
        let both = slug(&["web", "worker"]);
        let formation =
            scaled(&for_build(&Formation::default(), &both), &both, &[(worker.clone(), 2)].into()).unwrap();
        assert_eq!(for_build(&formation, &slug(&["web"])).scales[&worker], 0);
        assert!(scaled(&formation, &slug(&["web"]), &[(worker, 1)].into()).is_err());
        let cmd = ProcessType::cmd();
        assert_eq!(scaled(&formation, &both, &[(cmd.clone(), 0)].into()).unwrap(), formation);
        assert!(scaled(&formation, &both, &[(cmd, 1)].into()).is_err());
        let release = ProcessType::new("release").unwrap();
        assert!(scaled(&formation, &slug(&["web", "release"]), &[(release, 1)].into()).is_err());
    }
}
