//! The git side of the client: remotes of the working tree, and which app they mean.

use std::{env, path::PathBuf, process::Command};

use super::{
    error::{ClientError, Result},
    http::host_of,
};

/// A git remote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Remote {
    /// Its name.
    pub name: String,
    /// Its push URL.
    pub url: String,
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

/// The app that `url` names if it leads to the platform of `controller`, in any of the three forms:
/// `http://host:8000/app.git`, `ssh://git@host:2222/app.git`, and the original's `<first label>-builder` host.
pub(super) fn app_of(url: &str, controller: &str) -> Option<String> {
    let platform = host_of(controller)?;
    let scp_like = !url.contains("://") && url.contains(':');
    let normal = if scp_like { format!("ssh://{}", url.replacen(':', "/", 1)) } else { url.to_owned() };
    let host = host_of(&normal)?;
    let same = host == platform || host == builder_host(&platform) || same_domain(&host, &platform);
    if !same {
        return None;
    }
    let last = normal.trim_end_matches('/').rsplit('/').next()?;
    let app = last.split('.').next().unwrap_or(last);
    (!app.is_empty() && last != host).then(|| app.to_owned())
}

/// Host of the builder in the original's naming: `deis.example.com` → `deis-builder.example.com`.
fn builder_host(controller: &str) -> String {
    match controller.split_once('.') {
        Some((first, rest)) => format!("{first}-builder.{rest}"),
        None => format!("{controller}-builder"),
    }
}

/// `deis.localhost`, `localhost` and a loopback address are one platform.
fn same_domain(a: &str, b: &str) -> bool {
    let strip = |host: &str| {
        let host = host.strip_prefix("deis.").unwrap_or(host);
        if super::http::is_loopback_name(host) { "localhost".to_owned() } else { host.to_owned() }
    };
    strip(a) == strip(b)
}

/// How this program is called, for git's configuration: an absolute path that keeps the name `deis`.
pub(super) fn own_path() -> Result<PathBuf> {
    let called = env::args_os().next().map(PathBuf::from).unwrap_or_default();
    let found = if called.components().count() > 1 {
        env::current_dir().ok().map(|dir| dir.join(&called))
    } else {
        env::var_os("PATH")
            .and_then(|path| env::split_paths(&path).map(|dir| dir.join(&called)).find(|file| file.is_file()))
    };
    found.ok_or_else(|| ClientError::Other("cannot find out where this program is".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_three_forms_of_remote_name_the_app() {
        let local = "http://localhost:8000";
        assert_eq!(app_of("http://localhost:8000/blog.git", local).as_deref(), Some("blog"));
        assert_eq!(app_of("http://deis.localhost:8000/blog.git", local).as_deref(), Some("blog"));
        assert_eq!(app_of("ssh://git@localhost:2222/blog.git", local).as_deref(), Some("blog"));
        assert_eq!(app_of("ssh://git@127.0.0.1:2222/blog.git", local).as_deref(), Some("blog"));
        let remote = "http://deis.example.com";
        assert_eq!(
            app_of("ssh://git@deis-builder.example.com:2222/blog.git", remote).as_deref(),
            Some("blog")
        );
        assert_eq!(app_of("git@deis-builder.example.com:blog.git", remote).as_deref(), Some("blog"));
    }

    #[test]
    fn other_hosts_name_nothing() {
        assert_eq!(app_of("https://github.com/deis/example.git", "http://localhost:8000"), None);
        assert_eq!(app_of("/srv/git/blog.git", "http://localhost:8000"), None);
    }
}
