//! Who sent a request, over which scheme and to which host: as this connection says, or as a proxy before this one says
//! if it is trusted.

use std::{net::IpAddr, str::FromStr};

use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

use super::host;

/// The scheme that a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP without TLS.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    /// Its name in a URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "http" | "ws" => Some(Self::Http),
            "https" | "wss" => Some(Self::Https),
            _ => None,
        }
    }

    fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Addresses of proxies before this one, which are believed what they say about their clients. None by default.
///
/// ```
/// use deis_daemon::proxy::TrustedProxies;
/// let trusted: TrustedProxies = "10.0.0.0/8, 192.0.2.7".parse().unwrap();
/// assert!(trusted.contains("10.1.2.3".parse().unwrap()));
/// assert!(!trusted.contains("192.0.2.8".parse().unwrap()));
/// assert!("10.0.0.0/99".parse::<TrustedProxies>().is_err());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Whether this address is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|range| range.contains(&address))
    }
}

/// A text that is no list of address ranges.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address and no range of addresses such as 10.0.0.0/8")]
pub struct BadRange(String);

impl FromStr for TrustedProxies {
    type Err = BadRange;

    fn from_str(text: &str) -> Result<Self, BadRange> {
        let ranges = text.split(',').map(str::trim).filter(|range| !range.is_empty());
        let parse = |range: &str| {
            let address = range.parse::<IpAddr>().map(IpNet::from);
            address.or_else(|_| range.parse()).map_err(|_| BadRange(range.to_owned()))
        };
        ranges.map(parse).collect::<Result<_, _>>().map(Self)
    }
}

/// What is known of whoever sent a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientInfo {
    /// The client's address.
    pub address: IpAddr,
    /// What it speaks.
    pub scheme: Scheme,
    /// The host, with a port if it has one, that it asked a trusted proxy for, if that is not the request's own.
    pub host: Option<String>,
    /// The port that it is connected to.
    pub port: u16,
    /// Whether a trusted proxy named that port by itself.
    is_port_told: bool,
    /// The trusted proxies between it and this one, the nearest to the client first.
    proxies: Vec<IpAddr>,
}

/// What one proxy says about whoever it got a request from.
#[derive(Default)]
struct Hop<'a> {
    client: Option<IpAddr>,
    scheme: Option<&'a str>,
    host: Option<&'a str>,
    port: Option<&'a str>,
}

impl ClientInfo {
    /// Of a request that came from `peer`, over `scheme` and to `port` of this proxy.
    ///
    /// Of a list of addresses the right-most one counts that is no trusted proxy's: what stands left of it was written
    /// by somebody who is not trusted. `Forwarded` and `X-Forwarded-For` may be given both if they agree; if not, one
    /// of them went through a proxy that does not know it, and neither is believed.
    pub(super) fn of(
        headers: &HeaderMap,
        peer: IpAddr,
        scheme: Scheme,
        port: u16,
        trusted: &TrustedProxies,
    ) -> Self {
        let peer = peer.to_canonical();
        let direct =
            Self { address: peer, scheme, host: None, port, is_port_told: false, proxies: Vec::new() };
        if !trusted.contains(peer) {
            return direct;
        }
        let (standard, usual) = (list(headers, "forwarded"), has_usual(headers));
        let by_standard = (!standard.is_empty()).then(|| direct.before(&standard_hops(&standard), trusted));
        let by_usual = usual.then(|| direct.before(&usual_hops(headers), trusted));
        match (by_standard, by_usual) {
            (Some(one), Some(other)) if one.address != other.address => direct,
            (_, Some(info)) | (Some(info), None) => info,
            (None, None) => direct,
        }
    }

    /// Follows the hops from the last one to the first that was written by a trusted proxy.
    fn before(&self, hops: &[Hop<'_>], trusted: &TrustedProxies) -> Self {
        let mut info = self.clone();
        for hop in hops.iter().rev() {
            // Each hop was written by the address that the one after it names, so this one is to be believed.
            let scheme = hop.scheme.and_then(Scheme::parse);
            let host = hop.host.filter(|host| host::parse(host).is_some());
            let host_port = host.and_then(|host| host.rsplit_once(':')?.1.parse().ok());
            info.host = host.map(str::to_owned).or(info.host);
            let told = hop.port.and_then(|port| port.parse().ok()).filter(|port| *port > 0);
            info.is_port_told =
                told.is_some() || (info.is_port_told && host_port.is_none() && scheme.is_none());
            info.port = match (told, scheme) {
                (Some(port), _) => port,
                (None, _) if host_port.is_some() => host_port.unwrap_or(info.port),
                (None, Some(scheme)) => scheme.port(),
                (None, None) => info.port,
            };
            info.scheme = scheme.unwrap_or(info.scheme);
            let Some(client) = hop.client else { break };
            info.proxies.insert(0, info.address);
            info.address = client;
            if !trusted.contains(client) {
                break;
            }
        }
        info
    }

    /// Scheme, host and port by which the client reaches this server; `own` is the host that the request itself names.
    ///
    /// A proxy may name its port apart from the host; then it belongs into every link, unless it is the scheme's own.
    pub fn origin(&self, own: &str) -> String {
        let host = self.host.as_deref().unwrap_or(own);
        let has_port = host.rsplit_once(']').map_or(host, |(_, rest)| rest).contains(':');
        let scheme = self.scheme.as_str();
        if self.is_port_told && !has_port && self.port != self.scheme.port() {
            return format!("{scheme}://{host}:{}", self.port);
        }
        format!("{scheme}://{host}")
    }

    /// The values of `X-Forwarded-For`, `-Proto`, `-Port` and, if a proxy told it, `-Host`, as an app gets them.
    pub(super) fn headers(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let chain = std::iter::once(&self.address).chain(&self.proxies);
        let chain = chain.map(IpAddr::to_string).collect::<Vec<_>>().join(", ");
        let name = HeaderName::from_static;
        let told = [
            (name("x-forwarded-for"), Some(chain)),
            (name("x-forwarded-proto"), Some(self.scheme.as_str().to_owned())),
            (name("x-forwarded-port"), Some(self.port.to_string())),
            (name("x-forwarded-host"), self.host.clone()),
        ];
        told.into_iter().filter_map(|(name, value)| Some((name, HeaderValue::from_str(&value?).ok()?)))
    }
}

/// Whether a request has any of the usual headers.
fn has_usual(headers: &HeaderMap) -> bool {
    ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port"]
        .iter()
        .any(|name| headers.contains_key(*name))
}

/// The elements of a header that is a list, over all its lines. Commas in quotes part nothing.
fn list<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| split(line, ',')).collect()
}

fn split(text: &str, by: char) -> Vec<&str> {
    let mut is_quoted = false;
    let parts = text.split(move |c: char| {
        is_quoted ^= c == '"';
        c == by && !is_quoted
    });
    parts.map(str::trim).collect()
}

/// The hops of `X-Forwarded-*`: each proxy adds the client that it got the request from at the end of the list. Of the
/// other lists only the elements count that have their counterpart from the end on; a proxy that replaces instead of
/// adding leaves one, which holds for all.
fn usual_hops(headers: &HeaderMap) -> Vec<Hop<'_>> {
    let clients = list(headers, "x-forwarded-for");
    let others =
        ["x-forwarded-proto", "x-forwarded-host", "x-forwarded-port"].map(|name| list(headers, name));
    let count = clients.len().max(1);
    let of = |index: usize, values: &[&str]| -> Option<usize> {
        let from_end = count - index;
        if from_end <= values.len() {
            Some(values.len() - from_end)
        } else {
            values.len().checked_sub(1).map(|_| 0)
        }
    };
    (0..count)
        .map(|index| {
            let [scheme, host, port] =
                [0, 1, 2].map(|which| of(index, &others[which]).map(|place| others[which][place]));
            Hop { client: clients.get(index).and_then(|text| node(text)), scheme, host, port }
        })
        .collect()
}

/// The hops of `Forwarded` (RFC 7239).
fn standard_hops<'a>(elements: &[&'a str]) -> Vec<Hop<'a>> {
    let hop = |element: &&'a str| {
        let mut hop = Hop::default();
        for (name, value) in split(element, ';').into_iter().filter_map(|pair| pair.split_once('=')) {
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "for" => hop.client = node(value),
                "proto" => hop.scheme = Some(value),
                "host" => hop.host = Some(value),
                _ => {}
            }
        }
        hop
    };
    elements.iter().map(hop).collect()
}

/// An address with or without a port; `None` for `unknown` and for names that hide one.
fn node(text: &str) -> Option<IpAddr> {
    let bare = match text.strip_prefix('[') {
        Some(rest) => rest.split(']').next()?,
        None if text.matches(':').count() == 1 => text.split(':').next()?,
        None => text,
    };
    bare.parse().ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(peer: &str, lines: &[(&'static str, &'static str)]) -> ClientInfo {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let trusted = "10.0.0.0/8, 2001:db8::/32".parse().unwrap();
        ClientInfo::of(&headers, peer.parse().unwrap(), Scheme::Http, 8000, &trusted)
    }

    /// What the app is told: the chain, scheme, port and host.
    fn told(peer: &str, lines: &[(&'static str, &'static str)]) -> String {
        let told: Vec<_> = info(peer, lines).headers().map(|(_, v)| v.to_str().unwrap().to_owned()).collect();
        told.join(" | ")
    }

    #[test]
    fn whoever_is_not_trusted_says_nothing() {
        let lies = [
            ("x-forwarded-for", "6.6.6.6"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "evil.example.com"),
            ("x-forwarded-port", "1"),
            ("forwarded", "for=6.6.6.6;proto=https"),
        ];
        assert_eq!(told("192.0.2.7", &lies), "192.0.2.7 | http | 8000");
        assert_eq!(told("::ffff:192.0.2.7", &lies), "192.0.2.7 | http | 8000");
    }

    #[test]
    fn of_a_list_the_right_most_counts_that_is_not_trusted() {
        for (list, chain) in [
            ("192.0.2.7", "192.0.2.7, 10.0.0.1"),
            ("6.6.6.6, 192.0.2.7", "192.0.2.7, 10.0.0.1"),
            ("6.6.6.6, 192.0.2.7, 10.0.0.2", "192.0.2.7, 10.0.0.2, 10.0.0.1"),
            ("192.0.2.7:4711", "192.0.2.7, 10.0.0.1"),
            ("[2001:470::1]:4711, 2001:db8::5", "2001:470::1, 2001:db8::5, 10.0.0.1"),
            ("6.6.6.6, unknown", "10.0.0.1"),
            ("6.6.6.6, unknown, 10.0.0.2", "10.0.0.2, 10.0.0.1"),
            ("10.0.0.3, 10.0.0.2", "10.0.0.3, 10.0.0.2, 10.0.0.1"),
            ("", "10.0.0.1"),
        ] {
            assert_eq!(
                told("10.0.0.1", &[("x-forwarded-for", list)]),
                format!("{chain} | http | 8000"),
                "{list}"
            );
        }
        let lines = [("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "192.0.2.7, 10.0.0.2")];
        assert_eq!(info("10.0.0.1", &lines).address, "192.0.2.7".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn scheme_host_and_port_come_from_the_proxy_that_met_the_client() {
        let client = ("x-forwarded-for", "6.6.6.6, 192.0.2.7");
        for (lines, rest) in [
            (vec![("x-forwarded-proto", "https")], "https | 443"),
            (vec![("x-forwarded-proto", "HTTPS"), ("x-forwarded-port", "8443")], "https | 8443"),
            (vec![("x-forwarded-proto", "http, https")], "https | 443"),
            (vec![("x-forwarded-proto", "gopher")], "http | 8000"),
            (vec![("x-forwarded-host", "shop.example.com")], "http | 8000 | shop.example.com"),
            (vec![("x-forwarded-host", "shop.example.com:81")], "http | 81 | shop.example.com:81"),
            (vec![("x-forwarded-host", "a.com/x\"")], "http | 8000"),
            (vec![("x-forwarded-port", "99999")], "http | 8000"),
            (vec![("x-forwarded-port", "0")], "http | 8000"),
            (vec![("x-forwarded-host", "shop.example.com:0")], "http | 8000"),
        ] {
            let lines: Vec<_> = std::iter::once(client).chain(lines).collect();
            assert_eq!(told("10.0.0.1", &lines), format!("192.0.2.7, 10.0.0.1 | {rest}"), "{lines:?}");
        }
        let two = [("x-forwarded-for", "192.0.2.7, 10.0.0.2"), ("x-forwarded-proto", "gopher, https, http")];
        assert_eq!(told("10.0.0.1", &two), "192.0.2.7, 10.0.0.2, 10.0.0.1 | https | 443");
    }

    #[test]
    fn links_lead_where_the_client_came_from() {
        for (lines, origin) in [
            (vec![], "http://own.example.com:81"),
            (vec![("x-forwarded-proto", "https")], "https://own.example.com:81"),
            (vec![("x-forwarded-host", "shop.example.com")], "http://shop.example.com"),
            (
                vec![
                    ("x-forwarded-host", "shop.example.com"),
                    ("x-forwarded-proto", "https"),
                    ("x-forwarded-port", "8443"),
                ],
                "https://shop.example.com:8443",
            ),
            (
                vec![
                    ("x-forwarded-host", "shop.example.com"),
                    ("x-forwarded-proto", "https"),
                    ("x-forwarded-port", "443"),
                ],
                "https://shop.example.com",
            ),
            (
                vec![("x-forwarded-host", "shop.example.com:81"), ("x-forwarded-port", "8443")],
                "http://shop.example.com:81",
            ),
            (
                vec![("x-forwarded-host", "[2001:db8::1]"), ("x-forwarded-port", "8443")],
                "http://[2001:db8::1]:8443",
            ),
            (
                vec![("x-forwarded-host", "shop.example.com"), ("x-forwarded-port", "0")],
                "http://shop.example.com",
            ),
        ] {
            assert_eq!(info("10.0.0.1", &lines).origin("own.example.com:81"), origin, "{lines:?}");
        }
        let lies = [("x-forwarded-port", "8443")];
        assert_eq!(info("192.0.2.7", &lies).origin("own.example.com"), "http://own.example.com");
    }

    #[test]
    fn the_standard_header_is_read_too() {
        for (line, says) in [
            (
                "for=192.0.2.7;proto=https;host=shop.example.com",
                "192.0.2.7, 10.0.0.1 | https | 443 | shop.example.com",
            ),
            ("For=\"[2001:470::1]:4711\" ; Proto=http", "2001:470::1, 10.0.0.1 | http | 80"),
            (
                "for=6.6.6.6, for=192.0.2.7;by=10.0.0.2, for=10.0.0.2",
                "192.0.2.7, 10.0.0.2, 10.0.0.1 | http | 8000",
            ),
            ("for=6.6.6.6, for=_hidden", "10.0.0.1 | http | 8000"),
            ("for=\"6.6.6.6, for=192.0.2.7\"", "10.0.0.1 | http | 8000"),
        ] {
            assert_eq!(told("10.0.0.1", &[("forwarded", line)]), says, "{line}");
        }
    }

    #[test]
    fn two_headers_that_disagree_are_both_lies() {
        let both = |standard, usual| told("10.0.0.1", &[("forwarded", standard), ("x-forwarded-for", usual)]);
        assert_eq!(both("for=192.0.2.7", "192.0.2.7"), "192.0.2.7, 10.0.0.1 | http | 8000");
        assert_eq!(both("for=6.6.6.6", "192.0.2.7"), "10.0.0.1 | http | 8000");
    }

    #[test]
    fn ranges_are_read_or_refused() {
        for (text, is_good) in
            [("", true), ("10.0.0.0/8,::1", true), ("10.0.0.0/33", false), ("loopback", false)]
        {
            assert_eq!(text.parse::<TrustedProxies>().is_ok(), is_good, "{text}");
        }
        let mapped: TrustedProxies = "127.0.0.1".parse().unwrap();
        assert!(mapped.contains("::ffff:127.0.0.1".parse().unwrap()));
    }
}
