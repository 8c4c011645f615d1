//! The engine on its back ends, and what pushes need of both.

use std::sync::Arc;

use deis_build::git::Limits;
use deis_core::{Platform, PlatformOptions};

use super::{BoxError, StartError, backend::Backends, open};
use crate::{
    api::PlatformInfo,
    datadir::DataDir,
    push::{Pushes, Repos},
    settings::Settings,
};

/// The engine and its back ends.
pub(super) struct Engine {
    pub(super) platform: Platform,
    pub(super) backends: Backends,
}

impl Engine {
    pub(super) async fn open(settings: &Settings, data: &DataDir) -> Result<Self, StartError> {
        let backends = Backends::open(settings, data).await?;
        let platform = Platform::builder()
            .store(Arc::clone(&backends.store))
            .scheduler(Arc::clone(&backends.scheduler))
            .router(Arc::clone(&backends.router))
            .runner(Arc::clone(&backends.runner))
            .logs(Arc::clone(&backends.logs))
            .preparer(Arc::clone(&backends.preparer))
            .clock(Arc::new(crate::clock::now))
            .wake(backends.wake.clone())
            .options(
                PlatformOptions::default()
                    .with_deploy_deadline(settings.deploy_timeout)
                    .with_reserved_names(settings.reserved.iter().cloned())
                    .with_max_user_apps(settings.user_apps),
            )
            .build()
            .map_err(open("the engine"))?;
        Ok(Self { platform, backends })
    }

    pub(super) fn pushes(
        &self,
        settings: &Settings,
        data: &DataDir,
        info: &PlatformInfo,
    ) -> Result<Pushes, BoxError> {
        let repos = Repos::open_all(data.join("repos"))?;
        let limits = Limits { pack_bytes: settings.push_limit, ..Limits::default() };
        let port = if info.ports.http == 80 { String::new() } else { format!(":{}", info.ports.http) };
        let url = format!("http://{{app}}.{}{port}", info.domain);
        let (builder, outputs) = (self.backends.builder.clone(), self.backends.outputs.clone());
        Ok(Pushes::new(self.platform.clone(), builder, repos, outputs, limits, url))
    }
}
