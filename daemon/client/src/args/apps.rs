//! Flags of apps.

use clap::{Args, Subcommand};

use super::{AppArg, JsonArg, LimitArg};

/// Apps.
#[derive(Debug, Subcommand)]
pub(crate) enum AppsCommand {
    /// Create an app and, in a git repository, its remote
    #[command(name = "apps:create", visible_alias = "create")]
    Create {
        /// Name; made up by the controller if it is missing
        id: Option<String>,
        /// Do not add a git remote
        #[arg(long)]
        no_remote: bool,
        /// Buildpack to use, as a git URL
        #[arg(short, long, value_name = "URL")]
        buildpack: Option<String>,
        /// Name of the git remote
        #[arg(short, long, default_value = "deis")]
        remote: String,
        /// Make a remote over SSH
        #[arg(long)]
        ssh: bool,
    },
    /// List apps
    #[command(name = "apps:list", visible_alias = "apps")]
    List {
        #[command(flatten)]
        limit: LimitArg,
        #[command(flatten)]
        json: JsonArg,
    },
    /// Show an app with its processes and domains
    #[command(name = "apps:info", visible_alias = "info")]
    Info {
        #[command(flatten)]
        app: AppArg,
        #[command(flatten)]
        json: JsonArg,
    },
    /// Open an app in the browser
    #[command(name = "apps:open", visible_alias = "open")]
    Open {
        #[command(flatten)]
        app: AppArg,
    },
    /// Show the log of an app
    #[command(name = "apps:logs", visible_alias = "logs")]
    Logs(LogsArgs),
    /// Run a one-off command with the live release
    #[command(name = "apps:run", visible_alias = "run")]
    Run {
        #[command(flatten)]
        app: AppArg,
        #[command(flatten)]
        run: RunArgs,
    },
    /// Destroy an app with everything of it
    #[command(name = "apps:destroy", visible_alias = "destroy")]
    Destroy {
        #[command(flatten)]
        app: AppArg,
        /// The app's name, instead of being asked for it
        #[arg(long, value_name = "APP")]
        confirm: Option<String>,
    },
    /// Show what a change would do, without doing it
    #[command(name = "plan")]
    Plan {
        #[command(flatten)]
        app: AppArg,
        /// KEY=VALUE pairs; TYPE=N pairs with --scale
        #[arg(required_unless_present = "unset", value_name = "CHANGE")]
        changes: Vec<String>,
        /// Variables to unset
        #[arg(long, value_name = "KEY", conflicts_with = "scale")]
        unset: Vec<String>,
        /// The changes are TYPE=N pairs
        #[arg(long)]
        scale: bool,
        #[command(flatten)]
        json: JsonArg,
    },
}

/// Flags of `apps:logs`.
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    #[command(flatten)]
    pub app: AppArg,
    /// So many of the newest lines
    #[arg(short = 'n', long, default_value_t = 100)]
    pub lines: usize,
    /// Go on with new lines as they come
    #[arg(short, long, visible_alias = "tail", visible_short_alias = 't')]
    pub follow: bool,
    /// Only lines of this process type
    #[arg(short, long = "process", visible_alias = "type", value_name = "TYPE")]
    pub process: Option<String>,
    /// Print one JSON object a line
    #[arg(long)]
    pub json: bool,
}

/// How a one-off command is run.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// A variable for this command only: KEY=VALUE, or KEY as it is set here
    #[arg(short = 'e', long = "env", value_name = "KEY=VALUE")]
    pub env: Vec<String>,
    /// Start it and leave: `deis ps` lists it, `ps:attach` follows it, `ps:stop` ends it
    #[arg(short, long)]
    pub detach: bool,
    /// No terminal, even if this is one
    #[arg(short = 'T', long)]
    pub no_tty: bool,
    /// The command: one word is a text for the shell there, several are a program and its arguments. Flags of this
    /// client stand before it
    #[arg(required = true, trailing_var_arg = true)]
    pub command: Vec<String>,
}
