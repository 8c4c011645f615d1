//! Builds: list, deploy.

use uuid::Uuid;

use super::{
    handle::{AppHandle, Change, change},
    releases::Made,
};
use crate::{
    error::{Error, Kind, Result},
    model::{Build, BuildId, BuildSpec, EventKind, Push},
    plan::{constants::MAX_ENV_VARIABLE, formation, release, serving},
    port::{Order, Scan},
    service::page::{Page, PageQuery},
    state::{
        apps::{AppState, Base, build_by_id, load_base_with},
        keys,
        record::Edits,
    },
};

impl AppHandle {
    /// The app's builds, newest first, those of failed releases included.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the app is gone.
    pub async fn builds(&self, page: PageQuery) -> Result<Page<Build>> {
        let below = Scan::prefix(keys::below("build", self.name())).order(Order::NEWEST_FIRST);
        let scan = page.part_of(below);
        let (state, answers, builds) = self.state_with(|query| query.scan::<Build>(scan)).await?;
        let items = answers.many(builds)?.into_iter().map(|(_, build)| build.value).collect();
        Ok(Page { items, total: usize::try_from(state.head.value.builds).unwrap_or(usize::MAX) })
    }

    /// One build.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the app has no such build.
    pub async fn build(&self, id: BuildId) -> Result<Build> {
        let found = build_by_id(self.platform.store(), self.name(), id).await?;
        found.ok_or_else(|| Error::NotFound { what: Kind::Build, name: id.to_string() })
    }

    /// Records a build and its release and begins its rollout. Returns once accepted; see [`AppHandle::wait`].
    ///
    /// # Errors
    /// [`Error::Invalid`] for a build that no process could be started from, [`Error::NotFound`] if the app is gone or is being destroyed. Nothing is
    /// recorded then.
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
    /// use deis_core::{BuildSpec, ChangeOutcome, Digest, ProcessType};
    ///
    /// let commands = [(ProcessType::web(), "./serve".to_owned())].into();
    /// let change = app.deploy(BuildSpec::slug(Digest::of(b"the slug"), commands)).await?;
    /// # drive_until_idle(&platform, &world, &name).await?;
    /// assert_eq!(app.wait(&change).await?, ChangeOutcome::Done);
    /// assert_eq!(change.release.map(|version| version.to_string()).as_deref(), Some("v2"));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn deploy(&self, spec: BuildSpec) -> Result<Change> {
        check_spec(&spec)?;
        change!(self, |state, edits| {
            let Some(base) = self.base(&state).await? else { continue };
            self.plan_build(&mut state, &mut edits, base, &spec)?.0
        })
    }

    /// The same for an open push: its record learns the release in the same batch.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the push is not open any more or has its release already, [`Error::Refused`] if the build would
    /// leave the app without the process type that serves it, and those of [`AppHandle::deploy`].
    pub async fn deploy_push(&self, id: Uuid, spec: BuildSpec) -> Result<Change> {
        check_spec(&spec)?;
        change!(self, |state, edits| {
            let Some(open) = state.push.clone().filter(|p| p.value.id == id) else {
                return Err(Error::Conflict { reason: "this push is not open any more".to_owned() });
            };
            if open.value.release.is_some() {
                return Err(Error::Conflict { reason: "this push has its release already".to_owned() });
            }
            let live = state.app.value.summary.live.clone();
            let loaded = load_base_with(self.platform.store(), &state, Some(&live)).await?;
            let Some((base, live)) = loaded else { continue };
            check_serving(&state, live.and_then(|live| live.build).as_ref(), &spec)?;
            let (change, build) = self.plan_build(&mut state, &mut edits, base, &spec)?;
            if let Some(run) = open.value.build_run {
                self.run_succeeded(&mut edits, run, build).await?;
            }
            let record = Push { release: change.release, ..open.value };
            edits.replace(keys::push(self.name()), open.revision, &record);
            change
        })
    }

    fn plan_build(
        &self,
        state: &mut AppState,
        edits: &mut Edits,
        base: Base,
        spec: &BuildSpec,
    ) -> Result<(Change, BuildId)> {
        state.head.value.builds += 1;
        let build = Build {
            id: BuildId(Uuid::new_v4()),
            seq: state.head.value.builds,
            owner: self.actor.name().clone(),
            created: self.platform.now(),
            spec: spec.clone(),
        };
        edits.create(keys::build(self.name(), build.seq), &build);
        edits.create(keys::build_id(self.name(), build.id), &build.seq);
        state.event(
            edits,
            build.created,
            Some(self.actor.name()),
            EventKind::BuildCreated { build: build.id },
        );
        let summary = release::deployed(self.actor.name(), build.id, spec);
        let before = Self::formation_before(state);
        let formation = formation::for_build(&before, spec);
        let id = build.id;
        let made =
            Made { build: Some(build), config: base.release.config, summary, formation, held: base.held };
        Ok((self.plan_release(state, edits, made)?, id))
    }
}

/// Refuses a push that would take the app off the web by mistake.
fn check_serving(state: &AppState, live: Option<&Build>, pushed: &BuildSpec) -> Result<()> {
    let before = AppHandle::formation_before(state);
    let checked = serving::check_push(live.map(|build| &build.spec), &before, pushed);
    checked.map_err(|error| Error::refused(error.to_string()))
}

fn check_spec(spec: &BuildSpec) -> Result<()> {
    if let Some(sha) = spec.commit()
        && (sha.len() > 40 || !sha.bytes().all(|b| b.is_ascii_hexdigit()))
    {
        return Err(Error::invalid("sha", "a commit id has at most 40 hex digits"));
    }
    if spec.processes.values().any(|c| c.is_empty() || c.has_nul()) {
        return Err(Error::invalid("procfile", "a command must not be empty and must not contain NUL bytes"));
    }
    if spec.processes.values().any(|c| c.to_string().len() > MAX_ENV_VARIABLE) {
        let text = format!("a command is longer than {MAX_ENV_VARIABLE} bytes, the most that Linux takes");
        return Err(Error::invalid("procfile", text));
    }
    Ok(())
}
