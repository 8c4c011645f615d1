//! Whether a workload can run on this machine at all.

use crate::model::{Artifact, Command, Environment, Workload};

/// Why this workload can never run here.
pub(in crate::local) fn rejection(workload: &Workload) -> Option<String> {
    workload.groups.iter().find_map(|(process, group)| {
        let template = &group.template;
        if let Some(reason) = command(&template.launch.command) {
            return Some(format!("process type {process}: {reason}"));
        }
        if matches!(template.launch.artifact, Artifact::Image { .. }) {
            return Some(format!("process type {process}: this machine runs no container images"));
        }
        environment(&template.env).map(|reason| format!("process type {process}: {reason}"))
    })
}

/// Why no process can be started with this command.
pub(in crate::local) fn command(command: &Command) -> Option<String> {
    if command.has_nul() {
        return Some("the command contains a NUL byte".to_owned());
    }
    match command {
        Command::Argv(words) if words.is_empty() => Some("the command is empty".to_owned()),
        Command::ImageDefault => Some("only a container image has a command of its own".to_owned()),
        Command::Argv(_) | Command::Shell(_) => None,
    }
}

/// Why no process can be given this environment.
pub(in crate::local) fn environment(env: &Environment) -> Option<String> {
    env.iter().find_map(|(key, value)| {
        if key.is_empty() || key.contains(['=', '\0']) {
            Some(format!("\"{}\" cannot name an environment variable", key.escape_debug()))
        } else if value.contains('\0') {
            Some(format!("the value of {key} contains a NUL byte"))
        } else {
            None
        }
    })
}
