//! Digests that say "this behaves the same". Each is taken over fields that are named here, never over the JSON of a
//! struct: a field that a struct gets later must change no digest of what has it not.

use crate::model::{
    BuildSpec, Command, ConfigData, Digest, HealthChecks, Probe, Projection, Template, TemplateId,
};

/// Length of a template id, in hex digits: a label of Kubernetes can hold it beside others.
const ID_LENGTH: usize = 16;

/// What makes two instances the same: release, process type, and everything that is given to the process.
///
/// Scale, generation and the minimum time of being ready stand in the group and are not in it, so that none of them
/// restarts anything. Neither are tags, registry and hooks: they come with a release, and its version is in it.
pub(crate) fn template(template: &Template) -> TemplateId {
    let mut fields = Projection::new("template", 1);
    fields.text("release", &template.release.0.to_string());
    fields.text("process", template.process.as_str());
    fields.text("artifact", template.launch.artifact.digest().hex());
    command(&mut fields, "command", &template.launch.command);
    fields.entries("env", template.env.iter());
    for (name, amount) in [("memory", template.limits.memory), ("cpu", template.limits.cpu)] {
        fields.maybe(&format!("{name}.request"), amount.request.map(|n| n.to_string()));
        fields.maybe(&format!("{name}.limit"), amount.limit.map(|n| n.to_string()));
    }
    checks(&mut fields, &template.probes);
    fields.text("grace", &template.grace_seconds.to_string());
    fields.text("restarts", &template.restarts.to_string());
    TemplateId(fields.digest().hex()[..ID_LENGTH].to_owned())
}

/// Digest of a release: artifact, process types and config, and nothing that changes by itself.
pub(crate) fn release(build: Option<&BuildSpec>, config: &ConfigData) -> Digest {
    let mut fields = Projection::new("release", 1);
    if let Some(build) = build {
        fields.text("artifact", build.artifact.digest().hex());
        for (process, line) in &build.processes {
            command(&mut fields, &format!("process.{process}"), line);
        }
    }
    fields.entries("values", config.values.iter().map(|(key, value)| (key, value.expose())));
    fields.entries("memory", &config.memory);
    fields.entries("cpu", &config.cpu);
    fields.entries("tags", &config.tags);
    fields.entries("registry", config.registry.iter().map(|(key, value)| (key, value.expose())));
    fields.entries("post_start", &config.lifecycle_post_start);
    fields.entries("pre_stop", &config.lifecycle_pre_stop);
    fields.entries("grace", &config.termination_grace_period);
    for (process, found) in &config.healthcheck {
        fields.text("checks", process);
        checks(&mut fields, found);
    }
    fields.digest()
}

fn command(fields: &mut Projection, name: &str, command: &Command) {
    match command {
        Command::Shell(line) => fields.text(name, line),
        Command::Argv(words) => fields.entries(&format!("{name}.argv"), words.iter().enumerate()),
        Command::ImageDefault => fields.text(&format!("{name}.default"), ""),
    }
}

fn checks(fields: &mut Projection, checks: &HealthChecks) {
    for (name, found) in [("liveness", &checks.liveness), ("readiness", &checks.readiness)] {
        if let Some(found) = found {
            fields.text(name, "");
            probe(fields, found);
        }
    }
}

fn probe(fields: &mut Projection, probe: &Probe) {
    if let Some(exec) = &probe.exec {
        fields.entries("exec", exec.command.iter().enumerate());
    }
    if let Some(http) = &probe.http_get {
        fields.text("http.port", &http.port.to_string());
        fields.maybe("http.path", http.path.as_ref());
        fields.maybe("http.host", http.host.as_ref());
        fields.maybe("http.scheme", http.scheme.as_ref());
        fields.entries("http.header", http.http_headers.iter().map(|h| (&h.name, &h.value)));
    }
    fields.maybe("tcp.port", probe.tcp_socket.as_ref().map(|tcp| tcp.port.to_string()));
    for (name, number) in [
        ("delay", probe.initial_delay_seconds),
        ("timeout", probe.timeout_seconds),
        ("period", probe.period_seconds),
        ("successes", probe.success_threshold),
        ("failures", probe.failure_threshold),
    ] {
        fields.text(name, &number.to_string());
    }
}

#[cfg(test)]
mod tests;
