//! Builds.

use axum::extract::Path;
use deis_core::BuildId;
use uuid::Uuid;

use super::{
    auth::App,
    error::{ApiError, Result},
    json::{Answer, Payload},
    page::{PageDto, Paging},
};
use crate::dto::BuildDto;

/// The app's builds, newest first.
pub(super) async fn list(App(app): App, paging: Paging) -> Result<Answer<PageDto<BuildDto>>> {
    let page = app.builds(paging.query()).await?;
    Ok(Answer::ok(paging.page(page, |build| BuildDto::new(app.name(), build))))
}

/// One build.
pub(super) async fn info(App(app): App, Path((_, id)): Path<(String, String)>) -> Result<Answer<BuildDto>> {
    let id = Uuid::parse_str(&id).map_err(|_| ApiError::NoMatch("Build"))?;
    Ok(Answer::ok(BuildDto::new(app.name(), app.build(BuildId(id)).await?)))
}

/// Deploys an image: not by this version.
pub(super) async fn create(App(_): App, payload: Payload) -> Result<Answer<()>> {
    payload.required("image")?;
    Err(ApiError::Bad("this server runs no images yet; push source with git".to_owned()))
}
