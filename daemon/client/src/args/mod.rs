//! The command line: every command with its flags, by the names that people know. One file per topic.

mod apps;
mod auth;
mod builds;
mod config;
mod domains;
mod git;
mod keys;
mod ps;
mod releases;

use clap::{Arg, ArgAction, Args, CommandFactory as _, Parser, Subcommand};

pub(super) use apps::{AppsCommand, LogsArgs, RunArgs};
pub(super) use auth::{AuthCommand, Credentials, RegisterArgs};
pub(super) use builds::BuildsCommand;
pub(super) use config::ConfigCommand;
pub(super) use domains::DomainsCommand;
pub(super) use git::GitCommand;
pub(super) use keys::KeysCommand;
pub(super) use ps::PsCommand;
pub(super) use releases::ReleasesCommand;

/// Deploys and runs apps on a deis platform.
#[derive(Debug, Parser)]
#[command(name = "deis", bin_name = "deis", version, propagate_version = true, arg_required_else_help = true)]
#[command(
    after_help = "Commands are `topic:verb`; a bare topic lists (`deis config`), and a space works for the colon \
                        (`deis apps create`).\nExit codes: 0 ok, 1 failed, 2 usage, 100 not logged in, 130 interrupted;\n\
                        `run` and `ps:attach` end with the command's own."
)]
pub(super) struct Cli {
    /// Profile: a path ending in .json, or a name below ~/.deis (environment: `DEIS_PROFILE`)
    // Not clap's `env`: a variable is no argument, and `deis` without arguments shows the help.
    #[arg(short = 'c', long = "config", global = true, value_name = "FILE|NAME")]
    pub profile: Option<String>,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// Which app.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct AppArg {
    /// Name of the app; if it is missing, found from the git remote or the folder's name (environment: `DEIS_APP_NAME`)
    // Not clap's `env`: an empty variable is none, but an empty argument is a mistake.
    #[arg(short, long, value_name = "APP")]
    pub app: Option<String>,
    /// Take the app of this git remote
    #[arg(short, long, value_name = "NAME", conflicts_with = "app")]
    pub remote: Option<String>,
}

/// JSON instead of text.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct JsonArg {
    /// Print the controller's JSON
    #[arg(long)]
    pub json: bool,
}

/// How long a list may be.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct LimitArg {
    /// At most so many rows
    #[arg(short, long, value_name = "N")]
    pub limit: Option<u32>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    #[command(flatten)]
    Auth(AuthCommand),
    #[command(flatten)]
    Apps(AppsCommand),
    #[command(flatten)]
    Builds(BuildsCommand),
    #[command(flatten)]
    Config(ConfigCommand),
    #[command(flatten)]
    Releases(ReleasesCommand),
    #[command(flatten)]
    Ps(PsCommand),
    #[command(flatten)]
    Domains(DomainsCommand),
    #[command(flatten)]
    Keys(KeysCommand),
    #[command(flatten)]
    Git(GitCommand),
    /// List users
    #[command(name = "users:list", visible_alias = "users")]
    Users {
        #[command(flatten)]
        limit: LimitArg,
        #[command(flatten)]
        json: JsonArg,
    },
    /// List the short names of commands
    #[command(name = "shortcuts:list", visible_alias = "shortcuts")]
    Shortcuts,
    /// Show the version
    #[command(name = "version")]
    Version {
        /// The controller's too
        #[arg(short, long)]
        all: bool,
        #[command(flatten)]
        json: JsonArg,
    },
}

/// The whole command line as clap knows it.
pub(super) fn command() -> clap::Command {
    Cli::command()
        .disable_version_flag(true)
        .arg(
            Arg::new("print_version")
                .short('v')
                .visible_short_alias('V')
                .long("version")
                .global(true)
                .action(ArgAction::Version)
                .help("Print version"),
        )
        .arg(
            Arg::new("no_color")
                .long("no-color")
                .global(true)
                .action(ArgAction::SetTrue)
                .help("No colours (environment: `NO_COLOR`)"),
        )
}

/// What the commands of a topic are for.
pub(super) fn topic_help(topic: &str) -> String {
    let prefix = format!("{topic}:");
    let lines: Vec<String> = command()
        .get_subcommands()
        .filter(|c| c.get_name().starts_with(&prefix) && !c.is_hide_set())
        .map(|c| {
            format!("  {:<20}{}", c.get_name(), c.get_about().map(ToString::to_string).unwrap_or_default())
        })
        .collect();
    format!("Commands of {topic}:\n{}\n\n`deis help COMMAND` shows the flags of one.", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_sound() {
        super::command().debug_assert();
    }
}
