//! The API's errors, and the only place that decides which failure of a call has which HTTP status, which code and, where
//! existing clients look for it, which text.
//!
//! The bodies have the shapes and texts of the original, which differ from failure to failure. What a program can rely on
//! is the code: a word in the header [`CODE`] of every answer with a status of 400 and above. Codes never change.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, Response, StatusCode, header},
    response::IntoResponse,
};
use deis_core::{
    Error, Kind, ReleaseVersion,
    model::{Cause, shown},
    plan::RollbackError,
};
use serde_json::{Value, json};

use crate::accounts::PasswordError;

/// What a handler answers instead of its result.
#[derive(Debug)]
pub(super) enum ApiError {
    /// 401.
    Unauthorized(&'static str),
    /// 401 of a wrong present password, a bare string.
    WrongPassword,
    /// 403: who asks may not do this.
    Forbidden,
    /// 403: nobody may do this without saying who asks.
    NoCredentials,
    /// 403 with a text of its own.
    Barred {
        /// The code.
        code: &'static str,
        /// What is not allowed.
        text: &'static str,
    },
    /// 404 as a bare string: `No App matches the given query.`
    NoMatch(Kind),
    /// 404 with a detail.
    NotFound(String),
    /// 400 with a detail.
    Bad(String),
    /// 400 with texts for fields.
    Fields(BTreeMap<String, Vec<String>>),
    /// 400: somebody has that already; by field, in the words that existing clients know.
    Taken(Vec<(&'static str, &'static str)>),
    /// 400: a rollout failed and was undone.
    DeployFailed(String),
    /// 400: a back end will never take it.
    Rejected(String),
    /// 400: the app has no build yet.
    NoBuild(&'static str),
    /// 409.
    Conflict(String),
    /// 409: everything is set already.
    Unchanged(String),
    /// 409: somebody else is at it.
    Busy(String),
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
    /// 429.
    TooMany(String),
    /// 429 of what has a rate.
    Throttled {
        /// What was too much.
        what: &'static str,
        /// Seconds until it is possible again.
        wait: u64,
    },
    /// 409: it was planned before a change that came in between.
    Stale,
    /// 503 of a back end that is away.
    Unavailable(String),
    /// 503 of anything else.
    Service {
        /// The code.
        code: &'static str,
        /// What it cannot do now.
        text: String,
    },
    /// 500 as plain text, of the log only.
    Logs(String),
    /// 500.
    Internal,
}

/// Result of a handler.
pub(super) type Result<T> = std::result::Result<T, ApiError>;

/// The header that holds an error's code, named as the other headers of this API are.
pub(crate) const CODE: HeaderName = HeaderName::from_static("deis_error_code");

impl ApiError {
    /// One text for one field.
    pub(super) fn field(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self::Fields([(name.into(), vec![text.into()])].into())
    }

    /// Something happened too often; it is possible again after `wait`.
    pub(super) fn throttled(what: &'static str, wait: Duration) -> Self {
        Self::Throttled { what, wait: u64::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u64::MAX) }
    }

    /// A rollout that failed, with what happened to the app and what a person can do.
    pub(super) fn deploy_failed(
        cause: &Cause,
        failed: Option<ReleaseVersion>,
        live: Option<ReleaseVersion>,
    ) -> Self {
        let text = format!("{cause}\n{}", cause.hint());
        Self::DeployFailed(match (failed, live) {
            (Some(failed), Some(live)) => format!(
                "(app::deploy): There was a problem deploying {failed}. Rolling back process types to release \
                 {live}.\n{text}"
            ),
            _ => format!("(app::deploy): {text}"),
        })
    }

    /// What a program knows it by.
    fn code(&self) -> &'static str {
        match self {
            Self::Unauthorized(_) => "unauthenticated",
            Self::WrongPassword => "wrong_password",
            Self::Forbidden => "forbidden",
            Self::NoCredentials => "no_credentials",
            Self::Barred { code, .. } | Self::Service { code, .. } => code,
            Self::NoMatch(kind) => match kind {
                Kind::App => "app_not_found",
                Kind::Release => "release_not_found",
                Kind::Build => "build_not_found",
                Kind::Domain => "domain_not_found",
                Kind::Key | Kind::KeyId => "key_not_found",
                Kind::User => "user_not_found",
                Kind::ProcessType => "process_type_not_found",
                Kind::Run => "run_not_found",
            },
            Self::NotFound(_) => "not_found",
            Self::Bad(_) | Self::Fields(_) => "invalid",
            Self::Taken(_) => "already_exists",
            Self::DeployFailed(_) => "deploy_failed",
            Self::Rejected(_) => "rejected",
            Self::NoBuild(_) => "no_build",
            Self::Conflict(_) => "conflict",
            Self::Unchanged(_) => "unchanged",
            Self::Busy(_) => "busy",
            Self::TooMany(_) => "too_many",
            Self::Throttled { .. } => "throttled",
            Self::Slow => "request_timeout",
            Self::TooLarge | Self::Oversize(_) => "too_large",
            Self::Full => "disk_full",
            Self::MediaType(_) => "media_type",
            Self::Unprocessable(_) => "not_set",
            Self::Stale => "stale",
            Self::Unavailable(_) => "unavailable",
            Self::Logs(_) => "logs_unavailable",
            Self::Internal => "internal",
        }
    }

    /// Its status, its code and its text, for who is answered on a websocket.
    pub(super) fn into_message(self) -> (u16, String, String) {
        let code = self.code().to_owned();
        if let Self::Fields(texts) = self {
            let lines: Vec<String> =
                texts.into_iter().map(|(field, texts)| format!("{field}: {}", texts.join(" "))).collect();
            return (StatusCode::BAD_REQUEST.as_u16(), code, lines.join("\n"));
        }
        let (status, body) = self.parts();
        let text = body.get("detail").and_then(Value::as_str).map_or_else(|| body.to_string(), str::to_owned);
        (status.as_u16(), code, text)
    }

    fn parts(self) -> (StatusCode, Value) {
        let detail = |text: &str| json!({"detail": text});
        match self {
            Self::Unauthorized(text) => (StatusCode::UNAUTHORIZED, detail(text)),
            Self::WrongPassword => (StatusCode::UNAUTHORIZED, detail("Current password does not match")),
            Self::Forbidden => {
                (StatusCode::FORBIDDEN, detail("You do not have permission to perform this action."))
            }
            Self::NoCredentials => {
                (StatusCode::FORBIDDEN, detail("Authentication credentials were not provided."))
            }
            Self::Barred { text, .. } => (StatusCode::FORBIDDEN, detail(text)),
            Self::NoMatch(kind) => {
                let text = format!("No {} matches the given query.", model(kind));
                (StatusCode::NOT_FOUND, Value::String(text))
            }
            Self::NotFound(text) => (StatusCode::NOT_FOUND, detail(&text)),
            Self::Bad(text) | Self::DeployFailed(text) | Self::Rejected(text) => {
                (StatusCode::BAD_REQUEST, detail(&text))
            }
            Self::NoBuild(text) => (StatusCode::BAD_REQUEST, detail(text)),
            Self::Fields(texts) => (StatusCode::BAD_REQUEST, json!(texts)),
            Self::Taken(fields) => {
                let texts: BTreeMap<_, _> = fields.into_iter().map(|(field, text)| (field, [text])).collect();
                (StatusCode::BAD_REQUEST, json!(texts))
            }
            Self::Conflict(text) | Self::Unchanged(text) | Self::Busy(text) => {
                (StatusCode::CONFLICT, detail(&text))
            }
            Self::Slow => (StatusCode::REQUEST_TIMEOUT, detail("The request did not come in time.")),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, detail("The request is too large.")),
            Self::Oversize(text) => (StatusCode::PAYLOAD_TOO_LARGE, detail(&text)),
            Self::Full => (
                StatusCode::INSUFFICIENT_STORAGE,
                detail("The platform's disk is full: nothing was changed. Free some space, then try again."),
            ),
            Self::MediaType(kind) => {
                let text = format!("Unsupported media type \"{}\" in request.", shown(&kind));
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, detail(&text))
            }
            Self::Unprocessable(text) => (StatusCode::UNPROCESSABLE_ENTITY, detail(&text)),
            Self::TooMany(text) => (StatusCode::TOO_MANY_REQUESTS, detail(&text)),
            Self::Throttled { what, wait } => {
                let text = format!("{what}; try again in {wait} s.");
                (StatusCode::TOO_MANY_REQUESTS, detail(&text))
            }
            Self::Stale => (
                StatusCode::CONFLICT,
                detail("A newer change came in between: look again, then repeat it if it is still wanted."),
            ),
            Self::Unavailable(text) | Self::Service { text, .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, detail(&text))
            }
            Self::Logs(_) | Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, detail("Server Error")),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response<Body> {
        let code = HeaderValue::from_static(self.code());
        let mut response = self.without_code();
        response.headers_mut().insert(CODE, code);
        response
    }
}

impl ApiError {
    fn without_code(self) -> Response<Body> {
        if let Self::Logs(app) = self {
            let mut response = Response::new(Body::from(format!("Error accessing logs for {app}")));
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
            return response;
        }
        let wait = if let Self::Throttled { wait, .. } = self { Some(HeaderValue::from(wait)) } else { None };
        let (status, body) = self.parts();
        let mut response = super::respond::json(status, &body);
        if let Some(wait) = wait {
            response.headers_mut().insert(header::RETRY_AFTER, wait);
        }
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Token"));
        }
        response
    }
}

/// The field that holds the name of a thing, and what existing clients know as its being in use.
pub(super) fn taken(what: Kind) -> Option<(&'static str, &'static str)> {
    match what {
        Kind::App => Some(("id", "Application with this id already exists.")),
        Kind::Domain => Some(("domain", "Domain is already in use by another application")),
        Kind::User => Some(("username", "A user with that username already exists.")),
        Kind::Key => Some(("public", "Public Key is already in use")),
        Kind::KeyId => Some(("id", "SSH Key with this id already exists.")),
        Kind::Release | Kind::Build | Kind::ProcessType | Kind::Run => None,
    }
}

/// A process type that an app does not have.
pub(super) fn no_process_type(name: &str) -> ApiError {
    ApiError::NotFound(format!("Container type {} does not exist in application", shown(name)))
}

fn no_rollback(error: RollbackError) -> String {
    match error {
        RollbackError::Initial => "Cannot roll back to initial release.".to_owned(),
        RollbackError::Failed => "Cannot roll back to failed release.".to_owned(),
        RollbackError::BelowZero => "version cannot be below 0".to_owned(),
        RollbackError::Unknown(version) => no_release(version),
        other @ RollbackError::NoBuild(_) => other.to_string(),
    }
}

/// A release to go back to that there is not.
pub(super) fn no_release(version: impl std::fmt::Display) -> String {
    format!("there is no release {version}; see `deis releases`")
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
        Kind::Run => "Run",
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound { what: Kind::ProcessType, name } => no_process_type(&name),
            Error::NotFound { what, .. } => Self::NoMatch(what),
            Error::AlreadyExists { what, name } => match taken(what) {
                Some(known) => Self::Taken(vec![known]),
                None => Self::Conflict(format!("{what} {name} already exists")),
            },
            Error::Invalid { field, reason } => Self::field(field, reason),
            Error::Refused { reason } => Self::Bad(reason),
            Error::Missing { field } => Self::Bad(format!("{field} is a required field")),
            Error::Reserved { what, name } => {
                let field = taken(what).map_or("name", |(field, _)| field);
                Self::field(field, format!("{name} is a reserved name."))
            }
            Error::InvalidCpu => Self::field(
                "cpu",
                "CPU limit format: <value> or <value>/<value>, where value must be a numeric",
            ),
            Error::NotSet { key, member } => {
                Self::Unprocessable(format!("{} does not exist under {member}", shown(&key)))
            }
            Error::OwnsApps { user } => Self::Conflict(format!(
                "{user} still has applications assigned. Delete or transfer ownership before cancelling."
            )),
            Error::NoRollback(error) => Self::Bad(no_rollback(error)),
            Error::NeedsPort => Self::Bad(
                "PORT needs to be set in the application config when using a private registry".to_owned(),
            ),
            Error::Unchanged { by } => Self::Unchanged(format!("{by} changed nothing - release stopped")),
            Error::NoBuild => Self::NoBuild("No build associated with this release"),
            Error::Conflict { reason } => Self::Conflict(reason),
            Error::Busy { reason } => Self::Busy(reason),
            Error::TooLarge { reason } => {
                Self::Oversize(format!("This is too large to be stored: {reason}."))
            }
            Error::Full(_) => {
                log(&error);
                Self::Full
            }
            Error::Forbidden { .. } => Self::Forbidden,
            Error::Rejected { cause } => Self::Rejected(format!("{cause}\n{}", cause.hint())),
            Error::Stale(_) => Self::Stale,
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
            PasswordError::Busy => Self::Service { code: "total_logins", text: error.to_string() },
            PasswordError::BusyAddress => Self::Service { code: "address_logins", text: error.to_string() },
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
    let text = format!("Method \"{}\" not allowed.", shown(method.as_str()));
    let mut response = super::respond::json(StatusCode::METHOD_NOT_ALLOWED, &json!({"detail": text}));
    response.headers_mut().insert(CODE, HeaderValue::from_static("method_not_allowed"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_overtaken_is_no_outage() {
        let response = ApiError::from(Error::Stale("a newer one".into())).into_response();
        assert_eq!(response.status(), StatusCode::CONFLICT);
        assert_eq!(response.headers()[CODE], "stale");
    }
}
