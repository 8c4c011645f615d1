//! Health checks, in the shape and with the defaults of Kubernetes.

use deis_core::model::{ExecCheck, HealthChecks, HttpCheck, HttpHeader, Probe, TcpCheck, shown};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The probes of a process type.
#[derive(Debug, Serialize)]
pub(crate) struct HealthChecksDto {
    #[serde(rename = "livenessProbe", skip_serializing_if = "Option::is_none")]
    liveness: Option<ProbeDto>,
    #[serde(rename = "readinessProbe", skip_serializing_if = "Option::is_none")]
    readiness: Option<ProbeDto>,
}

/// A probe, as sent in both directions.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProbeDto {
    #[serde(skip_serializing_if = "Option::is_none")]
    exec: Option<ExecDto>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_get: Option<HttpDto>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tcp_socket: Option<TcpDto>,
    #[serde(default)]
    initial_delay_seconds: u32,
    #[serde(default = "one")]
    timeout_seconds: u32,
    #[serde(default = "ten")]
    period_seconds: u32,
    #[serde(default = "one")]
    success_threshold: u32,
    #[serde(default = "three")]
    failure_threshold: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct ExecDto {
    command: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct HttpDto {
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// Missing in a probe that was made of `HEALTHCHECK_URL`: it asks the port that the process is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheme: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    http_headers: Vec<HeaderDto>,
}

#[derive(Debug, Serialize, Deserialize)]
struct HeaderDto {
    name: String,
    value: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct TcpDto {
    port: u16,
}

fn one() -> u32 {
    1
}

fn three() -> u32 {
    3
}

fn ten() -> u32 {
    10
}

/// A probe that cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadProbe {
    /// A part of it, named by its path, is something else than an object.
    #[error("{0} must be an object")]
    NoObject(String),
    /// A member has another type, or is missing.
    #[error("{probe}: {}", shown(&.source.to_string()))]
    Member {
        /// Which probe it is.
        probe: String,
        /// Which member, and what is expected there.
        source: serde_json::Error,
    },
}

impl ProbeDto {
    /// Reads the probe that is called `name` in messages. Lists are refused by themselves: serde would take one for an
    /// object whose members come in the order in which they are declared here.
    ///
    /// # Errors
    /// [`BadProbe`] names the part that is wrong.
    pub(crate) fn parse(name: &str, value: &Value) -> Result<Self, BadProbe> {
        let probe = object(name, value)?;
        for part in ["exec", "httpGet", "tcpSocket"] {
            if let Some(value) = probe.get(part).filter(|value| !value.is_null()) {
                object(&format!("{name}.{part}"), value)?;
            }
        }
        let headers = probe.get("httpGet").and_then(|http| http.get("httpHeaders")).and_then(Value::as_array);
        for header in headers.into_iter().flatten() {
            object(&format!("each of {name}.httpGet.httpHeaders"), header)?;
        }
        Self::deserialize(value).map_err(|source| BadProbe::Member { probe: name.to_owned(), source })
    }
}

fn object<'a>(path: &str, value: &'a Value) -> Result<&'a Map<String, Value>, BadProbe> {
    value.as_object().ok_or_else(|| BadProbe::NoObject(path.to_owned()))
}

/// A probe of HTTP was sent without a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("httpGet needs a port, as a number")]
pub(crate) struct NoPort;

impl TryFrom<ProbeDto> for Probe {
    type Error = NoPort;

    fn try_from(sent: ProbeDto) -> Result<Self, NoPort> {
        Ok(Self {
            exec: sent.exec.map(|exec| ExecCheck { command: exec.command }),
            http_get: sent.http_get.map(HttpCheck::try_from).transpose()?,
            tcp_socket: sent.tcp_socket.map(|tcp| TcpCheck { port: tcp.port }),
            initial_delay_seconds: sent.initial_delay_seconds,
            timeout_seconds: sent.timeout_seconds,
            period_seconds: sent.period_seconds,
            success_threshold: sent.success_threshold,
            failure_threshold: sent.failure_threshold,
        })
    }
}

impl TryFrom<HttpDto> for HttpCheck {
    type Error = NoPort;

    fn try_from(sent: HttpDto) -> Result<Self, NoPort> {
        let header = |HeaderDto { name, value }| HttpHeader { name, value };
        Ok(Self {
            path: sent.path,
            port: sent.port.ok_or(NoPort)?,
            host: sent.host,
            scheme: sent.scheme,
            http_headers: sent.http_headers.into_iter().map(header).collect(),
        })
    }
}

impl From<HealthChecks> for HealthChecksDto {
    fn from(checks: HealthChecks) -> Self {
        Self { liveness: checks.liveness.map(Into::into), readiness: checks.readiness.map(Into::into) }
    }
}

impl From<Probe> for ProbeDto {
    fn from(probe: Probe) -> Self {
        Self {
            exec: probe.exec.map(|exec| ExecDto { command: exec.command }),
            http_get: probe.http_get.map(Into::into),
            tcp_socket: probe.tcp_socket.map(|tcp| TcpDto { port: tcp.port }),
            initial_delay_seconds: probe.initial_delay_seconds,
            timeout_seconds: probe.timeout_seconds,
            period_seconds: probe.period_seconds,
            success_threshold: probe.success_threshold,
            failure_threshold: probe.failure_threshold,
        }
    }
}

impl From<HttpCheck> for HttpDto {
    fn from(check: HttpCheck) -> Self {
        let header = |HttpHeader { name, value }| HeaderDto { name, value };
        Self {
            path: check.path,
            port: (check.port != 0).then_some(check.port),
            host: check.host,
            scheme: check.scheme,
            http_headers: check.http_headers.into_iter().map(header).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_come_back_as_they_were_sent() {
        for text in [
            r#"{"exec":{"command":["true"]},"initialDelaySeconds":5,"timeoutSeconds":1,"periodSeconds":10,"successThreshold":1,"failureThreshold":3}"#,
            r#"{"httpGet":{"path":"/","port":80,"httpHeaders":[{"name":"A","value":"b"}]},"initialDelaySeconds":0,"timeoutSeconds":1,"periodSeconds":10,"successThreshold":2,"failureThreshold":3}"#,
            r#"{"tcpSocket":{"port":80},"initialDelaySeconds":0,"timeoutSeconds":1,"periodSeconds":10,"successThreshold":1,"failureThreshold":3}"#,
        ] {
            let probe = Probe::try_from(serde_json::from_str::<ProbeDto>(text).unwrap()).unwrap();
            assert_eq!(serde_json::to_string(&ProbeDto::from(probe)).unwrap(), text);
        }
        let short: ProbeDto = serde_json::from_str(r#"{"tcpSocket":{"port":80}}"#).unwrap();
        let probe = Probe::try_from(short).unwrap();
        assert_eq!((probe.period_seconds, probe.failure_threshold), (10, 3));
        let without: ProbeDto = serde_json::from_str(r#"{"httpGet":{"path":"/"}}"#).unwrap();
        assert_eq!(Probe::try_from(without), Err(NoPort));
    }

    #[test]
    fn what_is_no_object_is_named() {
        let long = format!(r#"{{"periodSeconds":"{}"}}"#, "x".repeat(5000));
        for (text, wrong) in [
            ("[]", "livenessProbe must be an object"),
            (r#"[null,null,{"port":80},0,1,10,1,3]"#, "livenessProbe must be an object"),
            (r#"{"exec":[["true"]]}"#, "livenessProbe.exec must be an object"),
            (r#"{"httpGet":["/",80,null,null,[]]}"#, "livenessProbe.httpGet must be an object"),
            (r#"{"tcpSocket":[80]}"#, "livenessProbe.tcpSocket must be an object"),
            (
                r#"{"httpGet":{"port":80,"httpHeaders":[["A","b"]]}}"#,
                "each of livenessProbe.httpGet.httpHeaders must be an object",
            ),
            (r#"{"tcpSocket":{"port":"a\u0000"}}"#, "livenessProbe: invalid type: string"),
            (&long, "livenessProbe: invalid type: string"),
        ] {
            let error = ProbeDto::parse("livenessProbe", &serde_json::from_str(text).unwrap()).unwrap_err();
            let error = error.to_string();
            assert!(error.starts_with(wrong) && error.len() < 200 && !error.contains('\0'), "{error}");
        }
        assert!(ProbeDto::parse("x", &serde_json::json!({"exec": null, "tcpSocket": {"port": 80}})).is_ok());
    }
}
