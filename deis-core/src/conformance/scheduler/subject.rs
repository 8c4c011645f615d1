//! A scheduler to be tried, and what its cases do with it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use uuid::Uuid;

use crate::{
    conformance::wait::until,
    model::{
        AppName, AppRef, AppUid, Artifact, Generation, Instance, InstanceName, Launch, Observation,
        ProcessGroup, ProcessType, ReleaseVersion, Template, TemplateId, Workload,
    },
    port::Scheduler,
};

/// A scheduler, and what its cases may run on it.
#[derive(Clone, Debug)]
pub struct SchedulerSubject {
    /// The scheduler. It may run other apps at the same time.
    pub scheduler: Arc<dyn Scheduler>,
    /// What the names of apps of these cases begin with: at most 40 letters, digits and hyphens, a letter first.
    pub prefix: String,
    /// An artifact that all commands run in.
    pub artifact: Artifact,
    /// A command that soon listens on `$PORT` and ends on SIGTERM.
    pub serves: String,
    /// A command that ends at once.
    pub ends: String,
    /// A command that runs and does not listen.
    pub idles: String,
    /// A command that again and again listens on `$PORT` for a while shorter than two seconds, and then for a while
    /// does not. A scheduler that checks rarely needs long ones.
    pub flaps: String,
    /// How long the scheduler may take for anything that a case waits for.
    pub patience: Duration,
}

/// The process types of a workload: scale, template and command.
pub(in crate::conformance) type Groups<'a> = &'a [(&'a str, u32, &'a str, &'a str)];

impl SchedulerSubject {
    /// An app that nobody else has.
    pub(in crate::conformance) fn app(&self) -> AppRef {
        let uid = Uuid::new_v4();
        let name = format!("{}{:08x}", self.prefix, uid.as_fields().0);
        AppRef { name: AppName::new(name).expect("the prefix is that of a name"), uid: AppUid(uid) }
    }

    /// An app that has the name of one that was.
    pub(in crate::conformance) fn another_life(&self, app: &AppRef) -> AppRef {
        AppRef { uid: self.app().uid, ..app.clone() }
    }

    pub(in crate::conformance) fn workload(
        &self,
        app: &AppRef,
        generation: u64,
        groups: Groups<'_>,
    ) -> Workload {
        let groups: BTreeMap<ProcessType, ProcessGroup> = groups
            .iter()
            .map(|(process, scale, id, command)| {
                let process = ProcessType::new(*process).expect("the cases name valid types");
                let launch = Launch { artifact: self.artifact.clone(), command: (*command).into() };
                let template = Template {
                    grace_seconds: 5,
                    ..Template::new(ReleaseVersion(1), process.clone(), launch)
                };
                let id = TemplateId((*id).to_owned());
                (process, ProcessGroup { scale: *scale, min_ready: 0, id, template })
            })
            .collect();
        Workload { app: app.clone(), generation: Generation(generation), groups }
    }

    pub(in crate::conformance) async fn apply(&self, app: &AppRef, generation: u64, groups: Groups<'_>) {
        self.apply_slowly(app, generation, 0, groups).await;
    }

    /// Applies a workload with a minimum ready time, in seconds.
    pub(in crate::conformance) async fn apply_slowly(
        &self,
        app: &AppRef,
        generation: u64,
        min_ready: u32,
        groups: Groups<'_>,
    ) {
        let mut workload = self.workload(app, generation, groups);
        workload.groups.values_mut().for_each(|group| group.min_ready = min_ready);
        self.scheduler.apply(&workload).await.expect("the workload is newer than all before");
    }

    pub(in crate::conformance) async fn observe(&self, app: &AppRef) -> Observation {
        self.scheduler.observe(app).await.expect("the scheduler can be asked")
    }

    /// Waits until exactly `count` instances exist, all of template `id`, ready and available.
    pub(in crate::conformance) async fn settled(
        &self,
        app: &AppRef,
        id: &str,
        count: usize,
    ) -> Vec<InstanceName> {
        until(self.patience, &format!("{count} available instances of {id} and no others"), || async {
            let seen = self.observe(app).await.instances;
            let is_right = |i: &Instance| i.template.0 == id && i.is_ready() && i.available;
            let right = seen.len() == count && seen.iter().all(is_right);
            right.then(|| seen.into_iter().map(|i| i.name).collect())
        })
        .await
    }

    /// How many ready instances of a template there are.
    pub(in crate::conformance) async fn ready(&self, app: &AppRef, id: &str) -> usize {
        let seen = self.observe(app).await.instances;
        seen.iter().filter(|i| i.template.0 == id && i.is_ready()).count()
    }

    pub(in crate::conformance) async fn found(
        &self,
        app: &AppRef,
        what: &str,
        look: impl Fn(&Instance) -> bool + Send + Sync,
    ) -> Instance {
        until(self.patience, what, || async { self.observe(app).await.instances.into_iter().find(&look) })
            .await
    }

    /// Waits until there are no instances, and nothing else remains.
    pub(in crate::conformance) async fn gone(&self, app: &AppRef) {
        until(self.patience, "nothing is left", || async {
            let seen = self.observe(app).await;
            (seen.instances.is_empty() && seen.remains.is_none()).then_some(())
        })
        .await;
    }
}
