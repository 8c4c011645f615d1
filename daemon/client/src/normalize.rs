//! Forms of a command line that people type besides the canonical `topic:verb`.

use std::ffi::OsString;

/// What a command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A command, in the canonical form.
    Command(Vec<OsString>),
    /// The commands of a topic.
    Topic(String),
}

/// Makes `apps create` into `apps:create`, and `help apps:create` into `apps:create --help`.
pub(super) fn normalize(mut args: Vec<OsString>, cli: &clap::Command) -> Line {
    let Some(first) = first_word(&args) else { return Line::Command(args) };
    let help = args[first] == "help" && args.len() > first + 1;
    if help && args[first + 1] == "help" {
        // There is nothing more to say of `help` than what it says by itself.
        args.truncate(first + 1);
        return Line::Command(args);
    }
    if help {
        args.remove(first);
    }
    let word = |i: usize| args.get(i).and_then(|a| a.to_str());
    if let Some(topic) = word(first).filter(|word| is_topic(cli, word)) {
        let bare = is_command(cli, topic);
        // A word that can be nothing but a verb becomes one, also where it is misspelt: so similar verbs are suggested.
        let takes_words = bare && takes_words(cli, topic);
        let is_verb = |word: &str| !takes_words && !word.starts_with('-');
        match word(first + 1) {
            Some(verb) if is_command(cli, &format!("{topic}:{verb}")) || is_verb(verb) => {
                let joined = OsString::from(format!("{topic}:{verb}"));
                args.splice(first..first + 2, [joined]);
            }
            None if help || !bare => return Line::Topic(topic.to_owned()),
            Some("-h" | "--help") if !bare => return Line::Topic(topic.to_owned()),
            _ => {}
        }
    }
    if help {
        args.truncate(first + 1);
        args.push(OsString::from("--help"));
    }
    Line::Command(args)
}

fn is_command(cli: &clap::Command, word: &str) -> bool {
    cli.find_subcommand(word).is_some()
}

/// Whether a command has arguments that are no flags.
fn takes_words(cli: &clap::Command, command: &str) -> bool {
    cli.find_subcommand(command).is_some_and(|command| command.get_positionals().next().is_some())
}

fn is_topic(cli: &clap::Command, word: &str) -> bool {
    cli.get_subcommands().any(|c| c.get_name().strip_prefix(word).is_some_and(|rest| rest.starts_with(':')))
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
        match normalize(args, &crate::args::command()) {
            Line::Command(args) => args.join(&OsString::from(" ")).into_string().unwrap(),
            Line::Topic(topic) => format!("<{topic}>"),
        }
    }

    #[test]
    fn spaces_work_for_colons() {
        assert_eq!(run("deis apps create blog"), "deis apps:create blog");
        assert_eq!(run("deis -c x config set A=1"), "deis -c x config:set A=1");
        assert_eq!(run("deis config"), "deis config");
        assert_eq!(run("deis config -a x"), "deis config -a x");
        assert_eq!(run("deis run ps list"), "deis run ps list");
        assert_eq!(run("deis auth nonsense"), "deis auth:nonsense");
    }

    #[test]
    fn a_misspelt_verb_is_told_its_neighbours() {
        assert_eq!(run("deis apps creat"), "deis apps:creat");
        for (line, meant) in [("deis apps:creat", "apps:create"), ("deis config:sett", "config:set")] {
            let error = crate::args::command().try_get_matches_from(line.split(' ')).unwrap_err();
            assert!(error.to_string().contains(meant), "{error}");
        }
    }

    #[test]
    fn help_takes_a_command() {
        assert_eq!(run("deis help config:set"), "deis config:set --help");
        assert_eq!(run("deis help apps create"), "deis apps:create --help");
        assert_eq!(run("deis help create"), "deis create --help");
        assert_eq!(run("deis help"), "deis help");
        assert_eq!(run("deis help help"), "deis help");
        assert_eq!(run("deis -c x help help"), "deis -c x help");
    }

    #[test]
    fn a_topic_is_no_command() {
        for line in ["deis auth", "deis auth --help", "deis git", "deis help auth"] {
            assert_eq!(run(line), if line.contains("git") { "<git>" } else { "<auth>" }, "{line}");
        }
        assert_eq!(run("deis help apps"), "<apps>");
    }
}
