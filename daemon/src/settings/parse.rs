//! Values as what they mean.

use std::{net::SocketAddr, time::Duration};

use deis_core::DomainName;
use tracing_subscriber::EnvFilter;

use super::{SettingError, Source, Values};

/// Values that are parsed one by one.
pub(super) struct Reader<'a>(pub(super) &'a Values);

impl Reader<'_> {
    /// The value of this setting, as `parse` reads it.
    ///
    /// # Errors
    /// Why it cannot be used, with the place that it comes from.
    pub(super) fn parse<T>(
        &self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, SettingError> {
        let (value, from) = self.0.get(name).cloned().unwrap_or((String::new(), Source::Default));
        parse(value.trim()).map_err(|reason| SettingError::Invalid {
            name: name.to_owned(),
            value,
            from,
            reason,
        })
    }
}

/// An address with its port.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "write an address and a port, such as 127.0.0.1:8000".to_owned())
}

/// An address that only those are meant to reach for whom it was chosen.
pub(super) fn internal_address(text: &str) -> Result<SocketAddr, String> {
    let found = address(text)?;
    if found.ip().is_unspecified() {
        return Err(
            "metrics are not for everybody: name one address that only the reader can reach".to_owned()
        );
    }
    Ok(found)
}

/// A domain without a wildcard.
pub(super) fn domain(text: &str) -> Result<DomainName, String> {
    let domain = DomainName::new(text).map_err(|e| e.to_string())?;
    if domain.as_str().starts_with('*') {
        return Err("write the domain itself: apps are named below it anyhow".to_owned());
    }
    Ok(domain)
}

/// A tracing filter. A lone word must be a level: otherwise a level with a typing error would mean silence.
pub(super) fn filter(text: &str) -> Result<String, String> {
    let is_level =
        ["off", "error", "warn", "info", "debug", "trace"].contains(&text.to_ascii_lowercase().as_str());
    let is_filter = text.contains('=') && EnvFilter::try_new(text).is_ok();
    if is_level || is_filter {
        return Ok(text.to_owned());
    }
    Err("use error, warn, info, debug, or a filter such as info,hyper=debug".to_owned())
}

/// What may be switched off.
pub(super) fn optional<T>(
    parse: impl Fn(&str) -> Result<T, String>,
) -> impl Fn(&str) -> Result<Option<T>, String> {
    move |text| if matches!(text, "off" | "none" | "") { Ok(None) } else { parse(text).map(Some) }
}

/// A number of anything that there must be some of.
pub(super) fn number(text: &str) -> Result<u64, String> {
    text.parse()
        .ok()
        .filter(|n| *n > 0 && *n < 1 << 30)
        .ok_or_else(|| "write a whole number above 0".to_owned())
}

/// The same as a size in memory.
pub(super) fn count(text: &str) -> Result<usize, String> {
    number(text).map(|n| usize::try_from(n).unwrap_or(usize::MAX))
}

/// A number of seconds.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    number(text).map(Duration::from_secs)
}

/// A list with commas.
pub(super) fn words(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|w| !w.is_empty()).map(str::to_owned).collect()
}

/// A number of MiB, as bytes.
pub(super) fn mebibytes(text: &str) -> Result<u64, String> {
    number(text).map(|n| n << 20)
}

/// A number of MiB up to `most`, as bytes.
pub(super) fn mebibytes_up_to(most: u64) -> impl Fn(&str) -> Result<u64, String> {
    move |text| {
        let found = number(text)?;
        if found > most { Err(format!("write at most {most}")) } else { Ok(found << 20) }
    }
}

/// How often something may happen.
pub(super) fn rate(text: &str) -> Result<u32, String> {
    number(text).map(|n| u32::try_from(n).unwrap_or(u32::MAX))
}
