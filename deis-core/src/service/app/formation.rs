//! Processes: scale, restart, list.

use std::collections::BTreeMap;

use super::handle::{AppHandle, Change, change};
use crate::{
    error::{Error, Kind, Result},
    model::{Build, EventKind, Formation, Instance, InstanceName, Observation, ProcessType},
    plan::formation::{ScaleError, runnable, scaled},
    state::{
        apps::{AppState, Base, LoadedRelease},
        ledger::{AppChange, Desired, start_rollout, write_head},
        record::Edits,
    },
};

/// What is to be restarted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestartScope {
    /// Every process.
    All,
    /// Those of one type.
    Type(ProcessType),
    /// One of them.
    Instance(InstanceName),
}

impl AppHandle {
    /// Sets the wanted number of processes of some types; makes no release.
    ///
    /// # Errors
    /// [`Error::NoBuild`] without a build, [`Error::NotFound`] for a type that the build does not have.
    ///
    /// ```
    /// # use deis_core::{Actor, AppName, Username, conformance::sim::{World, drive_until_idle, platform}};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let world = World::new();
    /// # let platform = platform(&world);
    /// # let session = platform.session(Actor::System { name: Username::new("ann")? });
    /// # let app = session.app(&session.create_app(AppName::new("blog")?).await?.name).await?;
    /// # let name = app.name().clone();
    /// use deis_core::{BuildSpec, Digest, ProcessType};
    ///
    /// let web = ProcessType::web();
    /// app.deploy(BuildSpec::slug(Digest::of(b"the slug"), [(web.clone(), "./serve".to_owned())].into())).await?;
    /// # drive_until_idle(&platform, &world, &name).await?;
    /// let change = app.scale([(web, 3)].into()).await?;
    /// # drive_until_idle(&platform, &world, &name).await?;
    /// app.wait(&change).await?;
    /// assert_eq!(app.instances().await?.len(), 3);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn scale(&self, wanted: BTreeMap<ProcessType, u32>) -> Result<Change> {
        change!(self, |state, edits| {
            let Some(Base { release: base, held }) = self.base(&state).await? else { continue };
            let build = must_build(&base)?;
            let before = Self::formation_before(&state);
            let formation = scaled(&before, &build.spec, &wanted).map_err(scale_error)?;
            if formation == before && state.unfinished().is_none() {
                return Ok(Change::default());
            }
            let event =
                EventKind::Scaled { formation: Formation { scales: wanted.clone(), ..Formation::default() } };
            self.plan_same_release(&mut state, &mut edits, Base { release: base, held }, formation, event)?
        })
    }

    /// Replaces processes, each new one ready before an old one leaves. Unknown types and names: nothing happens.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an instance that is not there, [`Error::NoBuild`] without a build.
    ///
    /// ```
    /// # use deis_core::{Actor, AppName, Username, conformance::sim::{World, drive_until_idle, platform}};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let world = World::new();
    /// # let platform = platform(&world);
    /// # let session = platform.session(Actor::System { name: Username::new("ann")? });
    /// # let app = session.app(&session.create_app(AppName::new("blog")?).await?.name).await?;
    /// # let name = app.name().clone();
    /// use deis_core::{BuildSpec, Digest, ProcessType, RestartScope};
    ///
    /// let web = ProcessType::web();
    /// app.deploy(BuildSpec::slug(Digest::of(b"the slug"), [(web.clone(), "./serve".to_owned())].into())).await?;
    /// # drive_until_idle(&platform, &world, &name).await?;
    /// let before = app.instances().await?;
    /// let change = app.restart(RestartScope::Type(web)).await?;
    /// # drive_until_idle(&platform, &world, &name).await?;
    /// app.wait(&change).await?;
    /// assert_ne!(app.instances().await?[0].name, before[0].name);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn restart(&self, scope: RestartScope) -> Result<Change> {
        if let RestartScope::Instance(name) = &scope {
            self.state().await?;
            let app = self.app.reference();
            self.platform.0.scheduler.evict(&app, std::slice::from_ref(name)).await?;
            self.platform.touched(self.name());
            return Ok(Change::default());
        }
        change!(self, |state, edits| {
            let Some(Base { release: base, held }) = self.base(&state).await? else { continue };
            let build = must_build(&base)?;
            let mut formation = Self::formation_before(&state);
            let types: Vec<ProcessType> = runnable(&build.spec)
                .into_keys()
                .filter(|p| match &scope {
                    RestartScope::Type(wanted) => p == wanted,
                    _ => true,
                })
                .filter(|p| formation.scale(p) > 0)
                .collect();
            if types.is_empty() {
                return Ok(Change::default());
            }
            for process in &types {
                *formation.restarts.entry(process.clone()).or_default() += 1;
            }
            let words: Vec<&str> = types.iter().map(ProcessType::as_str).collect();
            let event = EventKind::Restarted { what: words.join(", ") };
            self.plan_same_release(&mut state, &mut edits, Base { release: base, held }, formation, event)?
        })
    }

    /// What runs now, one-off commands excluded, newest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the scheduler cannot be reached, or does not know yet what runs.
    pub async fn instances(&self) -> Result<Vec<Instance>> {
        let mut instances = self.observe().await?.instances;
        instances.sort_by(|a, b| b.started.cmp(&a.started).then_with(|| a.name.cmp(&b.name)));
        Ok(instances)
    }

    pub(super) async fn observe(&self) -> Result<Observation> {
        Ok(self.platform.0.scheduler.observe(&self.app.reference()).await?)
    }

    fn plan_same_release(
        &self,
        state: &mut AppState,
        edits: &mut Edits,
        base: Base,
        formation: Formation,
        event: EventKind,
    ) -> Result<Change> {
        let now = self.platform.now();
        let Base { release: target, held } = base;
        let deadline_ms = self.deadline_ms(&target.config);
        let desired = Desired { target, is_new: false, formation, deadline_ms, held };
        let rollout = start_rollout(edits, state, &desired, now)?;
        state.event(edits, now, Some(self.actor.name()), event);
        let change = AppChange { rollout: Some(&rollout), made: None, by: Some(self.actor.name()) };
        write_head(edits, state, now, change);
        Ok(Change { release: None, generation: Some(rollout.generation) })
    }
}

/// The build of a release, or the refusal that a person understands.
pub(super) fn must_build(base: &LoadedRelease) -> Result<&Build> {
    base.build.as_ref().ok_or_else(|| Error::NoBuild)
}

pub(super) fn scale_error(error: ScaleError) -> Error {
    match error {
        ScaleError::UnknownType(process) => {
            Error::NotFound { what: Kind::ProcessType, name: process.to_string() }
        }
        ScaleError::TooMany { .. } | ScaleError::TooManyInAll(_) => Error::refused(error.to_string()),
    }
}
