//! Builds.

use deis_core::{Kind, model::BuildId};
use uuid::Uuid;

use super::{
    auth::App,
    error::{ApiError, Result},
    page::Paging,
    payload::Payload,
    respond::Answer,
    url::Segments,
};
use crate::dto::{BuildDto, PageDto};

/// The app's builds, newest first.
pub(super) async fn list(App(app): App, paging: Paging) -> Result<Answer<PageDto<BuildDto>>> {
    let page = app.builds(paging.query()).await?;
    Ok(Answer::ok(paging.page(page, |build| BuildDto::new(app.name(), build))))
}

/// One build.
pub(super) async fn info(App(app): App, segments: Segments) -> Result<Answer<BuildDto>> {
    let id = segments.get("uuid").and_then(|text| Uuid::parse_str(text).ok());
    let id = id.ok_or(ApiError::NoMatch(Kind::Build))?;
    Ok(Answer::ok(BuildDto::new(app.name(), app.build(BuildId(id)).await?)))
}

/// Deploys an image: not by this version.
pub(super) async fn create(App(_): App, payload: Payload) -> Result<Answer<()>> {
    payload.required("image")?;
    Err(ApiError::Bad("this server runs no images yet; push source with git".to_owned()))
}
