//! The command line of `deisd`.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
};

use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::settings::{KNOWN, SettingError, Source, Values, collect};

/// What `deisd` was asked to do.
#[derive(Debug)]
pub enum Verb {
    /// Serve until it is told to stop.
    Serve,
    /// Start, deploy a sample, show what to type next.
    Quickstart {
        /// Check everything in a temporary folder and end.
        check: bool,
        /// Leave the apps running at the end.
        keep: bool,
    },
    /// Stop all apps.
    Down,
    /// Print the settings.
    Config,
}

/// A parsed command line.
#[derive(Debug)]
pub struct Args {
    /// What to do.
    pub verb: Verb,
    /// The settings with their sources.
    pub values: Values,
}

/// Parses a command line; an error is ready to be printed.
pub fn parse(args: &[OsString]) -> Result<Args, Failure> {
    let matches = command().try_get_matches_from(args).map_err(Failure::Usage)?;
    let Some((name, own)) = matches.subcommand() else { return Err(Failure::Usage(missing())) };
    let verb = match name {
        "serve" => Verb::Serve,
        "quickstart" => Verb::Quickstart { check: own.get_flag("check"), keep: own.get_flag("keep") },
        "down" => Verb::Down,
        _ => Verb::Config,
    };
    let mut values = values(own)?;
    if let Some((data, Source::Default)) = values.get("data").cloned().as_ref().map(|(d, s)| (d, s))
        && data.is_empty()
    {
        let folder = default_data().ok_or(Failure::NoHome)?;
        values.insert("data", (folder.to_string_lossy().into_owned(), Source::Default));
    }
    Ok(Args { verb, values })
}

/// A command line that cannot be used.
#[derive(Debug)]
pub enum Failure {
    /// Its words are off, or help was asked for.
    Usage(clap::Error),
    /// A setting is off.
    Setting(SettingError),
    /// There is no place for data.
    NoHome,
}

impl From<SettingError> for Failure {
    fn from(error: SettingError) -> Self {
        Self::Setting(error)
    }
}

fn values(matches: &ArgMatches) -> Result<Values, Failure> {
    let flag = |name: &'static str| Some((name, matches.get_one::<String>(name)?.clone()));
    let flags: BTreeMap<&'static str, String> = KNOWN.iter().filter_map(|k| flag(k.name)).collect();
    let environment = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let named = matches
        .get_one::<PathBuf>("config")
        .cloned()
        .or_else(|| environment("DEISD_CONFIG").map(PathBuf::from));
    let data = flags
        .get("data")
        .cloned()
        .or_else(|| environment("DEISD_DATA"))
        .map(PathBuf::from)
        .or_else(default_data);
    let usual = data.map(|d| d.join("deisd.toml")).filter(|f| f.is_file());
    let file = named.or(usual);
    Ok(collect(&flags, environment, file.as_deref())?)
}

fn default_data() -> Option<PathBuf> {
    let folder =
        |name: &str| std::env::var_os(name).filter(|v| Path::new(v).is_absolute()).map(PathBuf::from);
    let base = folder("XDG_DATA_HOME").or_else(|| folder("HOME").map(|home| home.join(".local/share")));
    base.map(|base| base.join("deis"))
}

fn command() -> Command {
    let settings = |command: Command| {
        let config = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help("TOML file with settings [default: deisd.toml in the data folder]");
        KNOWN.iter().fold(command.arg(config), |command, known| {
            let default = if known.default.is_empty() {
                String::new()
            } else {
                format!(" [default: {}]", known.default)
            };
            let flag = known.name.replace('_', "-");
            command.arg(
                Arg::new(known.name).long(flag).value_name("VALUE").help(format!("{}{default}", known.help)),
            )
        })
    };
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
    };
    Command::new("deisd")
        .about("The deis daemon: git push, and the app is live")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .after_help(
            "Every flag is also a variable (DEISD_HTTP_LISTEN) and a line of TOML (http_listen = \"…\").",
        )
        .subcommand(settings(
            Command::new("serve").about("Serve the platform; a stop leaves its apps running"),
        ))
        .subcommand(
            settings(
                Command::new("quickstart")
                    .about("Start everything, push a sample app and show what to try next"),
            )
            .arg(flag("check", "do the same in a temporary folder, check every step, and end"))
            .arg(flag("keep", "leave the apps running after Ctrl-C")),
        )
        .subcommand(settings(Command::new("down").about("Stop the daemon of a data folder and all its apps")))
        .subcommand(settings(
            Command::new("config").about("Print the settings in force and where each comes from"),
        ))
}

fn missing() -> clap::Error {
    command()
        .error(clap::error::ErrorKind::MissingSubcommand, "say what to do: serve, quickstart, down or config")
}
