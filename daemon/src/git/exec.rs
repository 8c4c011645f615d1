//! What a client may ask for over SSH.

use deis_build::git::Service;

/// A command, parsed once; no part of it reaches a shell or an argument list.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Exec {
    Ping,
    /// A git service and the name of a repository.
    Git(Service, String),
}

impl Exec {
    /// `git-receive-pack '<repository>'` in the forms that clients use: with or without quotes, and `git` apart.
    pub(super) fn parse(command: &str) -> Option<Self> {
        let command = command.trim();
        if command == "ping" {
            return Some(Self::Ping);
        }
        let (service, rest) = if let Some(rest) = command.strip_prefix("git ") {
            let (verb, rest) = rest.trim_start().split_once(' ')?;
            (format!("git-{verb}"), rest)
        } else {
            let (service, rest) = command.split_once(' ')?;
            (service.to_owned(), rest)
        };
        let repository = unquoted(rest.trim());
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
        let valid = !repository.is_empty()
            && !repository.starts_with('-')
            && !repository.contains("..")
            && repository.chars().all(plain);
        valid.then_some(Self::Git(Service::from_name(&service)?, repository.to_owned()))
    }
}

/// The text within one pair of quotes.
fn unquoted(text: &str) -> &str {
    let within = |quote| text.strip_prefix(quote).and_then(|t| t.strip_suffix(quote));
    within('\'').or_else(|| within('"')).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_commands_and_a_ping_are_known() {
        let git = |s, r: &str| Some(Exec::Git(s, r.to_owned()));
        assert_eq!(Exec::parse("git-receive-pack '/blog.git'"), git(Service::ReceivePack, "/blog.git"));
        assert_eq!(Exec::parse("git-upload-pack 'blog.git'"), git(Service::UploadPack, "blog.git"));
        assert_eq!(Exec::parse("git receive-pack 'blog'"), git(Service::ReceivePack, "blog"));
        assert_eq!(Exec::parse("git-receive-pack blog.git"), git(Service::ReceivePack, "blog.git"));
        assert_eq!(Exec::parse("git-receive-pack \"blog\""), git(Service::ReceivePack, "blog"));
        assert_eq!(Exec::parse("ping"), Some(Exec::Ping));
        for bad in [
            "ls",
            "git-receive-pack",
            "git-receive-pack ''",
            "git-receive-pack '../x'",
            "git-receive-pack '/.'./.'./etc/x.git'",
            "git-receive-pack --help",
            "git-receive-pack -- app",
            "git-receive-pack 'app",
            "git-receive-pack $(id)",
            "git-upload-archive 'app'",
            "git upload-archive 'app'",
            "env X=1 git-receive-pack 'app'",
            "sh -c id",
        ] {
            assert_eq!(Exec::parse(bad), None, "{bad}");
        }
    }
}
