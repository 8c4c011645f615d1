//! Who asks: the token of a request becomes a user, and a path becomes an app that the user may use.

use axum::{
    extract::{FromRef, FromRequestParts},
    http::{HeaderMap, header, request::Parts},
};
use deis_core::{Actor, AppHandle, AppName, Digest, Kind, Session, model::User};

use super::{
    ApiState,
    error::{ApiError, Result},
    url::Segments,
};
use crate::accounts::token_hash;

/// The user whose token a request carries.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) user: User,
    pub(super) session: Session,
}

/// An app of the path that the caller may use.
pub(super) struct App(pub(super) AppHandle);

/// An app of the path that only its owner and administrators may use in this way.
pub(super) struct OwnApp(pub(super) AppHandle);

const MISSING: &str = "Authentication credentials were not provided.";
const SEVERAL: &str = "Invalid token header. Token string should not contain spaces.";

impl<S: Send + Sync> FromRequestParts<S> for Caller
where
    ApiState: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let state = ApiState::from_ref(state);
        let user = active(state.platform.user_by_token(&given_token(&parts.headers)?).await?)?;
        Ok(Self { session: session(&state, &user), user })
    }
}

/// The hash of the token that a request must carry.
fn given_token(headers: &HeaderMap) -> Result<Digest> {
    let token = token_of(headers)?.ok_or(ApiError::Unauthorized(MISSING))?;
    Ok(token_hash(&token))
}

/// The user that a token belongs to, if there is one who may use it.
fn active(user: Option<User>) -> Result<User> {
    match user {
        Some(user) if user.active => Ok(user),
        Some(_) => Err(ApiError::Unauthorized("User inactive or deleted.")),
        None => Err(ApiError::Unauthorized("Invalid token.")),
    }
}

/// The platform as `user` sees it.
pub(super) fn session(state: &ApiState, user: &User) -> Session {
    state.platform.session(Actor::User { name: user.name.clone(), superuser: user.superuser })
}

/// The token of the `Authorization` header; `None` without one of our scheme.
fn token_of(headers: &HeaderMap) -> Result<Option<String>> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let Some(text) = given.next().and_then(|v| v.to_str().ok()) else { return Ok(None) };
    if given.next().is_some() {
        // Whoever stands before this server may have looked at the other one.
        return Err(ApiError::Unauthorized(SEVERAL));
    }
    let mut words = text.split_whitespace();
    if !words.next().is_some_and(|scheme| scheme.eq_ignore_ascii_case("token")) {
        return Ok(None);
    }
    match (words.next(), words.next()) {
        (None, _) => Err(ApiError::Unauthorized("Invalid token header. No credentials provided.")),
        (Some(_), Some(_)) => Err(ApiError::Unauthorized(SEVERAL)),
        (Some(token), None) => Ok(Some(token.to_owned())),
    }
}

impl Caller {
    /// Only administrators go on.
    pub(super) fn must_be_admin(&self) -> Result<()> {
        if self.user.superuser { Ok(()) } else { Err(ApiError::Forbidden) }
    }

    /// The caller, if there is one; a token that is no good counts as none.
    pub(super) async fn maybe(headers: &HeaderMap, state: &ApiState) -> Result<Option<User>> {
        let Ok(Some(token)) = token_of(headers) else { return Ok(None) };
        Ok(state.platform.user_by_token(&token_hash(&token)).await?.filter(|u| u.active))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for App
where
    ApiState: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let token = given_token(&parts.headers)?;
        let Ok(segments) = Segments::from_request_parts(parts, state).await;
        let platform = ApiState::from_ref(state).platform;
        let Some(name) = segments.get("app").and_then(|name| AppName::new(name).ok()) else {
            // Who may not ask is not told what there is.
            active(platform.user_by_token(&token).await?)?;
            return Err(ApiError::NoMatch(Kind::App));
        };
        let (user, app) = platform.app_by_token(&token, &name).await?.unzip();
        active(user)?;
        Ok(Self(app.ok_or(ApiError::NoMatch(Kind::App))??))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for OwnApp
where
    ApiState: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let App(app) = App::from_request_parts(parts, state).await?;
        if app.is_owned() { Ok(Self(app)) } else { Err(ApiError::Forbidden) }
    }
}
