//! Whose a request is, by its host.

use std::net::{IpAddr, Ipv6Addr};

use http::{Request, header};

/// The host of a request, lower-cased and without port; `None` if it names none, several, or one that cannot be.
pub(super) fn host_of<B>(request: &Request<B>) -> Option<String> {
    let mut values = request.headers().get_all(header::HOST).iter();
    let (Some(header), None) = (values.next(), values.next()) else { return None };
    let host = parse(header.to_str().ok()?)?;
    // Whoever asks for another scheme's resource means no app of ours (RFC 9110, 7.4).
    if request.uri().scheme_str().is_some_and(|scheme| scheme != "http" && scheme != "https") {
        return None;
    }
    // A target with a host of its own says whose the request is (RFC 9112, 3.2.2).
    match request.uri().authority() {
        Some(authority) => parse(authority.as_str()),
        None => Some(host),
    }
}

/// Whether the platform itself is meant: a bare address, its domain, or `deis` (and the original's `deis-builder`)
/// below that.
pub(super) fn is_platform(host: &str, domain: &str) -> bool {
    // An address is nobody's app: whoever has no name for this server means the server itself.
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if bare.parse::<IpAddr>().is_ok() || host == "localhost" || host == domain {
        return true;
    }
    let label = host.strip_suffix(domain).and_then(|rest| rest.strip_suffix('.'));
    matches!(label, Some("deis" | "deis-builder"))
}

/// A name or an address with an optional port. Names may have underscores, which browsers send.
pub(super) fn parse(text: &str) -> Option<String> {
    let split = if text.starts_with('[') { text.find(']').map(|end| end + 1) } else { text.find(':') };
    let (name, port) = text.split_at(split.unwrap_or(text.len()));
    // The port is checked and then forgotten: routes go by name only, but what is no port could be another name.
    let digits = if port.is_empty() { port } else { port.strip_prefix(':')? };
    let is_port = digits.bytes().all(|b| b.is_ascii_digit()) && digits.parse::<u16>().is_ok_and(|n| n > 0);
    if !(digits.is_empty() || is_port) {
        return None;
    }
    let valid = match name.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?.parse::<Ipv6Addr>().is_ok(),
        None => is_name(name),
    };
    valid.then(|| name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase())
}

fn is_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let mut labels = name.strip_suffix('.').unwrap_or(name).split('.');
    name.len() <= 254 && labels.all(|label| (1..=63).contains(&label.len()) && label.bytes().all(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(value: &str) -> Option<String> {
        host_of(&Request::builder().header("host", value).body(()).unwrap())
    }

    #[test]
    fn hosts_are_read_without_port_and_case() {
        for (text, read) in [
            ("Blog.Localhost:8000", "blog.localhost"),
            ("blog.localhost.", "blog.localhost"),
            ("blog.localhost:", "blog.localhost"),
            ("under_score.localhost", "under_score.localhost"),
            ("127.0.0.1:80", "127.0.0.1"),
            ("[::1]:8000", "[::1]"),
        ] {
            assert_eq!(host(text).as_deref(), Some(read));
        }
    }

    #[test]
    fn what_cannot_be_a_host_is_none() {
        for bad in [
            "",
            "a b",
            "a@b.com",
            "a.com/",
            "blog.localhost:99999",
            "blog.localhost:0",
            "blog.localhost:80:80",
            "blog.localhost:+80",
            "a..b",
            "..",
            "blog.localhost..",
            ".blog.localhost",
            "*.localhost",
            "[[::1]]]",
            "[::1",
            "[::1]x",
            "[blog]",
            "::1",
        ] {
            assert_eq!(host(bad), None, "{bad:?}");
        }
        let twice = Request::builder().header("host", "a").header("host", "b").body(()).unwrap();
        assert_eq!(host_of(&twice), None);
        let absolute = |header: Option<&str>| {
            let request = Request::builder().uri("http://blog.example.com:80/x");
            host_of(&header.into_iter().fold(request, |r, h| r.header("host", h)).body(()).unwrap())
        };
        assert_eq!(absolute(None), None, "every request of HTTP/1.1 has the header");
        assert_eq!(absolute(Some("other")).as_deref(), Some("blog.example.com"));
        let other = Request::builder().uri("ftp://blog.example.com/x").header("host", "blog.example.com");
        assert_eq!(host_of(&other.body(()).unwrap()), None, "another scheme is nobody's");
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
