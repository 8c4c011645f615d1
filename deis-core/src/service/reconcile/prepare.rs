//! Makes the artifact of a rollout ready, and keeps it so until the rollout ends.

use super::{Progress, pass::LoadedRollout, reconciler::Reconciler};
use crate::{
    error::Result,
    model::{Artifact, Head, Phase, ReleaseCommand},
    plan::{
        constants::{LEASE_LIMIT, PREPARE_LIMIT},
        rollout::Step,
    },
    port::{ArtifactError, Prepared},
    state::{keys, record::get},
};

impl Reconciler {
    pub(super) async fn prepare(&self, loaded: &LoadedRollout) -> Result<Progress> {
        let release = self.target(loaded).await?;
        let Some(build) = release.and_then(|r| r.build) else { return Ok(Progress::Waiting) };
        let artifact = build.spec.artifact;
        let name = loaded.state.name();
        let prepare = self.prepared(loaded, artifact.clone(), || {
            // That others had to be waited for is not the fault of this rollout.
            self.memory().with_state(name, |kept| kept.clock_mut().begin());
        });
        let work = async {
            tokio::select! {
                result = prepare => Some(result),
                () = self.overtaken(loaded) => None,
            }
        };
        let Some(result) = self.while_others_work(work).await else { return Ok(Progress::Advanced) };
        self.memory().with_state(name, |kept| match result {
            Ok(lease) => {
                kept.artifact_ready(artifact.digest().clone(), lease);
                Ok(Progress::Advanced)
            }
            Err(ArtifactError::Definitive { reason }) => {
                kept.artifact_lost(reason);
                Ok(Progress::Advanced)
            }
            Err(ArtifactError::Unavailable(_)) => Ok(Progress::Waiting),
        })
    }

    /// The artifact that a rollout which is under way is about to start instances of, if this process holds no lease of
    /// it: the process that had one has ended. Before anything is started, the table sees to that itself.
    pub(super) fn missing_lease(&self, loaded: &LoadedRollout, step: &Step) -> Option<Artifact> {
        let rollout = &loaded.rollout.value;
        let workload = match rollout.phase {
            Phase::Staging if !matches!(rollout.command, ReleaseCommand::Started { .. }) => return None,
            Phase::Staging | Phase::Rolling | Phase::Routing => &loaded.workloads.target_only,
            Phase::Reverting { .. } => &loaded.workloads.fallback,
            Phase::Succeeded | Phase::Failed { .. } => return None,
        };
        if !matches!(step, Step::Wait | Step::Apply(_) | Step::Publish(_)) {
            return None;
        }
        let artifact = &workload.groups.values().next()?.template.launch.artifact;
        let is_missing =
            self.memory().with_state(loaded.state.name(), |kept| kept.lacks_lease(artifact.digest()));
        is_missing.then(|| artifact.clone())
    }

    /// Takes the lease anew. A rollout that is under way does not depend on it – instances that run have their files,
    /// and a back end that starts one asks for them again – and so it waits only for a moment, and then goes on.
    pub(super) async fn take_lease(&self, loaded: &LoadedRollout, artifact: Artifact) {
        let digest = artifact.digest().clone();
        let prepare = tokio::time::timeout(LEASE_LIMIT, self.prepared(loaded, artifact, || {}));
        if let Ok(Ok(lease)) = self.while_others_work(prepare).await {
            self.memory().with_state(loaded.state.name(), |kept| kept.artifact_ready(digest, lease));
        }
    }

    /// Asks the preparer when it is this artifact's turn, and not for longer than it may take.
    async fn prepared(
        &self,
        loaded: &LoadedRollout,
        artifact: Artifact,
        begins: impl FnOnce() + Send,
    ) -> std::result::Result<Prepared, ArtifactError> {
        let _turn = match &self.permit {
            Some(permit) => permit.turn_to_prepare().await,
            None => None,
        };
        begins();
        let prepare = (self.parts().preparer)(loaded.state.reference(), artifact);
        let prepared = tokio::time::timeout(PREPARE_LIMIT, prepare).await;
        prepared.unwrap_or_else(|late| Err(ArtifactError::Unavailable(Box::new(late))))
    }

    /// Lets a worker's permit go while this waits.
    async fn while_others_work<T>(&self, waiting: impl Future<Output = T> + Send) -> T {
        match &self.permit {
            Some(permit) => permit.without(waiting).await,
            None => waiting.await,
        }
    }

    /// Waits until something else is wanted of the app than what was loaded: a newer release, or its end. Its workers
    /// say when to look; without workers nobody does.
    async fn overtaken(&self, loaded: &LoadedRollout) {
        let Some(permit) = &self.permit else { return std::future::pending().await };
        loop {
            permit.asked().await;
            // A store that is away has nothing newer to say.
            let head = get::<Head>(self.store(), &keys::head(loaded.state.name())).await;
            if head.is_ok_and(|head| head.is_none_or(|head| head.revision != loaded.state.head.revision)) {
                return;
            }
        }
    }
}
