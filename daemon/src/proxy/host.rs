//! Whose a request is, by its host.

use std::net::IpAddr;

use http::{Request, header};

/// The host of a request, lower-cased and without port; `None` if it names none, or several.
pub(super) fn host_of<B>(request: &Request<B>) -> Option<String> {
    let mut values = request.headers().get_all(header::HOST).iter();
    let header = values.next();
    if values.next().is_some() {
        return None;
    }
    // A target with a host of its own says whose the request is (RFC 9112, 3.2.2).
    let host = match (request.uri().authority(), header) {
        (Some(authority), _) => authority.as_str(),
        (None, Some(value)) => value.to_str().ok()?,
        (None, None) => return None,
    };
    let name = strip_port(host.trim()).trim_end_matches('.').to_ascii_lowercase();
    let valid = |c: char| c.is_ascii_alphanumeric() || "-._[]:*".contains(c);
    (!name.is_empty() && name.chars().all(valid)).then_some(name)
}

/// Whether the platform itself is meant: a bare address, its domain, or `deis` (and the original's `deis-builder`)
/// below that.
pub(super) fn is_platform(host: &str, domain: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if bare.parse::<IpAddr>().is_ok() || host == "localhost" || host == domain {
        return true;
    }
    let label = host.strip_suffix(domain).and_then(|rest| rest.strip_suffix('.'));
    matches!(label, Some("deis" | "deis-builder"))
}

fn strip_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(value: &str) -> Option<String> {
        host_of(&Request::builder().header("host", value).body(()).unwrap())
    }

    #[test]
    fn hosts_are_read_without_port_and_case() {
        assert_eq!(host("Blog.Localhost:8000").as_deref(), Some("blog.localhost"));
        assert_eq!(host("blog.localhost.").as_deref(), Some("blog.localhost"));
        assert_eq!(host("[::1]:8000").as_deref(), Some("[::1]"));
        assert_eq!(host("a b"), None);
        let twice = Request::builder().header("host", "a").header("host", "b").body(()).unwrap();
        assert_eq!(host_of(&twice), None);
    }

    #[test]
    fn the_platform_has_its_own_names() {
        for own in
            ["127.0.0.1", "[::1]", "localhost", "deis.example.com", "example.com", "deis-builder.example.com"]
        {
            assert!(is_platform(own, "example.com"), "{own}");
        }
        for app in ["blog.example.com", "example.org", "x.deis.example.com"] {
            assert!(!is_platform(app, "example.com"), "{app}");
        }
    }
}
