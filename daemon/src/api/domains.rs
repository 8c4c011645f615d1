//! Domains.

use axum::extract::State;
use deis_core::{DomainName, Kind};
use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

use super::{
    ApiState,
    auth::{App, OwnApp},
    error::{ApiError, Result},
    page::Paging,
    payload::Payload,
    respond::{Answer, Empty},
    url::Segments,
};
use crate::dto::{DomainDto, PageDto};

const INVALID: &str = "Hostname does not look valid.";

/// The app's domains, by name.
pub(super) async fn list(App(app): App, paging: Paging) -> Result<Answer<PageDto<DomainDto>>> {
    Ok(Answer::ok(paging.page(app.domain_page(paging.query()).await?, DomainDto::from)))
}

/// Adds a domain.
pub(super) async fn add(
    App(app): App,
    State(state): State<ApiState>,
    payload: Payload,
) -> Result<Answer<DomainDto>> {
    let text = payload.required("domain")?;
    let name = domain(&text, &state.info.domain).ok_or_else(|| ApiError::field("domain", INVALID))?;
    if takes_platform(&name, &state.info.domain) {
        let text = "This name belongs to the platform; name one below it, or one of your own.";
        return Err(ApiError::field("domain", text));
    }
    Ok(Answer::created(app.domain_add(name).await?.into()))
}

/// Removes a domain, named in either form.
pub(super) async fn remove(
    OwnApp(app): OwnApp,
    State(state): State<ApiState>,
    segments: Segments,
) -> Result<Empty> {
    let name = segments
        .get("domain")
        .and_then(|text| domain(text, &state.info.domain))
        .ok_or(ApiError::NoMatch(Kind::Domain))?;
    app.domain_remove(&name).await?;
    Ok(Empty::DONE)
}

/// The ASCII form of a domain as people write it; a name right below the platform's domain becomes its short form,
/// for both are the same host.
fn domain(text: &str, platform: &str) -> Option<DomainName> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let (wildcard, rest) = text.strip_prefix("*.").map_or((false, text), |rest| (true, rest));
    let ascii = if rest.is_ascii() && !rest.to_ascii_lowercase().contains("xn--") {
        rest.to_owned()
    } else {
        let strict = Uts46::new().to_ascii(
            rest.as_bytes(),
            AsciiDenyList::STD3,
            Hyphens::CheckFirstLast,
            DnsLength::Verify,
        );
        strict.ok()?.into_owned()
    };
    let foreign = |label: &str| {
        label.as_bytes().get(2..4) == Some(b"--") && !label.to_ascii_lowercase().starts_with("xn--")
    };
    if ascii.split('.').any(foreign) {
        return None;
    }
    let full = if wildcard { format!("*.{ascii}") } else { ascii };
    let lower = full.to_ascii_lowercase();
    let below = lower.strip_suffix(&platform.to_ascii_lowercase()).and_then(|rest| rest.strip_suffix('.'));
    let short = below.filter(|label| !label.contains(['.', '*'])).map(|label| full[..label.len()].to_owned());
    DomainName::new(short.unwrap_or(full)).ok()
}

/// Whether a name is the platform's own domain, or a wildcard that stands for whatever is right below that: the
/// hosts of apps that are there no more, and of those to come.
fn takes_platform(name: &DomainName, platform: &str) -> bool {
    let (name, platform) = (name.as_str().to_ascii_lowercase(), platform.to_ascii_lowercase());
    let above = |parent: &str| {
        platform.strip_suffix(parent).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    name == platform || name.strip_prefix("*.").is_some_and(above)
}

#[cfg(test)]
mod tests {
    use deis_core::DomainName;

    use super::{domain, takes_platform};

    fn ascii(text: &str) -> Option<String> {
        domain(text, "localhost").map(String::from)
    }

    #[test]
    fn what_the_contract_accepts() {
        for (text, expected) in [
            ("test-domain.example.com", "test-domain.example.com"),
            ("django.paas--sandbox", "django.paas--sandbox"),
            ("3com.com", "3com.com"),
            ("MYDOMAIN.NET", "MYDOMAIN.NET"),
            ("autotest.127.0.0.1.xip.io.", "autotest.127.0.0.1.xip.io"),
            ("*.deis.example.com", "*.deis.example.com"),
            ("täst.de", "xn--tst-qla.de"),
            ("blog.localhost", "blog"),
            ("Blog.LOCALHOST", "Blog"),
            ("XN--TST-QLA.de", "xn--tst-qla.de"),
        ] {
            assert_eq!(ascii(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_the_contract_refuses() {
        let long = "a".repeat(300);
        for text in [
            "*",
            "a.*.com",
            "under_score.com",
            "x.1",
            "1.2.3.4",
            "-a.com",
            "a..b",
            "a.com/path",
            "ab--c.com",
            "XN--\u{61}-.de",
            "XN--99999999.de",
            "xn--example-.org",
            "example.org.xn--",
            "x.com;deny all",
            "x.com {",
            "~^.*$",
            "x.com\nserver{",
            "x.com,y.com",
            "$host.com",
            "a\u{200d}b.com",
            "a\u{202e}b.com",
            "[::1]",
            "**.x.com",
            "*x.com",
            ".x.com",
            "",
            ".",
            &long,
        ] {
            assert_eq!(ascii(text), None, "{text}");
        }
    }

    #[test]
    fn the_platform_keeps_its_own_names() {
        let taken = |name: &str| takes_platform(&DomainName::new(name).unwrap(), "Apps.example.com");
        for own in ["apps.example.com", "*.apps.example.com", "*.APPS.example.com", "*.example.com"] {
            assert!(taken(own), "{own}");
        }
        for free in ["blog", "*.blog.apps.example.com", "www.example.com", "*.other.com", "*.s.example.com"] {
            assert!(!taken(free), "{free}");
        }
    }
}
