//! The file server of static apps: this very executable under another name.
//!
//! The answer with a file is `tower-http`'s. Which file a path means is decided here, more strictly than there: nothing
//! that begins with a dot, nothing outside the folder, be it through a link, and no redirect to another host.

use std::{
    borrow::Cow,
    collections::HashMap,
    ffi::OsString,
    net::{Ipv4Addr, SocketAddr},
    path::{Component, Path, PathBuf},
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header},
    serve::ListenerExt as _,
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use percent_encoding::percent_decode_str;
use sha2::{Digest as _, Sha256};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tower_http::services::ServeFile;

/// Name that the executable is called by to be the file server.
pub const NAME: &str = "deis-static";

/// Largest file that has a tag, in bytes.
const MAX_TAGGED: u64 = 16 << 20;

/// What is served.
#[derive(Debug)]
struct Site {
    root: PathBuf,
    tags: Tags,
}

/// Serves the folder named by the first argument on `$HOST` and `$PORT` until SIGTERM. Without a `HOST` only this machine
/// reaches it.
pub fn main(args: &[OsString]) -> ExitCode {
    let root = args.get(1).map_or_else(|| PathBuf::from("."), PathBuf::from);
    let port = std::env::var("PORT").ok().and_then(|p| p.parse().ok()).unwrap_or(5000);
    let host = std::env::var("HOST").ok().and_then(|h| h.parse().ok());
    let address = SocketAddr::new(host.unwrap_or(Ipv4Addr::LOCALHOST.into()), port);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.and_then(|runtime| runtime.block_on(serve(root, address))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{NAME}: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(root: PathBuf, address: SocketAddr) -> std::io::Result<()> {
    let root = root.canonicalize()?;
    let listener = TcpListener::bind(address).await?;
    println!("serving {} on {address}", root.display());
    let mut stop = signal(SignalKind::terminate())?;
    let app = Router::new().fallback(file).with_state(Arc::new(Site { root, tags: Tags::default() }));
    // A head and a body that are written apart would wait for each other's acknowledgement, 40 ms each time.
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, app)
        .with_graceful_shutdown(async move {
            stop.recv().await;
        })
        .await
}

async fn file(State(site): State<Arc<Site>>, request: Request) -> Response<Body> {
    let Site { root, tags } = &*site;
    let is_head = request.method() == Method::HEAD;
    if !is_head && request.method() != Method::GET {
        return text(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed\n");
    }
    let path = request.uri().path();
    let Some(wanted) = decode(path).and_then(|p| below(root, &p)) else { return not_found(&site).await };
    let wanted = if wanted.is_dir() {
        if !path.ends_with('/') {
            return redirect(&folder_url(request.uri()));
        }
        wanted.join("index.html")
    } else {
        wanted
    };
    // A link may lead anywhere; what it leads to must still be inside.
    let inside = wanted.canonicalize().ok().filter(|real| real.starts_with(root.as_path()) && real.is_file());
    match inside {
        Some(file) => answer(&file, tags, request.headers(), is_head).await,
        None => not_found(&site).await,
    }
}

/// The app's own page for what is not there, if it has one.
async fn not_found(site: &Site) -> Response<Body> {
    let page = site.root.join("404.html");
    if page.is_file() {
        let mut response = answer(&page, &site.tags, &HeaderMap::new(), false).await;
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    }
    text(StatusCode::NOT_FOUND, "Not found\n")
}

/// The file with what HTTP knows of files: ranges, HEAD, a tag.
async fn answer(path: &Path, tags: &Tags, asked: &HeaderMap, is_head: bool) -> Response<Body> {
    let tag = tags.of(path).await;
    let is_fresh = match (asked.get(header::IF_NONE_MATCH), &tag) {
        (Some(known), Some(tag)) => {
            known.to_str().is_ok_and(|all| all.split(',').any(|one| is_tag(one, tag)))
        }
        _ => false,
    };
    let mut response = if is_fresh {
        let mut fresh = Response::new(Body::empty());
        *fresh.status_mut() = StatusCode::NOT_MODIFIED;
        fresh
    } else {
        let mut request = http::Request::new(Body::empty());
        *request.method_mut() = if is_head { Method::HEAD } else { Method::GET };
        // A range of another version than the client has the rest of would make a file that never was.
        let is_range = asked.get(header::IF_RANGE).is_none_or(|known| Some(known) == tag.as_ref());
        if let Some(range) = asked.get(header::RANGE).filter(|_| is_range) {
            request.headers_mut().insert(header::RANGE, range.clone());
        }
        match ServeFile::new(path).try_call(request).await {
            Ok(response) => response.map(Body::new),
            Err(error) => {
                eprintln!("{NAME}: {}: {error}", path.display());
                return text(StatusCode::INTERNAL_SERVER_ERROR, "The file cannot be read\n");
            }
        }
    };
    let headers = response.headers_mut();
    // The times of files in a slug are those of no clock: a file that changed has the time of its predecessor.
    headers.remove(header::LAST_MODIFIED);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Some(tag) = tag {
        headers.insert(header::ETAG, tag);
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if let Some(kind) = kind.filter(|kind| kind.starts_with("text/"))
        && let Ok(kind) = HeaderValue::from_str(&format!("{kind}; charset=utf-8"))
    {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    response
}

/// Whether a member of `If-None-Match` names this tag; a weak one does, too.
fn is_tag(member: &str, tag: &HeaderValue) -> bool {
    let member = member.trim();
    member == "*" || member.strip_prefix("W/").unwrap_or(member).as_bytes() == tag.as_bytes()
}

/// Tags of files, made of their bytes: the same over all releases in which a file is the same.
#[derive(Debug, Default)]
struct Tags(Mutex<HashMap<PathBuf, HeaderValue>>);

impl Tags {
    /// The tag of a file. A large one has none: to read all of it first costs more than a tag saves.
    async fn of(&self, path: &Path) -> Option<HeaderValue> {
        if let Some(known) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(path) {
            return Some(known.clone());
        }
        if tokio::fs::metadata(path).await.ok()?.len() > MAX_TAGGED {
            return None;
        }
        let bytes = tokio::fs::read(path).await.ok()?;
        let digest = tokio::task::spawn_blocking(move || Sha256::digest(bytes)).await.ok()?;
        let tag =
            HeaderValue::from_str(&format!("\"{}\"", BASE64_URL_SAFE_NO_PAD.encode(&digest[..12]))).ok()?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), tag.clone());
        Some(tag)
    }
}

/// The file that a path means; `None` if it leads out, or to what begins with a dot.
fn below(root: &Path, path: &str) -> Option<PathBuf> {
    let mut file = root.to_path_buf();
    for part in Path::new(path.trim_start_matches('/')).components() {
        match part {
            Component::Normal(name) if !name.to_string_lossy().starts_with('.') => file.push(name),
            Component::Normal(name) if name == ".well-known" => file.push(name),
            _ => return None,
        }
    }
    Some(file)
}

/// The path of a URL as text; `None` for one that is no text, or has a NUL in it.
fn decode(path: &str) -> Option<String> {
    percent_decode_str(path).decode_utf8().ok().map(Cow::into_owned).filter(|path| !path.contains('\0'))
}

/// The same with a slash at its end. One slash at its start, whatever was asked for: two would name another host.
fn folder_url(asked: &Uri) -> String {
    let query = asked.query().map(|query| format!("?{query}")).unwrap_or_default();
    format!("/{}/{query}", asked.path().trim_matches('/'))
}

fn redirect(to: &str) -> Response<Body> {
    let mut response = text(StatusCode::MOVED_PERMANENTLY, "");
    if let Ok(to) = HeaderValue::from_str(to) {
        response.headers_mut().insert(header::LOCATION, to);
    }
    response
}

fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test may block")]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_redirected_to_on_this_host_only() {
        for (asked, url) in [
            ("/docs", "/docs/"),
            ("//docs", "/docs/"),
            ("///evil.example.com/%2e", "/evil.example.com/%2e/"),
            ("/docs?page=2", "/docs/?page=2"),
        ] {
            assert_eq!(folder_url(&asked.parse().unwrap()), url);
        }
    }

    async fn ask(site: &Arc<Site>, path: &str, fields: &[(&str, &str)]) -> (StatusCode, HeaderMap, String) {
        let mut request = http::Request::get(path);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let response = file(State(Arc::clone(site)), request.body(Body::empty()).unwrap()).await;
        let (head, body) = response.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        (head.status, head.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    fn site(folder: &Path) -> Arc<Site> {
        Arc::new(Site { root: folder.canonicalize().unwrap(), tags: Tags::default() })
    }

    #[tokio::test]
    async fn a_tag_is_of_the_bytes_whatever_the_time_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let page = folder.path().join("index.html");
        let write = |text: &str| {
            std::fs::write(&page, text).unwrap();
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(946_684_801);
            std::fs::File::options().write(true).open(&page).unwrap().set_modified(time).unwrap();
        };
        write("one");
        let (status, first, body) = ask(&site(folder.path()), "/", &[]).await;
        assert_eq!((status, body.as_str()), (StatusCode::OK, "one"));
        assert_eq!(first[header::CONTENT_TYPE], "text/html; charset=utf-8");
        assert!(first.get(header::LAST_MODIFIED).is_none());
        let tag = first[header::ETAG].to_str().unwrap();
        for same in [tag, "*", &format!("\"other\", W/{tag}")] {
            let (status, again, body) = ask(&site(folder.path()), "/", &[("if-none-match", same)]).await;
            assert_eq!((status, body.as_str()), (StatusCode::NOT_MODIFIED, ""), "{same}");
            assert_eq!(again[header::ETAG], tag);
        }
        // The next release: as many bytes, and the time that all slugs give to their oldest files.
        write("two");
        let fields = [("if-none-match", tag), ("if-modified-since", "Sat, 01 Jan 2000 00:00:01 GMT")];
        let (status, second, body) = ask(&site(folder.path()), "/", &fields).await;
        assert_eq!((status, body.as_str()), (StatusCode::OK, "two"));
        assert_ne!(second[header::ETAG], tag);
    }

    #[tokio::test]
    async fn ranges_are_of_the_version_that_the_client_has() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.txt"), "0123456789").unwrap();
        std::fs::write(folder.path().join("404.html"), "nothing here").unwrap();
        let site = site(folder.path());
        let (status, head, body) = ask(&site, "/a.txt", &[("range", "bytes=2-4")]).await;
        assert_eq!((status, body.as_str()), (StatusCode::PARTIAL_CONTENT, "234"));
        assert_eq!(head[header::CONTENT_RANGE], "bytes 2-4/10");
        let tag = head[header::ETAG].to_str().unwrap();
        let (status, _, body) = ask(&site, "/a.txt", &[("range", "bytes=-2"), ("if-range", tag)]).await;
        assert_eq!((status, body.as_str()), (StatusCode::PARTIAL_CONTENT, "89"));
        let (status, _, body) =
            ask(&site, "/a.txt", &[("range", "bytes=2-4"), ("if-range", "\"old\"")]).await;
        assert_eq!((status, body.as_str()), (StatusCode::OK, "0123456789"));
        let (status, _, _) = ask(&site, "/a.txt", &[("range", "bytes=20-")]).await;
        assert_eq!(status, StatusCode::RANGE_NOT_SATISFIABLE);
        let (status, _, body) = ask(&site, "/none", &[("range", "bytes=2-4")]).await;
        assert_eq!((status, body.as_str()), (StatusCode::NOT_FOUND, "nothing here"));
        let known = site.tags.0.lock().unwrap();
        assert!(known.keys().any(|page| page.ends_with("404.html")), "it is read once for its tag");
    }

    #[test]
    fn paths_stay_inside() {
        let root = Path::new("/srv");
        assert_eq!(below(root, "/a/b.css"), Some(PathBuf::from("/srv/a/b.css")));
        for bad in ["/../etc/passwd", "/.git/config", "/a/../../b", "/.env"] {
            assert_eq!(below(root, bad), None, "{bad}");
        }
        assert_eq!(decode("/a%20b").as_deref(), Some("/a b"));
        assert_eq!(decode("/%ff"), None);
        assert_eq!(decode("/%00"), None);
    }
}
