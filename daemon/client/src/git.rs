//! The git side of the client: remotes of the working tree, and which app they mean.

use std::{env, path::PathBuf, process::Command};

use reqwest::Url;

use super::{
    app_name::AppName,
    error::{ClientError, Result},
    http::{canonical_host, same_place},
};

/// Port of SSH where a URL names none.
const SSH: u16 = 22;

/// A git remote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Remote {
    /// Its name.
    pub name: String,
    /// Its push URL.
    pub url: String,
}

/// The app that a remote names, if it leads to the platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lead {
    /// The app.
    pub app: AppName,
    /// Port of SSH on the controller's own host. Other services take pushes there too: the remote leads to the
    /// platform only if this is the platform's port.
    pub ssh_port: Option<u16>,
}

/// Runs git with these arguments in the present directory.
pub(super) fn git(args: &[&str]) -> Result<String> {
    let output = Command::new("git").args(args).output().map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => ClientError::Git("it is not installed".to_owned()),
        _ => ClientError::Git(e.to_string()),
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned());
    }
    Err(ClientError::Git(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

/// Whether the present directory is inside a git working tree.
pub(super) fn is_repository() -> bool {
    git(&["rev-parse", "--git-dir"]).is_ok()
}

/// The push remotes of the working tree; none outside one.
pub(super) fn remotes() -> Vec<Remote> {
    let Ok(text) = git(&["remote", "-v"]) else { return Vec::new() };
    text.lines()
        .filter_map(|line| {
            let (name, rest) = line.split_once('\t')?;
            let url = rest.strip_suffix(" (push)")?;
            Some(Remote { name: name.to_owned(), url: url.to_owned() })
        })
        .collect()
}

/// Where `url` leads, in any of the three forms: `http://host:8000/app.git`, `ssh://git@host:2222/app.git`, and
/// the original's host `<first label>-builder`. Nothing for a URL that cannot be the platform's.
pub(super) fn lead_of(url: &str, controller: &str) -> Option<Lead> {
    let (url, controller) = (parse(url)?, Url::parse(controller).ok()?);
    let app = app_in(url.path())?;
    let (host, platform) =
        (url.host_str()?.to_ascii_lowercase(), controller.host_str()?.to_ascii_lowercase());
    if url.scheme() != "ssh" {
        return same_place(&url, &controller).then_some(Lead { app, ssh_port: None });
    }
    if is_builder(&host, &platform) {
        return Some(Lead { app, ssh_port: None });
    }
    let same = canonical_host(&host) == canonical_host(&platform);
    same.then(|| Lead { app, ssh_port: Some(url.port().unwrap_or(SSH)) })
}

/// A remote's URL; git's short form `git@host:path` means SSH.
fn parse(url: &str) -> Option<Url> {
    if url.contains("://") {
        return Url::parse(url).ok();
    }
    let (host, path) = url.split_once(':').filter(|(host, _)| !host.contains('/'))?;
    Url::parse(&format!("ssh://{host}/{}", path.trim_start_matches('/'))).ok()
}

/// Apps are not in folders: the path is one segment, or it belongs to another service.
fn app_in(path: &str) -> Option<AppName> {
    let name = path.strip_prefix('/')?.trim_end_matches('/');
    AppName::new(name.strip_suffix(".git").unwrap_or(name)).ok()
}

/// The original's naming of the builder: `deis.example.com` → `deis-builder.example.com`.
fn is_builder(host: &str, controller: &str) -> bool {
    let builder = match controller.split_once('.') {
        Some((first, rest)) => format!("{first}-builder.{rest}"),
        None => format!("{controller}-builder"),
    };
    let local = canonical_host(controller) == "localhost";
    host == builder || (local && matches!(host, "localhost-builder" | "deis-builder.localhost"))
}

/// How this program is called, for git's configuration: an absolute path that keeps the name `deis`.
pub(super) fn own_path() -> Result<PathBuf> {
    let called = env::args_os().next().map(PathBuf::from).unwrap_or_default();
    let found = if called.components().count() > 1 {
        Some(called)
    } else {
        env::var_os("PATH")
            .and_then(|path| env::split_paths(&path).map(|dir| dir.join(&called)).find(|file| file.is_file()))
    };
    // Entries of PATH may be relative too.
    found
        .and_then(|program| std::path::absolute(program).ok())
        .ok_or_else(|| ClientError::Other("cannot find out where this program is".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: &str = "http://localhost:8000";

    fn lead(url: &str, controller: &str) -> Option<(String, Option<u16>)> {
        lead_of(url, controller).map(|l| (l.app.to_string(), l.ssh_port))
    }

    #[test]
    fn all_three_forms_of_remote_name_the_app() {
        let blog = |port| Some(("blog".to_owned(), port));
        for (url, port) in [
            ("http://localhost:8000/blog.git", None),
            ("http://ann@localhost:8000/blog.git", None),
            ("http://deis.localhost:8000/blog.git", None),
            ("http://127.0.0.1:8000/blog.git", None),
            ("ssh://git@localhost:2222/blog.git", Some(2222)),
            ("ssh://git@127.0.0.1:2222/blog.git", Some(2222)),
            ("ssh://git@deis-builder.localhost:2222/blog.git", None),
        ] {
            assert_eq!(lead(url, LOCAL), blog(port), "{url}");
            assert_eq!(lead(url, "http://deis.localhost:8000"), blog(port), "{url}");
        }
        for (url, port) in [
            ("http://deis.example.com/blog.git", None),
            ("http://deis.example.com:80/blog.git", None),
            ("ssh://git@deis-builder.example.com:2222/blog.git", None),
            ("git@deis-builder.example.com:blog.git", None),
            ("ssh://git@deis.example.com:2222/blog.git", Some(2222)),
            ("git@deis.example.com:blog.git", Some(22)),
        ] {
            assert_eq!(lead(url, "http://deis.example.com"), blog(port), "{url}");
        }
    }

    #[test]
    fn other_services_name_nothing() {
        for url in [
            "https://github.com/deis/example.git",
            "/srv/git/blog.git",
            "/srv/git:8000/blog.git",
            "http://localhost:3000/blog.git",
            "http://localhost/blog.git",
            "https://localhost:8000/blog.git",
            "http://localhost:8000/me/blog.git",
            "http://gitea.localhost:8000/blog.git",
            "git@localhost:team/blog.git",
            "ssh://git@localhost:2222/team/blog.git",
            "http://localhost:8000/Not_An_App.git",
            "http://localhost:8000/",
        ] {
            assert_eq!(lead(url, LOCAL), None, "{url}");
        }
        for url in ["http://example.com/blog.git", "ssh://git@example.com:2222/blog.git"] {
            assert_eq!(lead(url, "http://deis.example.com"), None, "{url}");
        }
    }
}
