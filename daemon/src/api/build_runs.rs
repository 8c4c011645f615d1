//! Build runs: what became of each push that was built, and what it printed. Not in the original's API.

use axum::{
    Extension,
    body::Body,
    extract::State,
    http::{HeaderValue, Response, header},
};
use deis_core::{Kind, model::Attempt};
use futures_util::TryStreamExt as _;

use super::{
    ApiState,
    auth::App,
    error::{ApiError, Result},
    logs::Followers,
    page::Paging,
    respond::{Answer, Empty},
    url::{Query, Segments},
};
use crate::dto::{BuildRunDto, PageDto};

/// The app's build runs, newest first.
pub(super) async fn list(App(app): App, paging: Paging) -> Result<Answer<PageDto<BuildRunDto>>> {
    let page = app.build_runs(paging.query()).await?;
    Ok(Answer::ok(paging.page(page, |run| BuildRunDto::new(app.name(), run))))
}

/// One build run.
pub(super) async fn info(App(app): App, segments: Segments) -> Result<Answer<BuildRunDto>> {
    let run = app.build_run(attempt(&segments)?).await?;
    Ok(Answer::ok(BuildRunDto::new(app.name(), run)))
}

/// Ends a build run that has not ended.
pub(super) async fn cancel(App(app): App, segments: Segments) -> Result<Empty> {
    app.build_run_cancel(attempt(&segments)?).await?;
    Ok(Empty::DONE)
}

/// What a build printed; with `follow=1` also what it prints from now on.
pub(super) async fn output(
    State(state): State<ApiState>,
    App(app): App,
    segments: Segments,
    wanted: Query,
    Extension(followers): Extension<Followers>,
) -> Result<Response<Body>> {
    let attempt = attempt(&segments)?;
    app.build_run(attempt).await?;
    let follow = matches!(wanted.get("follow"), Some("1" | "true"));
    let permit = if follow { Some(followers.enter(app.actor().name().to_string())?) } else { None };
    let found = state.outputs.read(app.app().uid, attempt, follow).await;
    let found = found.map_err(|e| ApiError::Unavailable(crate::telemetry::chain(&e)))?;
    let body = match found {
        // An error breaks the answer off: an end would say that there is no more.
        Some(output) => Body::from_stream(output.inspect_ok(move |_| {
            let _held = &permit;
        })),
        None => Body::empty(),
    };
    let mut response = Response::new(body);
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

fn attempt(segments: &Segments) -> Result<Attempt> {
    let number = segments.get("number").and_then(|text| text.parse().ok());
    number.map(Attempt).ok_or(ApiError::NoMatch(Kind::Build))
}
