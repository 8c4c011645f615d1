//! Dry run: what a change would do, by the very functions that would do it.

use std::collections::BTreeMap;

use super::{
    formation::{must_build, scale_error},
    handle::AppHandle,
};
use crate::{
    error::Result,
    model::{ConfigPatch, Formation, Plan, ProcessGroup, ProcessType, Release, ReleaseVersion},
    plan::{
        change::{config_difference, describe, scale_difference},
        formation::{for_build, is_release_phase, scaled, structure},
        lower::{Source, groups},
        release::{configured, rolled_back},
    },
    state::apps::{AppState, Base, LoadedRelease},
};

/// A change that somebody thinks about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Change the config.
    Config(ConfigPatch),
    /// Scale.
    Scale(BTreeMap<ProcessType, u32>),
    /// Go back.
    Rollback(Option<ReleaseVersion>),
}

impl AppHandle {
    /// What `intent` would do. Refuses what the change itself would refuse; changes nothing.
    ///
    /// # Errors
    /// Those of the change itself.
    pub async fn plan(&self, intent: &Intent) -> Result<Plan> {
        let state = self.state().await?;
        let Some(Base { release: base, .. }) = self.base(&state).await? else { return Err(self.raced()) };
        let formation = Self::formation_before(&state);
        let before = self.lowered(&base, &formation);
        match intent {
            Intent::Config(patch) => {
                let data = self.merged(&base.config.data, patch)?;
                let summary = configured(self.actor.name(), &base.config.data, &data).text;
                let diff = config_difference(&base.config.data, &data);
                let mut next = base;
                next.config.data = data;
                Ok(self.release_plan(&state, next, summary, &before, &formation, diff))
            }
            Intent::Scale(wanted) => {
                let build = &must_build(&base)?.spec;
                let after = scaled(&formation, build, wanted).map_err(scale_error)?;
                let shown = |formation| structure(formation, Some(build));
                let diff = scale_difference(&shown(&formation), &shown(&after));
                let steps = describe(None, &before, &self.lowered(&base, &after), false);
                Ok(Plan { steps, diff })
            }
            Intent::Rollback(to) => {
                let next = self.rollback_source(&state, *to).await?;
                let summary = rolled_back(self.actor.name(), next.release.version, &base.release.owner).text;
                let after =
                    next.build.as_ref().map_or_else(|| formation.clone(), |b| for_build(&formation, &b.spec));
                let mut diff = config_difference(&base.config.data, &next.config.data);
                let shown = |release: &LoadedRelease, formation| {
                    structure(formation, release.build.as_ref().map(|build| &build.spec))
                };
                diff.extend(scale_difference(&shown(&base, &formation), &shown(&next, &after)));
                Ok(self.release_plan(&state, next, summary, &before, &after, diff))
            }
        }
    }

    fn release_plan(
        &self,
        state: &AppState,
        mut next: LoadedRelease,
        summary: String,
        before: &BTreeMap<ProcessType, ProcessGroup>,
        formation: &Formation,
        diff: Vec<crate::model::Difference>,
    ) -> Plan {
        let version = ReleaseVersion(state.head.value.latest.0 + 1);
        next.release =
            Release { version, summary: summary.clone(), created: self.platform.now(), ..next.release };
        let has_command = next.build.as_ref().is_some_and(|b| b.spec.processes.keys().any(is_release_phase));
        let after = self.lowered(&next, formation);
        let steps = describe(Some((version.to_string(), summary)), before, &after, has_command);
        Plan { steps, diff }
    }

    fn lowered(&self, loaded: &LoadedRelease, formation: &Formation) -> BTreeMap<ProcessType, ProcessGroup> {
        let Some(build) = &loaded.build else { return BTreeMap::new() };
        let app = self.app.reference();
        groups(Source { app: &app, release: &loaded.release, build, config: &loaded.config }, formation)
    }
}
