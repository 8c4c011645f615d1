//! The command line: every command with its flags, by the names that people know.

use clap::{Args, Parser, Subcommand};

/// Deploys and runs apps on a deis platform.
#[derive(Debug, Parser)]
#[command(name = "deis", bin_name = "deis", version, propagate_version = true, arg_required_else_help = true)]
#[command(
    after_help = "Commands are `topic:verb`; a bare topic lists (`deis config`), and a space works for the colon \
                        (`deis apps create`).\nExit codes: 0 ok, 1 failed, 2 usage, 100 not logged in, 130 interrupted."
)]
pub(super) struct Cli {
    /// Profile: a path ending in .json, or a name below ~/.deis
    #[arg(short = 'c', long = "config", global = true, env = "DEIS_PROFILE", value_name = "FILE|NAME")]
    pub profile: Option<String>,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// Which app.
#[derive(Clone, Debug, Args)]
pub(super) struct AppArg {
    /// Name of the app; found from the git remote, or the folder's name, if it is missing
    #[arg(short, long, env = "DEIS_APP_NAME", value_name = "APP")]
    pub app: Option<String>,
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
    /// Register a new user with a controller
    #[command(name = "auth:register", visible_alias = "register")]
    Register(RegisterArgs),
    /// Log in to a controller
    #[command(name = "auth:login", visible_alias = "login")]
    Login(LoginArgs),
    /// Forget the log-in
    #[command(name = "auth:logout", visible_alias = "logout")]
    Logout,
    /// Show who is logged in
    #[command(name = "auth:whoami", visible_alias = "whoami")]
    Whoami {
        /// Show everything that the controller knows of the user
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        json: JsonArg,
    },
    /// Change a password
    #[command(name = "auth:passwd", visible_alias = "passwd")]
    Passwd {
        /// The present password; asked for if it is missing
        #[arg(long)]
        password: Option<String>,
        /// The new password; asked for if it is missing
        #[arg(long)]
        new_password: Option<String>,
        /// Another user (administrators only)
        #[arg(long)]
        username: Option<String>,
    },
    /// Make a new token; the old one is dead at once
    #[command(name = "auth:regenerate")]
    Regenerate {
        /// Another user (administrators only)
        #[arg(short, long)]
        username: Option<String>,
        /// All users (administrators only)
        #[arg(long)]
        all: bool,
    },
    /// Remove a user
    #[command(name = "auth:cancel")]
    Cancel {
        /// Another user (administrators only)
        #[arg(long)]
        username: Option<String>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },

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
    Apps {
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
        /// The command: one word is a text for the shell there, several are a program and its arguments. Flags
        /// of this client stand before it; its standard input is empty
        #[arg(required = true, trailing_var_arg = true)]
        command: Vec<String>,
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

    /// List builds
    #[command(name = "builds:list", visible_alias = "builds")]
    Builds {
        #[command(flatten)]
        app: AppArg,
        #[command(flatten)]
        limit: LimitArg,
        #[command(flatten)]
        json: JsonArg,
    },
    /// Deploy an image
    #[command(name = "builds:create", visible_alias = "pull")]
    BuildsCreate {
        /// The image
        image: String,
        #[command(flatten)]
        app: AppArg,
    },

    /// Show the configuration
    #[command(name = "config:list", visible_alias = "config")]
    ConfigList {
        #[command(flatten)]
        app: AppArg,
        /// All on one line, as `config:set` takes it
        #[arg(long)]
        oneline: bool,
        #[command(flatten)]
        json: JsonArg,
    },
    /// Set variables; makes a release
    #[command(name = "config:set")]
    ConfigSet {
        #[command(flatten)]
        app: AppArg,
        /// KEY=VALUE pairs
        #[arg(required = true, value_name = "KEY=VALUE")]
        values: Vec<String>,
    },
    /// Unset variables; makes a release
    #[command(name = "config:unset")]
    ConfigUnset {
        #[command(flatten)]
        app: AppArg,
        /// Keys
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
    },

    /// List releases, newest first
    #[command(name = "releases:list", visible_alias = "releases")]
    Releases {
        #[command(flatten)]
        app: AppArg,
        #[command(flatten)]
        limit: LimitArg,
        #[command(flatten)]
        json: JsonArg,
    },
    /// Show one release
    #[command(name = "releases:info")]
    ReleaseInfo {
        /// Its number (v3)
        #[arg(id = "release")]
        version: String,
        #[command(flatten)]
        app: AppArg,
        #[command(flatten)]
        json: JsonArg,
    },
    /// Go back to a release; makes a new one
    #[command(name = "releases:rollback", visible_alias = "rollback")]
    Rollback {
        /// Its number (v3); the one before the present if it is missing
        #[arg(id = "release")]
        version: Option<String>,
        #[command(flatten)]
        app: AppArg,
    },

    /// List processes
    #[command(name = "ps:list", visible_alias = "ps")]
    Ps {
        #[command(flatten)]
        app: AppArg,
        #[command(flatten)]
        json: JsonArg,
    },
    /// Restart all processes, those of a type, or one
    #[command(name = "ps:restart", visible_alias = "restart")]
    Restart {
        /// Process type or process name
        target: Option<String>,
        #[command(flatten)]
        app: AppArg,
    },
    /// Scale process types
    #[command(name = "ps:scale", visible_alias = "scale")]
    Scale {
        #[command(flatten)]
        app: AppArg,
        /// TYPE=N pairs
        #[arg(required = true, value_name = "TYPE=N")]
        scales: Vec<String>,
    },

    /// List domains
    #[command(name = "domains:list", visible_alias = "domains")]
    Domains {
        #[command(flatten)]
        app: AppArg,
        #[command(flatten)]
        limit: LimitArg,
        #[command(flatten)]
        json: JsonArg,
    },
    /// Add a domain
    #[command(name = "domains:add")]
    DomainsAdd {
        /// The domain
        domain: String,
        #[command(flatten)]
        app: AppArg,
    },
    /// Remove a domain
    #[command(name = "domains:remove")]
    DomainsRemove {
        /// The domain
        domain: String,
        #[command(flatten)]
        app: AppArg,
    },

    /// List SSH keys
    #[command(name = "keys:list", visible_alias = "keys")]
    Keys {
        #[command(flatten)]
        limit: LimitArg,
        #[command(flatten)]
        json: JsonArg,
    },
    /// Add a public SSH key
    #[command(name = "keys:add")]
    KeysAdd {
        /// A name for it and the file, in either order; without a file: ~/.ssh/id_*.pub
        #[arg(num_args = 0..=2, value_name = "NAME|FILE")]
        words: Vec<String>,
    },
    /// Remove a public SSH key
    #[command(name = "keys:remove")]
    KeysRemove {
        /// Its name
        key: String,
    },

    /// Add a git remote for an app
    #[command(name = "git:remote")]
    GitRemote {
        #[command(flatten)]
        app: AppArg,
        /// Name of the remote
        #[arg(short, long, default_value = "deis")]
        remote: String,
        /// Replace a remote of that name
        #[arg(short, long)]
        force: bool,
        /// Over SSH instead of HTTP
        #[arg(long)]
        ssh: bool,
    },
    /// Remove the git remotes of an app
    #[command(name = "git:remove")]
    GitRemove {
        #[command(flatten)]
        app: AppArg,
    },
    /// Answer git's question for a password (git runs this)
    #[command(name = "git:credential", hide = true)]
    GitCredential {
        /// What git wants: get, store or erase
        operation: String,
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
    },
}

/// Flags of `auth:register`.
#[derive(Debug, Args)]
pub(super) struct RegisterArgs {
    /// URL of the controller
    pub controller: String,
    /// Log-in name; asked for if it is missing
    #[arg(long)]
    pub username: Option<String>,
    /// Password; asked for if it is missing
    #[arg(long)]
    pub password: Option<String>,
    /// Mail address
    #[arg(long)]
    pub email: Option<String>,
    /// Log in afterwards
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    pub login: bool,
    /// Check certificates
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    pub ssl_verify: bool,
    /// One-time token that deisd printed, for the first user of a platform that others can reach
    #[arg(long, value_name = "TOKEN")]
    pub bootstrap_token: Option<String>,
}

/// Flags of `auth:login`.
#[derive(Debug, Args)]
pub(super) struct LoginArgs {
    /// URL of the controller
    pub controller: String,
    /// Log-in name; asked for if it is missing
    #[arg(long)]
    pub username: Option<String>,
    /// Password; asked for if it is missing
    #[arg(long)]
    pub password: Option<String>,
    /// Check certificates
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    pub ssl_verify: bool,
}

/// Flags of `apps:logs`.
#[derive(Debug, Args)]
pub(super) struct LogsArgs {
    #[command(flatten)]
    pub app: AppArg,
    /// So many of the newest lines
    #[arg(short = 'n', long, default_value_t = 100)]
    pub lines: usize,
    /// Go on with new lines as they come
    #[arg(short, long, visible_alias = "tail")]
    pub follow: bool,
    /// Only lines of this process type
    #[arg(short, long = "process", visible_alias = "type", value_name = "TYPE")]
    pub process: Option<String>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }
}
