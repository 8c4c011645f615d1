//! Whether client and controller speak the same version of the API.

use std::sync::Once;

use reqwest::header::HeaderMap;

use super::output;

/// The API's version that this client speaks.
const API_VERSION: &str = "2.3";

static WARNED: Once = Once::new();

/// Warns, once in a run, when an answer comes from a controller of another version.
pub(super) fn check(headers: &HeaderMap) {
    let Some(server) = headers.get("DEIS_API_VERSION").and_then(|v| v.to_str().ok()) else { return };
    if !fits(server) {
        WARNED.call_once(|| {
            output::warn(&format!(
                "WARNING: Client and server API versions do not match. Please consider upgrading.\n\
                 Client version: {API_VERSION}\nServer version: {server}"
            ));
        });
    }
}

/// The same major version, and a minor one that is no older. Minors are compared as text, as the original does.
fn fits(server: &str) -> bool {
    match (server.split_once('.'), API_VERSION.split_once('.')) {
        (Some((major, minor)), Some((own_major, own_minor))) => {
            let minor = minor.split('.').next().unwrap_or(minor);
            major == own_major && minor >= own_minor
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_minor_or_another_major_does_not_fit() {
        for (server, expected) in [
            ("2.3", true),
            ("2.3.1", true),
            ("2.4", true),
            ("2.2", false),
            ("2.10", false),
            ("3.3", false),
            ("2", false),
            ("", false),
        ] {
            assert_eq!(fits(server), expected, "{server:?}");
        }
    }
}
