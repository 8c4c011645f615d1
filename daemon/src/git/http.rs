//! Git over smart HTTP, with the user's name and API token as basic authentication.

use std::{io, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Path, Query, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header},
    routing::{get, post},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use deis_build::git::{Service, error_packet};
use deis_core::{AppHandle, Platform, model::User};
use futures_util::StreamExt as _;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::{
    CHUNKS, app_for,
    input::{GitInput, git_input},
    no_such_app, unavailable,
};
use crate::{
    accounts::token_hash,
    push::{Conversation, Crowded, Pushes},
    telemetry::chain,
};

/// What the routes need.
#[derive(Clone, Debug)]
pub struct GitHttp {
    /// The engine.
    pub platform: Platform,
    /// Who takes pushes.
    pub pushes: Pushes,
}

/// `/<app>.git/…` as git asks for it.
pub fn router(state: GitHttp) -> Router {
    Router::new()
        .route("/{repository}/info/refs", get(advertise))
        .route("/{repository}/git-receive-pack", post(|s, p, h, r| serve(Service::ReceivePack, s, p, h, r)))
        .route("/{repository}/git-upload-pack", post(|s, p, h, r| serve(Service::UploadPack, s, p, h, r)))
        .with_state(state)
}

#[derive(Deserialize)]
struct Asked {
    service: Option<String>,
}

type GitAnswer = Result<Response<Body>, Response<Body>>;

async fn advertise(
    State(state): State<GitHttp>,
    Path(repository): Path<String>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> GitAnswer {
    let service = asked.service.as_deref().and_then(Service::from_name).ok_or_else(|| {
        text(StatusCode::FORBIDDEN, "this server speaks smart HTTP only; use git 1.6.6 or newer")
    })?;
    let (user, app) = authorize(&state, &headers, &repository).await?;
    // It costs what the refs cost, up to some megabytes, until the client has read them.
    let conversation = state.pushes.converse(&user.name).map_err(too_many)?;
    let bytes = state.pushes.advertise(&app, service, true).await.map_err(|e| failed(&e))?;
    let body = Body::from(Bytes::from_owner(Advertised { bytes, _conversation: conversation }));
    Ok(answer(&format!("application/x-{}-advertisement", service.name()), body))
}

/// The refs of a repository, which count as a git command until they are sent.
struct Advertised {
    bytes: Vec<u8>,
    _conversation: Conversation,
}

impl AsRef<[u8]> for Advertised {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

fn too_many(crowded: Crowded) -> Response<Body> {
    let mut refusal = text(StatusCode::TOO_MANY_REQUESTS, &crowded.to_string());
    refusal.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("10"));
    refusal
}

async fn serve(
    service: Service,
    State(state): State<GitHttp>,
    Path(repository): Path<String>,
    headers: HeaderMap,
    request: Request,
) -> GitAnswer {
    let (user, app) = authorize(&state, &headers, &repository).await?;
    // A browser sends a password that it has by itself, and a page of somebody else may
    // make it send a form or plain text, but not this.
    if !is_of(service, &headers) {
        let reason =
            format!("the body of this request must be of the type application/x-{}-request", service.name());
        return Err(text(StatusCode::UNSUPPORTED_MEDIA_TYPE, &reason));
    }
    let packed = is_packed(&headers).ok_or_else(|| {
        text(StatusCode::UNSUPPORTED_MEDIA_TYPE, "a body is packed with gzip or not at all")
    })?;
    let conversation = state.pushes.converse(&user.name).map_err(too_many)?;
    let (output, body) = streamed();
    let input = read_body(request, packed);
    tokio::spawn(async move {
        let ended = match service {
            Service::ReceivePack => state.pushes.receive(&app, conversation, input, output.clone()).await,
            Service::UploadPack => state.pushes.upload(&app, conversation, input, output.clone(), true).await,
        };
        if let Err(error) = ended {
            tracing::error!(app = %app.name(), service = service.name(), error = chain(&error), "a git request failed");
            let _ = output.send(error_packet(&unavailable(&error)).into()).await;
        }
    });
    Ok(answer(&format!("application/x-{}-result", service.name()), body))
}

/// The app, for a user whose token is the password and who may use it.
async fn authorize(
    state: &GitHttp,
    headers: &HeaderMap,
    repository: &str,
) -> Result<(User, AppHandle), Response<Body>> {
    let user = user_of(state, headers).await.map_err(|e| failed(&e))?;
    let Some(user) = user else {
        let mut response = text(
            StatusCode::UNAUTHORIZED,
            "log in with your user name and API token; `deis git:remote` sets git up to do so",
        );
        let realm = HeaderValue::from_static("Basic realm=\"deis\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, realm);
        return Err(response);
    };
    let app = app_for(&state.platform, &user, repository).await;
    let app = app.ok_or_else(|| text(StatusCode::NOT_FOUND, &no_such_app(repository)))?;
    Ok((user, app))
}

async fn user_of(state: &GitHttp, headers: &HeaderMap) -> Result<Option<User>, deis_core::Error> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let only = given.next().filter(|_| given.next().is_none());
    let pair = only
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))
        .and_then(|(_, encoded)| BASE64_STANDARD.decode(encoded.trim()).ok())
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let Some((name, token)) = pair.as_deref().and_then(|pair| pair.split_once(':')) else { return Ok(None) };
    let user = state.platform.user_by_token(&token_hash(token)).await?;
    Ok(user.filter(|user| user.active && user.name.as_str() == name))
}

/// How long a client may go on sending what nobody wants any more.
const REFUSED: Duration = Duration::from_secs(30);

/// Whether a client packed its body with gzip, as git does. `None` for anything else, which would be read as what it is
/// not.
fn is_packed(headers: &HeaderMap) -> Option<bool> {
    let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
    match (codings.next().map(HeaderValue::as_bytes), codings.next()) {
        (None | Some(b"identity"), None) => Some(false),
        (Some(b"gzip" | b"x-gzip"), None) => Some(true),
        _ => None,
    }
}

/// Whether a body is said to be what git sends, and nothing else.
fn is_of(service: Service, headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let wanted = format!("application/x-{}-request", service.name());
    matches!((types.next(), types.next()), (Some(only), None) if only.as_bytes() == wanted.as_bytes())
}

/// The body of a request, unpacked where the client packed it.
fn read_body(request: Request, packed: bool) -> GitInput {
    let (sender, input) = git_input(packed);
    tokio::spawn(async move {
        let mut chunks = request.into_body().into_data_stream();
        while let Some(chunk) = chunks.next().await {
            if sender.send(chunk.map_err(io::Error::other)).await.is_err() {
                break;
            }
        }
        drop(sender);
        // Git reads why it was refused once it has sent its pack, and not if the connection ends under it.
        let rest = async { while chunks.next().await.is_some_and(|chunk| chunk.is_ok()) {} };
        let _ = tokio::time::timeout(REFUSED, rest).await;
    });
    input
}

/// A channel whose contents are the answer's body.
fn streamed() -> (mpsc::Sender<Bytes>, Body) {
    let (sender, receiver) = mpsc::channel::<Bytes>(CHUNKS);
    let stream = futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|chunk| (Ok::<_, std::convert::Infallible>(chunk), receiver))
    });
    (sender, Body::from_stream(stream))
}

fn answer(kind: &str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let kind = HeaderValue::from_str(kind).expect("names of git's services are valid header values");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Proxies must not hold back the lines of a build.
    response
        .headers_mut()
        .insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

fn text(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(format!("{text}\n")));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn failed(error: &deis_core::Error) -> Response<Body> {
    tracing::error!(error = chain(error), "a git request failed");
    text(StatusCode::SERVICE_UNAVAILABLE, &unavailable(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_packed_in_one_way_or_not_at_all() {
        let of = |values: &[&'static str]| {
            let values = values.iter().map(|v| (header::CONTENT_ENCODING, HeaderValue::from_static(v)));
            is_packed(&values.collect())
        };
        assert_eq!((of(&[]), of(&["identity"])), (Some(false), Some(false)));
        assert_eq!((of(&["gzip"]), of(&["x-gzip"])), (Some(true), Some(true)));
        for odd in [&["br"][..], &["gzip, gzip"], &["gzip", "gzip"], &["deflate"], &[""]] {
            assert_eq!(of(odd), None, "{odd:?}");
        }
    }
}
