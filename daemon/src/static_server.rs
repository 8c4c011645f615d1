//! The file server of static apps: this very executable under another name.

use std::{
    ffi::OsString,
    net::{Ipv4Addr, SocketAddr},
    path::{Component, Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::UNIX_EPOCH,
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header},
    serve::ListenerExt as _,
};
use tokio::{
    fs::File,
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::io::ReaderStream;

/// Name that the executable is called by to be the file server.
pub const NAME: &str = "deis-static";

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
    let app = Router::new().fallback(file).with_state(Arc::new(root));
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

async fn file(State(root): State<Arc<PathBuf>>, request: Request) -> Response<Body> {
    let is_head = request.method() == Method::HEAD;
    if !is_head && request.method() != Method::GET {
        return text(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed\n");
    }
    let path = request.uri().path();
    let Some(wanted) = decode(path).and_then(|p| below(&root, &p)) else { return not_found(&root).await };
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
        Some(file) => answer(&file, StatusCode::OK, request.headers(), is_head).await,
        None => not_found(&root).await,
    }
}

/// The app's own page for what is not there, if it has one.
async fn not_found(root: &Path) -> Response<Body> {
    let page = root.join("404.html");
    if page.is_file() {
        return answer(&page, StatusCode::NOT_FOUND, &HeaderMap::new(), false).await;
    }
    text(StatusCode::NOT_FOUND, "Not found\n")
}

async fn answer(path: &Path, status: StatusCode, asked: &HeaderMap, is_head: bool) -> Response<Body> {
    let opened = async {
        let file = File::open(path).await?;
        let meta = file.metadata().await?;
        Ok::<_, std::io::Error>((file, meta))
    };
    let Ok((file, meta)) = opened.await else { return text(StatusCode::NOT_FOUND, "Not found\n") };
    let modified = meta.modified().ok().and_then(|m| m.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    let tag = format!("\"{:x}-{:x}\"", modified.as_millis(), meta.len());
    let fresh = asked.get(header::IF_NONE_MATCH).is_some_and(|t| t.as_bytes() == tag.as_bytes());
    let body = if is_head || fresh { Body::empty() } else { Body::from_stream(ReaderStream::new(file)) };
    let mut response = Response::new(body);
    *response.status_mut() = if fresh { StatusCode::NOT_MODIFIED } else { status };
    let headers = response.headers_mut();
    let value = |text: &str| HeaderValue::from_str(text).expect("digits and quotes are valid in a header");
    headers.insert(header::ETAG, value(&tag));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if !fresh {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(path)));
        headers.insert(header::CONTENT_LENGTH, value(&meta.len().to_string()));
    }
    response
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

fn decode(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        if *first == b'%' {
            let digits = tail.get(..2).and_then(|d| std::str::from_utf8(d).ok())?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok().filter(|p| !p.contains('\0'))
}

fn content_type(path: &Path) -> &'static str {
    match path.extension().and_then(|e| e.to_str()).unwrap_or_default() {
        "html" | "htm" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" | "map" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "avif" => "image/avif",
        "ico" => "image/x-icon",
        "txt" | "md" => "text/plain; charset=utf-8",
        "xml" => "application/xml",
        "pdf" => "application/pdf",
        "wasm" => "application/wasm",
        "woff" => "font/woff",
        "woff2" => "font/woff2",
        "mp4" => "video/mp4",
        "webmanifest" => "application/manifest+json",
        _ => "application/octet-stream",
    }
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

    #[test]
    fn paths_stay_inside() {
        let root = Path::new("/srv");
        assert_eq!(below(root, "/a/b.css"), Some(PathBuf::from("/srv/a/b.css")));
        for bad in ["/../etc/passwd", "/.git/config", "/a/../../b", "/.env"] {
            assert_eq!(below(root, bad), None, "{bad}");
        }
        assert_eq!(decode("/a%20b").as_deref(), Some("/a b"));
        assert_eq!(decode("/%zz"), None);
        assert_eq!(decode("/%00"), None);
    }
}
