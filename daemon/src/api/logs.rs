//! The log of an app as text.

use axum::{
    Extension,
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
};
use bytes::Bytes;
use deis_core::{
    AppHandle, AppName, ProcessType,
    model::{LogLevel, LogLine, LogQuery, LogSource},
};
use futures_util::TryStreamExt as _;

use super::{
    auth::App,
    error::{ApiError, Result},
    held_answer::{AnswerBudget, held},
    url::Query,
};
use crate::keyed_limit::{Exhausted, KeyedLimit, KeyedPermit};

/// Logs that one user may follow at a time, and all users together: each holds a connection, and a reader of the log.
const MAX_FOLLOWED: usize = 32;
const MAX_TOTAL_FOLLOWED: usize = 512;

/// Lines of an answer: without a number, and at most.
const LINES: usize = 100;
const MAX_LINES: usize = 10_000;

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
        self.0.enter(user).map_err(|exhausted| match exhausted {
            Exhausted::Key => {
                ApiError::TooMany(format!("You follow {MAX_FOLLOWED} logs already; end one of them first."))
            }
            Exhausted::Total => ApiError::Service {
                code: "total_followers",
                text: format!("{MAX_TOTAL_FOLLOWED} logs are followed already; try again later."),
            },
        })
    }
}

/// The newest lines; with `follow=1` all later ones too, as they come.
pub(super) async fn logs(
    App(app): App,
    wanted: Query,
    Extension(followers): Extension<Followers>,
    Extension(budget): Extension<AnswerBudget>,
) -> Result<Response<Body>> {
    let follow = matches!(wanted.get("follow"), Some("1" | "true"));
    let process = match wanted.get("process") {
        Some(text) => Some(ProcessType::new(text).map_err(|e| ApiError::Bad(format!("process: {e}")))?),
        None => None,
    };
    let query = LogQuery { lines: lines(wanted.get("log_lines"), follow), process, follow };
    let body =
        if follow { followed(&app, &query, &followers).await? } else { tail(&app, &query, &budget).await? };
    let is_empty = !follow && body.is_none();
    let mut response = Response::new(body.unwrap_or_default());
    if is_empty {
        *response.status_mut() = StatusCode::NO_CONTENT;
        return Ok(response);
    }
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(response)
}

/// How many lines are meant: what is no number counts as none. Whoever follows may do without those that are there.
fn lines(wanted: Option<&str>, follow: bool) -> usize {
    let least = usize::from(!follow);
    wanted.and_then(|n| n.parse().ok()).unwrap_or(LINES).clamp(least, MAX_LINES)
}

fn failed(app: &AppHandle) -> ApiError {
    ApiError::Logs(app.name().to_string())
}

async fn followed(app: &AppHandle, query: &LogQuery, followers: &Followers) -> Result<Option<Body>> {
    let permit = followers.enter(app.actor().name().to_string())?;
    let stream = app.logs(query).await.map_err(|_| failed(app))?;
    let name = app.name().clone();
    // An error breaks the answer off: an end would say that there is no more.
    Ok(Some(Body::from_stream(stream.map_ok(move |line| {
        let _held = &permit;
        Bytes::from(format_line(&name, &line))
    }))))
}

/// All lines as one body; `None` without any.
async fn tail(app: &AppHandle, query: &LogQuery, budget: &AnswerBudget) -> Result<Option<Body>> {
    let mut permit = budget.of(app.actor().name().to_string());
    let _reading = budget.read().await;
    let stream = app.logs(query).await.map_err(|_| failed(app))?;
    let lines: Vec<LogLine> = stream.try_collect().await.map_err(|_| failed(app))?;
    if lines.is_empty() {
        return Ok(None);
    }
    let mut text = Vec::new();
    for line in lines {
        text.extend_from_slice(format_line(app.name(), &line).as_bytes());
    }
    text.shrink_to_fit();
    permit.grow(text.len()).map_err(|exhausted| match exhausted {
        Exhausted::Key => ApiError::TooMany(
            "Your answers that wait to be read hold as much memory as they may; read them first.".to_owned(),
        ),
        Exhausted::Total => ApiError::Service {
            code: "total_answer_memory",
            text: "Answers that wait to be read hold as much memory as they may; try again later.".to_owned(),
        },
    })?;
    Ok(Some(held(text, permit)))
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
        assert!(matches!(refused, Err(ApiError::TooMany(text)) if text.contains("32 logs already")));
        assert!(followers.enter("bob".to_owned()).is_ok());
        drop(held);
        assert!(followers.enter("ann".to_owned()).is_ok());
    }

    #[test]
    fn as_many_lines_as_there_may_be() {
        for (wanted, lines_of_tail) in [
            ("5", 5),
            ("0", 1),
            ("10001", 10_000),
            ("1000000000", 10_000),
            ("-1", 100),
            ("abc", 100),
            ("", 100),
        ] {
            assert_eq!(lines(Some(wanted), false), lines_of_tail, "{wanted}");
        }
        assert_eq!((lines(None, false), lines(Some("0"), true)), (100, 0));
    }
}
