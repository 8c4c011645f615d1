//! The log of an app as text.

use axum::{
    Extension,
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
};
use bytes::Bytes;
use deis_core::{
    AppName, ProcessType,
    model::{LogLevel, LogLine, LogQuery, LogSource},
};
use futures_util::TryStreamExt as _;

use super::{
    auth::App,
    error::{ApiError, Result},
    url::Query,
};
use crate::keyed_limit::{Exhausted, KeyedLimit, KeyedPermit};

/// Logs that one user may follow at a time, and all users together: each holds a connection, and a reader of the log.
const MAX_FOLLOWED: usize = 32;
const MAX_TOTAL_FOLLOWED: usize = 512;

/// Who follows how many logs.
#[derive(Clone, Debug)]
pub(super) struct Followers(KeyedLimit<String>);

impl Default for Followers {
    fn default() -> Self {
        Self(KeyedLimit::with_total(MAX_FOLLOWED, MAX_TOTAL_FOLLOWED))
    }
}

impl Followers {
    /// The right of a user to follow one more.
    pub(super) fn enter(&self, user: String) -> Result<KeyedPermit<String>> {
        self.0.enter(user).map_err(|exhausted| {
            ApiError::Unavailable(match exhausted {
                Exhausted::Key => format!("You follow {MAX_FOLLOWED} logs already; end one of them first."),
                Exhausted::Total => {
                    format!("{MAX_TOTAL_FOLLOWED} logs are followed already; try again later.")
                }
            })
        })
    }
}

/// The newest lines; with `follow=1` all later ones too, as they come.
pub(super) async fn logs(
    App(app): App,
    wanted: Query,
    Extension(followers): Extension<Followers>,
) -> Result<Response<Body>> {
    let follow = matches!(wanted.get("follow"), Some("1" | "true"));
    let process = match wanted.get("process") {
        Some(text) => Some(ProcessType::new(text).map_err(|e| ApiError::Bad(format!("process: {e}")))?),
        None => None,
    };
    let lines = wanted.get("log_lines").and_then(|n| n.parse().ok()).unwrap_or(100);
    let permit = if follow { Some(followers.enter(app.actor().name().to_string())?) } else { None };
    let failed = || ApiError::Logs(app.name().to_string());
    let stream = app.logs(&LogQuery { lines, process, follow }).await.map_err(|_| failed())?;
    let name = app.name().clone();
    let body = if follow {
        // An error breaks the answer off: an end would say that there is no more.
        Body::from_stream(stream.map_ok(move |line| {
            let _held = &permit;
            Bytes::from(format_line(&name, &line))
        }))
    } else {
        let all: Vec<LogLine> = stream.try_collect().await.map_err(|_| failed())?;
        if all.is_empty() {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            return Ok(response);
        }
        Body::from(all.iter().map(|line| format_line(&name, line)).collect::<String>())
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(response)
}

/// A line as clients know it.
fn format_line(app: &AppName, line: &LogLine) -> String {
    let time = line.at.to_rfc3339().replace('Z', "+00:00");
    match &line.source {
        LogSource::Process { process, release, instance } => {
            let suffix = instance.as_str().rsplit('-').next().unwrap_or_default();
            format!("{time} {app}[{process}.{release}.{suffix}]: {}\n", line.text)
        }
        LogSource::Platform { level } => {
            let level = match level {
                LogLevel::Info => "INFO",
                LogLevel::Warning => "WARNING",
                LogLevel::Error => "ERROR",
            };
            format!("{time} deis[controller]: {level} {}\n", line.text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_who_follows_everything_leaves_room_for_others() {
        let followers = Followers::default();
        let held: Vec<_> = (0..MAX_FOLLOWED).map(|_| followers.enter("ann".to_owned()).unwrap()).collect();
        let refused = followers.enter("ann".to_owned());
        assert!(matches!(refused, Err(ApiError::Unavailable(text)) if text.contains("32 logs already")));
        assert!(followers.enter("bob".to_owned()).is_ok());
        drop(held);
        assert!(followers.enter("ann".to_owned()).is_ok());
    }
}
