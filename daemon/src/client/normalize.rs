//! Forms of a command line that people type besides the canonical `topic:verb`.

use std::ffi::OsString;

const TOPICS: [&str; 12] = [
    "apps",
    "auth",
    "builds",
    "config",
    "domains",
    "git",
    "keys",
    "ps",
    "releases",
    "shortcuts",
    "users",
    "help",
];

const VERBS: [&str; 22] = [
    "add",
    "cancel",
    "create",
    "destroy",
    "info",
    "list",
    "login",
    "logout",
    "logs",
    "open",
    "passwd",
    "regenerate",
    "register",
    "remote",
    "remove",
    "restart",
    "rollback",
    "run",
    "scale",
    "set",
    "unset",
    "whoami",
];

/// Makes `apps create` into `apps:create` and `help apps:create` into `apps:create --help`.
pub(super) fn normalize(mut args: Vec<OsString>) -> Vec<OsString> {
    let word = |args: &[OsString], i: usize| args.get(i).and_then(|a| a.to_str()).map(str::to_owned);
    let Some(first) = first_word(&args) else { return args };
    let (topic, verb) = (word(&args, first), word(&args, first + 1));
    match (topic.as_deref(), verb.as_deref()) {
        (Some("help"), Some(command)) if command.contains(':') || !VERBS.contains(&command) => {
            let command = OsString::from(command);
            args.splice(first..first + 2, [command, OsString::from("--help")]);
            normalize_tail(args, first)
        }
        (Some(topic), Some(verb)) if TOPICS.contains(&topic) && topic != "help" && VERBS.contains(&verb) => {
            let joined = OsString::from(format!("{topic}:{verb}"));
            args.splice(first..first + 2, [joined]);
            args
        }
        _ => args,
    }
}

fn normalize_tail(mut args: Vec<OsString>, first: usize) -> Vec<OsString> {
    if args.get(first).is_some_and(|a| a == "apps" || a == "auth" || a == "git") && args.len() == first + 2 {
        args.remove(first);
    }
    args
}

/// Index of the first word that is no flag, nor the value of `-c`.
fn first_word(args: &[OsString]) -> Option<usize> {
    let mut i = 1;
    while let Some(arg) = args.get(i) {
        match arg.to_str() {
            Some("-c" | "--config") => i += 2,
            Some(flag) if flag.starts_with('-') => i += 1,
            _ => return Some(i),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(line: &str) -> String {
        let args = line.split(' ').map(OsString::from).collect();
        let out: Vec<String> = normalize(args).into_iter().map(|a| a.into_string().unwrap()).collect();
        out.join(" ")
    }

    #[test]
    fn spaces_work_for_colons() {
        assert_eq!(run("deis apps create blog"), "deis apps:create blog");
        assert_eq!(run("deis -c x config set A=1"), "deis -c x config:set A=1");
        assert_eq!(run("deis config"), "deis config");
        assert_eq!(run("deis run ps list"), "deis run ps list");
    }

    #[test]
    fn help_takes_a_command() {
        assert_eq!(run("deis help config:set"), "deis config:set --help");
        assert_eq!(run("deis help"), "deis help");
    }
}
