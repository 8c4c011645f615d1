//! What a workload must be like for this scheduler to take it.

use crate::model::Workload;

/// Why this workload can never run here.
pub(super) fn refusal(workload: &Workload) -> Option<String> {
    workload.groups.iter().find_map(|(process, group)| {
        let template = &group.template;
        if template.launch.command.contains('\0') {
            return Some(format!("the command of process type {process} contains a NUL byte"));
        }
        environment(&template.env).map(|reason| format!("process type {process}: {reason}"))
    })
}

/// Why no process can be given this environment.
pub(super) fn environment(env: &std::collections::BTreeMap<String, String>) -> Option<String> {
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
