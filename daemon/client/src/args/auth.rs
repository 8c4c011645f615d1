//! Flags of accounts.

use clap::{ArgAction, Args, Subcommand};

use super::JsonArg;

/// Accounts.
#[derive(Debug, Subcommand)]
pub(crate) enum AuthCommand {
    /// Register a new user with a controller
    #[command(name = "auth:register", visible_alias = "register")]
    Register(RegisterArgs),
    /// Log in to a controller
    #[command(name = "auth:login", visible_alias = "login")]
    Login(Credentials),
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
        /// The password; asked for if it is missing and the account is one's own
        #[arg(long)]
        password: Option<String>,
        /// Do not ask whether it is meant
        #[arg(long)]
        yes: bool,
    },
}

/// Which controller, and as whom.
#[derive(Debug, Args)]
pub(crate) struct Credentials {
    /// URL of the controller
    pub controller: String,
    /// Log-in name; asked for if it is missing
    #[arg(long)]
    pub username: Option<String>,
    /// Password; asked for if it is missing
    #[arg(long)]
    pub password: Option<String>,
    /// Check certificates
    #[arg(long, default_value_t = true, action = ArgAction::Set)]
    pub ssl_verify: bool,
}

/// Flags of `auth:register`.
#[derive(Debug, Args)]
pub(crate) struct RegisterArgs {
    #[command(flatten)]
    pub credentials: Credentials,
    /// Mail address
    #[arg(long)]
    pub email: Option<String>,
    /// Log in afterwards
    #[arg(long, default_value_t = true, action = ArgAction::Set)]
    pub login: bool,
    /// One-time token that deisd printed, for the first user of a platform that others can reach
    #[arg(long, value_name = "TOKEN")]
    pub bootstrap_token: Option<String>,
}
