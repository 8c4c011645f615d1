//! Apps.

use deis_core::{AppName, Kind, Session, model::AppStatus};

use super::{
    auth::{App, Caller, OwnApp},
    error::{ApiError, Result},
    names,
    page::Paging,
    payload::{Payload, at_most},
    respond::{Answer, Empty},
};
use crate::dto::{AppDto, PageDto};

/// The caller's apps; all of them for administrators.
pub(super) async fn list(caller: Caller, paging: Paging) -> Result<Answer<PageDto<AppDto>>> {
    let mut page = caller.session.apps(paging.query()).await?;
    // One that is being destroyed is left out.
    page.items.retain(|app| app.summary.state == AppStatus::Active);
    Ok(Answer::ok(paging.page(page, AppDto::from)))
}

/// Creates an app, under a name that is made up if none is given.
pub(super) async fn create(caller: Caller, payload: Payload) -> Result<Answer<AppDto>> {
    let given = match payload.members.get("id") {
        None | Some(serde_json::Value::Null) => None,
        // A name with white space around it is another name, which nobody may have.
        Some(_) => Some(app_name(&payload.untrimmed("id")?)?),
    };
    let app = match given {
        Some(name) => caller.session.create_app(name).await?,
        None => create_somehow(&caller.session).await?,
    };
    Ok(Answer::created(app.into()))
}

async fn create_somehow(session: &Session) -> Result<deis_core::model::App> {
    for _ in 0..20 {
        match session.create_app(names::generate()).await {
            Err(deis_core::Error::AlreadyExists { .. }) => {}
            other => return Ok(other?),
        }
    }
    Err(ApiError::Conflict("every name that came to mind is taken; please give one".to_owned()))
}

fn app_name(text: &str) -> Result<AppName> {
    at_most("id", text, 63)?;
    AppName::new(text).map_err(|_| {
        let texts = [
            "App name must start with an alphabetic character, cannot end with a hyphen and can only contain a-z \
             (lowercase), 0-9 and hyphens.",
            "App name can only contain a-z (lowercase), 0-9 and hyphens",
        ];
        ApiError::Fields([("id".to_owned(), texts.map(str::to_owned).into())].into())
    })
}

/// One app.
pub(super) async fn info(App(app): App) -> Result<Answer<AppDto>> {
    let found = app.app().clone();
    if found.summary.state != AppStatus::Active {
        return Err(ApiError::NoMatch(Kind::App));
    }
    Ok(Answer::ok(found.into()))
}

/// Destroys an app; answers when its name is free.
pub(super) async fn destroy(OwnApp(app): OwnApp) -> Result<Empty> {
    app.destroy().await?;
    app.destroyed().await?;
    Ok(Empty::DONE)
}
