//! Probes that a back end can carry out as they stand.

use super::{ConfigError, invalid};
use crate::{
    model::{HealthChecks, HttpCheck, Probe},
    plan::constants::{MAX_PROBE_COMMAND, MAX_PROBE_HEADERS, MAX_PROBE_NUMBER, MAX_PROBE_TEXT},
};

/// Which probe of a process type it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// What restarts a process.
    Liveness,
    /// What takes it out of rotation.
    Readiness,
}

/// Refuses the first thing in a probe that no back end could use.
pub(super) fn check(probe: &Probe, kind: Kind) -> Result<(), ConfigError> {
    let kinds = [probe.exec.is_some(), probe.http_get.is_some(), probe.tcp_socket.is_some()];
    if kinds.iter().filter(|set| **set).count() != 1 {
        return Err(wrong("a probe has exactly one of exec, httpGet and tcpSocket"));
    }
    if let Some(exec) = &probe.exec {
        if exec.command.first().is_none_or(String::is_empty) {
            return Err(wrong("exec needs a command"));
        }
        if exec.command.iter().any(|word| word.contains('\0')) {
            return Err(wrong("the command of exec must not contain NUL bytes"));
        }
        if exec.command.iter().map(|word| word.len() + 1).sum::<usize>() > MAX_PROBE_COMMAND {
            return Err(wrong(format!("the command of exec has at most {MAX_PROBE_COMMAND} bytes")));
        }
    }
    if kind == Kind::Liveness && probe.success_threshold != 1 {
        return Err(wrong("livenessProbe successThreshold must be 1"));
    }
    if probe.http_get.as_ref().is_some_and(|http| http.port == 0)
        || probe.tcp_socket.as_ref().is_some_and(|tcp| tcp.port == 0)
    {
        return Err(wrong("a port is a number from 1 to 65535"));
    }
    probe.http_get.as_ref().map_or(Ok(()), check_http)?;
    check_times(probe)
}

fn check_http(http: &HttpCheck) -> Result<(), ConfigError> {
    if http.path.as_ref().is_some_and(|path| !is_path(path)) {
        let text =
            format!("a path begins with / and has at most {MAX_PROBE_TEXT} characters, none of them a space");
        return Err(wrong(text));
    }
    // A back end would ask any host that is named here, from inside.
    if http.host.is_some() {
        return Err(wrong(
            "host cannot be set: each process is asked itself; use a Host header for its name",
        ));
    }
    if http.scheme.as_ref().is_some_and(|scheme| scheme != "HTTP" && scheme != "HTTPS") {
        return Err(wrong("scheme is HTTP or HTTPS"));
    }
    if http.http_headers.len() > MAX_PROBE_HEADERS {
        return Err(wrong(format!("there are at most {MAX_PROBE_HEADERS} httpHeaders")));
    }
    for header in &http.http_headers {
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        let named = !header.name.is_empty() && header.name.len() <= 256 && header.name.bytes().all(token);
        let visible = header.value.bytes().all(|b| b == b'\t' || (b >= b' ' && b != 0x7f));
        if !named || !visible || header.value.len() > MAX_PROBE_TEXT {
            let text =
                "a header of httpHeaders has a name of letters, digits and hyphens, and a value of one line";
            return Err(wrong(text));
        }
    }
    Ok(())
}

/// Whether a text can be the target of a request as it stands.
pub(super) fn is_path(text: &str) -> bool {
    text.starts_with('/') && text.len() <= MAX_PROBE_TEXT && text.bytes().all(|b| b.is_ascii_graphic())
}

/// Refuses times and counts that mean nothing.
pub(super) fn check_times(probe: &Probe) -> Result<(), ConfigError> {
    let positive =
        [probe.period_seconds, probe.timeout_seconds, probe.success_threshold, probe.failure_threshold];
    if positive.contains(&0) {
        return Err(wrong(
            "periodSeconds, timeoutSeconds, successThreshold and failureThreshold must be above 0",
        ));
    }
    if positive.iter().chain([&probe.initial_delay_seconds]).any(|number| *number > MAX_PROBE_NUMBER) {
        return Err(wrong(format!("the numbers of a probe are at most {MAX_PROBE_NUMBER}")));
    }
    Ok(())
}

/// About how many bytes the probes of a process type take.
pub(super) fn size(checks: &HealthChecks) -> usize {
    let one = |probe: &Probe| {
        let exec = probe.exec.iter().flat_map(|exec| &exec.command).map(|word| word.len() + 1);
        let http = probe.http_get.iter().map(|http| {
            let headers = http.http_headers.iter().map(|h| h.name.len() + h.value.len());
            http.path.as_ref().map_or(0, String::len) + headers.sum::<usize>()
        });
        exec.chain(http).sum::<usize>() + size_of::<Probe>()
    };
    checks.liveness.iter().chain(&checks.readiness).map(one).sum()
}

fn wrong(reason: impl Into<String>) -> ConfigError {
    invalid("healthcheck", reason)
}
