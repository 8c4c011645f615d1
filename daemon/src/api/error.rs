//! The API's errors, and the only place that decides which failure of a call has which HTTP status.

use std::collections::BTreeMap;

use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
    response::IntoResponse,
};
use deis_core::{Cause, Error, Kind, ReleaseVersion};
use serde_json::{Value, json};

use crate::accounts::PasswordError;

/// What a handler answers instead of its result.
#[derive(Debug)]
pub(super) enum ApiError {
    /// 401.
    Unauthorized(&'static str),
    /// 401 of a wrong present password, a bare string.
    WrongPassword,
    /// 403.
    Forbidden(&'static str),
    /// 404 as a bare string: `No App matches the given query.`
    NoMatch(Kind),
    /// 404 with a detail.
    NotFound(String),
    /// 400 with a detail.
    Bad(String),
    /// 400 with texts for fields.
    Fields(BTreeMap<String, Vec<String>>),
    /// 409.
    Conflict(String),
    /// 408.
    Slow,
    /// 413.
    TooLarge,
    /// 413 with what is too large.
    Oversize(String),
    /// 507: the disk is full.
    Full,
    /// 415.
    MediaType(String),
    /// 422.
    Unprocessable(String),
    /// 503.
    Unavailable(String),
    /// 500 as plain text, of the log only.
    Logs(String),
    /// 500.
    Internal,
}

/// Result of a handler.
pub(super) type Result<T> = std::result::Result<T, ApiError>;

const NO_PERMISSION: &str = "You do not have permission to perform this action.";

impl ApiError {
    /// One text for one field.
    pub(super) fn field(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self::Fields([(name.into(), vec![text.into()])].into())
    }

    /// 403 with the contract's text.
    pub(super) fn forbidden() -> Self {
        Self::Forbidden(NO_PERMISSION)
    }

    /// A rollout that failed, with what happened to the app and what a person can do.
    pub(super) fn deploy_failed(
        cause: &Cause,
        failed: Option<ReleaseVersion>,
        live: Option<ReleaseVersion>,
    ) -> Self {
        let text = format!("{cause}\n{}", cause.hint());
        Self::Bad(match (failed, live) {
            (Some(failed), Some(live)) => format!(
                "(app::deploy): There was a problem deploying {failed}. Rolling back process types to release \
                 {live}.\n{text}"
            ),
            _ => format!("(app::deploy): {text}"),
        })
    }

    fn parts(self) -> (StatusCode, Value) {
        let detail = |text: &str| json!({"detail": text});
        match self {
            Self::Unauthorized(text) => (StatusCode::UNAUTHORIZED, detail(text)),
            Self::WrongPassword => (StatusCode::UNAUTHORIZED, detail("Current password does not match")),
            Self::Forbidden(text) => (StatusCode::FORBIDDEN, detail(text)),
            Self::NoMatch(kind) => {
                let text = format!("No {} matches the given query.", model(kind));
                (StatusCode::NOT_FOUND, Value::String(text))
            }
            Self::NotFound(text) => (StatusCode::NOT_FOUND, detail(&text)),
            Self::Bad(text) => (StatusCode::BAD_REQUEST, detail(&text)),
            Self::Fields(texts) => (StatusCode::BAD_REQUEST, json!(texts)),
            Self::Conflict(text) => (StatusCode::CONFLICT, detail(&text)),
            Self::Slow => (StatusCode::REQUEST_TIMEOUT, detail("The request did not come in time.")),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, detail("The request is too large.")),
            Self::Oversize(text) => (StatusCode::PAYLOAD_TOO_LARGE, detail(&text)),
            Self::Full => (
                StatusCode::INSUFFICIENT_STORAGE,
                detail("The platform's disk is full: nothing was changed. Free some space, then try again."),
            ),
            Self::MediaType(kind) => {
                let text = format!("Unsupported media type \"{kind}\" in request.");
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, detail(&text))
            }
            Self::Unprocessable(text) => (StatusCode::UNPROCESSABLE_ENTITY, detail(&text)),
            Self::Unavailable(text) => (StatusCode::SERVICE_UNAVAILABLE, detail(&text)),
            Self::Logs(_) | Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, detail("Server Error")),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response<Body> {
        if let Self::Logs(app) = self {
            let mut response = Response::new(Body::from(format!("Error accessing logs for {app}")));
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
            return response;
        }
        let (status, body) = self.parts();
        let mut response = super::respond::json(status, &body);
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Token"));
        }
        response
    }
}

/// What existing clients know a kind of thing as.
fn model(kind: Kind) -> &'static str {
    match kind {
        Kind::App => "App",
        Kind::Release => "Release",
        Kind::Build => "Build",
        Kind::Domain => "Domain",
        Kind::Key | Kind::KeyId => "Key",
        Kind::User => "User",
        Kind::ProcessType => "Container type",
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound { what: Kind::ProcessType, name } => {
                Self::NotFound(format!("Container type {name} does not exist in application"))
            }
            Error::NotFound { what, .. } => Self::NoMatch(what),
            Error::AlreadyExists { what, name } => match what {
                Kind::App => Self::field("id", "Application with this id already exists."),
                Kind::Domain => Self::field("domain", "Domain is already in use by another application"),
                Kind::User => Self::field("username", "A user with that username already exists."),
                Kind::Key => Self::field("public", "Public Key is already in use"),
                Kind::KeyId => Self::field("id", "SSH Key with this id already exists."),
                Kind::Release | Kind::Build | Kind::ProcessType => {
                    Self::Conflict(format!("{what} {name} already exists"))
                }
            },
            Error::Invalid { field, reason } => Self::field(field, reason),
            Error::Refused { reason } => Self::Bad(reason),
            Error::NotSet { reason } => Self::Unprocessable(reason),
            Error::NoBuild => Self::Bad("No build associated with this release".to_owned()),
            Error::Conflict { reason } | Error::Busy { reason } => Self::Conflict(reason),
            Error::TooLarge { reason } => {
                Self::Oversize(format!("This is too large to be stored: {reason}."))
            }
            Error::Full(_) => {
                log(&error);
                Self::Full
            }
            Error::Forbidden { .. } => Self::forbidden(),
            Error::Unavailable(_) => {
                log(&error);
                Self::Unavailable(
                    "The platform is not available right now; try again in a moment.".to_owned(),
                )
            }
            _ => {
                log(&error);
                Self::Internal
            }
        }
    }
}

impl From<PasswordError> for ApiError {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Busy => Self::Unavailable(error.to_string()),
            PasswordError::Failed => Self::Internal,
        }
    }
}

fn log(error: &Error) {
    tracing::error!(error = crate::telemetry::chain(error), "a request failed");
}

/// The answer for a path that is no route.
pub(super) async fn not_found() -> ApiError {
    ApiError::NotFound("Not found.".to_owned())
}

/// The answer for a route without this method.
pub(super) async fn method_not_allowed(method: axum::http::Method) -> Response<Body> {
    let text = format!("Method \"{method}\" not allowed.");
    super::respond::json(StatusCode::METHOD_NOT_ALLOWED, &json!({"detail": text}))
}
