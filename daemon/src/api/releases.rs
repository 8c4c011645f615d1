//! Releases.

use deis_core::{AppHandle, Change, ChangeOutcome, Kind, ReleaseVersion};
use serde_json::{Value, json};

use super::{
    auth::App,
    error::{ApiError, Result, no_release},
    page::Paging,
    payload::Payload,
    respond::Answer,
    url::Segments,
};
use crate::dto::{PageDto, ReleaseDto};

/// The app's releases, newest first.
pub(super) async fn list(App(app): App, paging: Paging) -> Result<Answer<PageDto<ReleaseDto>>> {
    let page = app.releases(paging.query()).await?;
    Ok(Answer::ok(paging.page(page, |release| ReleaseDto::new(app.name(), release))))
}

/// One release.
pub(super) async fn info(App(app): App, segments: Segments) -> Result<Answer<ReleaseDto>> {
    let digits = segments.get("version").and_then(|text| text.strip_prefix('v'));
    let digits = digits.filter(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()));
    let version = digits.and_then(|d| d.parse().ok()).ok_or(ApiError::NoMatch(Kind::Release))?;
    Ok(Answer::ok(ReleaseDto::new(app.name(), app.release(ReleaseVersion(version)).await?)))
}

/// Goes back to a release; answers when the new one is live.
pub(super) async fn rollback(App(app): App, payload: Payload) -> Result<Answer<Value>> {
    let change = app.rollback(wanted(&payload)?).await?;
    wait_until_live(&app, &change).await?;
    Ok(Answer::created(json!({"version": change.release.map(|v| v.0)})))
}

fn wanted(payload: &Payload) -> Result<Option<ReleaseVersion>> {
    let number = match payload.members.get("version") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(n)) => n.as_i64(),
        Some(Value::String(text)) => text.trim().parse().ok(),
        Some(_) => None,
    };
    match number {
        None => Err(ApiError::Bad("version must be a release number, such as 3".to_owned())),
        Some(n) if n < 1 => Err(ApiError::Bad("version cannot be below 0".to_owned())),
        // A number that no release can have is answered as one that none has.
        Some(n) => match u32::try_from(n) {
            Ok(n) => Ok(Some(ReleaseVersion(n))),
            Err(_) => Err(ApiError::Bad(no_release(format_args!("v{n}")))),
        },
    }
}

/// Waits for a change that makes a release; a failure says where the app stands now.
///
/// The change goes on when the client goes away: waiting is all that ends.
pub(super) async fn wait_until_live(app: &AppHandle, change: &Change) -> Result<()> {
    match app.wait(change).await? {
        // Overtaken, its place in history is kept: for the caller it is as if the newer one had come right after it.
        ChangeOutcome::Done | ChangeOutcome::Superseded { .. } => Ok(()),
        ChangeOutcome::Failed(cause) => {
            let info = app.info().await?;
            // A live release without a build is nothing to go back to.
            let live = if info.processes.is_empty() { None } else { info.live };
            Err(ApiError::deploy_failed(&cause, change.release, live))
        }
    }
}
