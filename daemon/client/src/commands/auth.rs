//! Accounts: register, log in and out, passwords, tokens.

use reqwest::{Method, Url};
use serde_json::{Value, json};

use super::super::{
    args::{AuthCommand, Credentials, JsonArg, LimitArg, RegisterArgs},
    context::Context,
    error::{ClientError, Result},
    http::{Api, normalize_url, same_place},
    output,
    profile::{self, Profile},
    prompt::{ask, ask_secret},
};
use super::print_list;

pub(super) async fn run(cx: &Context, command: AuthCommand) -> Result<()> {
    match command {
        AuthCommand::Register(args) => register(cx, args).await,
        AuthCommand::Login(credentials) => login(cx, credentials).await,
        AuthCommand::Logout => logout(cx),
        AuthCommand::Whoami { all, json } => whoami(cx, all, json).await,
        AuthCommand::Passwd { password, new_password, username } => {
            passwd(cx, password, new_password, username).await
        }
        AuthCommand::Regenerate { username, all } => regenerate(cx, username, all).await,
        AuthCommand::Cancel { username, password, yes } => cancel(cx, username, password, yes).await,
    }
}

async fn register(cx: &Context, args: RegisterArgs) -> Result<()> {
    let Credentials { controller, username, password, ssl_verify } = args.credentials;
    // With the token of an administrator of the same controller, so that administrators can add users.
    let token = cx.profile().ok().filter(|p| same(&p.controller, &controller)).map(|p| p.token);
    let api = Api::new(&controller, token, ssl_verify)?;
    check_controller(&api).await?;
    let username = username.map_or_else(|| ask("username: ", "give --username"), Ok)?;
    let password = password.map_or_else(|| new_password("give --password"), Ok)?;
    let email = args.email.unwrap_or_default();
    let mut body = json!({"username": username, "password": password, "email": email});
    if let Some(token) = args.bootstrap_token {
        body["bootstrap_token"] = Value::String(token);
    }
    match api.done(Method::POST, "/v2/auth/register/", Some(&body)).await {
        Err(ClientError::Refused { status, code, message }) if is_about_who_asks(&code) => {
            let message = format!(
                "{message}\nOnly an administrator may add users to {}: log in there as one first.",
                api.base()
            );
            return Err(ClientError::Refused { status, code, message });
        }
        other => other?,
    };
    output::line(&format!("Registered {username}"));
    if args.login {
        log_in(cx, &api, &username, &password, ssl_verify).await?;
    }
    Ok(())
}

async fn login(cx: &Context, credentials: Credentials) -> Result<()> {
    let Credentials { controller, username, password, ssl_verify } = credentials;
    let api = Api::new(&controller, None, ssl_verify)?;
    check_controller(&api).await?;
    let username = username.map_or_else(|| ask("username: ", "give --username"), Ok)?;
    let password = password.map_or_else(|| ask_secret("password: ", "give --password"), Ok)?;
    log_in(cx, &api, &username, &password, ssl_verify).await
}

async fn log_in(cx: &Context, api: &Api, username: &str, password: &str, ssl_verify: bool) -> Result<()> {
    let token = token(api, username, password).await?;
    let path = cx.profile_path()?;
    let response_limit = profile::load(&path).map_or(0, |p| p.response_limit);
    let controller = api.base().to_owned();
    let profile = Profile { username: username.to_owned(), ssl_verify, controller, token, response_limit };
    profile::save(&path, &profile)?;
    output::line(&format!("Logged in as {username}"));
    output::line(&format!("Configuration file written to {}", path.display()));
    Ok(())
}

async fn token(api: &Api, username: &str, password: &str) -> Result<String> {
    let body = json!({"username": username, "password": password});
    let answer: Value = api.with_token(None).post("/v2/auth/login/", &body).await?;
    Ok(output::text(&answer, "token"))
}

fn logout(cx: &Context) -> Result<()> {
    profile::remove(&cx.profile_path()?)?;
    output::line("Logged out");
    Ok(())
}

async fn whoami(cx: &Context, all: bool, json: JsonArg) -> Result<()> {
    let profile = cx.profile()?;
    if !all && !json.json {
        output::line(&format!("You are {} at {}", profile.username, profile.controller));
        return Ok(());
    }
    let user: Value = cx.api()?.get("/v2/auth/whoami/").await?;
    if json.json {
        return output::json(&user);
    }
    let rows = ["username", "email", "first_name", "last_name", "is_superuser", "is_active", "date_joined"];
    output::table(&rows.iter().map(|f| vec![format!("{f}:"), output::text(&user, f)]).collect::<Vec<_>>());
    Ok(())
}

async fn passwd(
    cx: &Context,
    password: Option<String>,
    fresh: Option<String>,
    username: Option<String>,
) -> Result<()> {
    let api = cx.api()?;
    let mut body = json!({});
    if let Some(name) = &username {
        body["username"] = Value::String(name.clone());
    } else {
        let present = password.map_or_else(|| ask_secret("current password: ", "give --password"), Ok)?;
        body["password"] = Value::String(present);
    }
    body["new_password"] = Value::String(fresh.map_or_else(|| new_password("give --new-password"), Ok)?);
    match api.done(Method::POST, "/v2/auth/passwd/", Some(&body)).await {
        // The controller says 401 for a wrong present password, which is no matter of the log-in.
        Err(ClientError::NotLoggedIn { code, .. }) if code == "wrong_password" => Err(ClientError::Refused {
            status: 401,
            code,
            message: "Current password does not match".to_owned(),
        }),
        other => other.map(|_| output::line("Password change succeeded.")),
    }
}

async fn regenerate(cx: &Context, username: Option<String>, all: bool) -> Result<()> {
    let api = cx.api()?;
    let body = match (&username, all) {
        (Some(_), true) => {
            return Err(ClientError::Usage("--username and --all exclude each other".to_owned()));
        }
        (Some(name), false) => json!({"username": name}),
        (None, true) => json!({"all": true}),
        (None, false) => json!({}),
    };
    let answer: Value = api.post("/v2/auth/tokens/", &body).await?;
    if username.is_none() && !all {
        let mut profile = cx.profile()?;
        profile.token = output::text(&answer, "token");
        profile::save(&cx.profile_path()?, &profile)?;
    }
    output::line("Token Regenerated");
    if all {
        output::warn("All tokens are new: log in again.");
    }
    Ok(())
}

async fn cancel(cx: &Context, username: Option<String>, password: Option<String>, yes: bool) -> Result<()> {
    let (profile, mut api) = (cx.profile()?, cx.api()?);
    let name = username.clone().unwrap_or_else(|| profile.username.clone());
    // An open terminal shall not be enough to remove the account of who left it.
    if username.is_none() || password.is_some() {
        let question = "Please log in again in order to cancel this account.\npassword: ";
        let password = password.map_or_else(|| ask_secret(question, "give --password"), Ok)?;
        let token = token(&api, &name, &password).await?;
        api = api.with_token(Some(token));
    }
    if !yes {
        let answer = ask(&format!("cancel account {name} at {}? (y/N) ", profile.controller), "give --yes")?;
        if !matches!(answer.to_lowercase().as_str(), "y" | "yes") {
            return Err(ClientError::Other("Account not changed".to_owned()));
        }
    }
    let body = username.map_or_else(|| json!({}), |name| json!({"username": name}));
    api.done(Method::DELETE, "/v2/auth/cancel/", Some(&body)).await?;
    if name == profile.username {
        profile::remove(&cx.profile_path()?)?;
    }
    output::line("Account cancelled");
    Ok(())
}

pub(super) async fn users(cx: &Context, limit: LimitArg, json: JsonArg) -> Result<()> {
    print_list(cx, "/v2/users/", limit, json, "Users", |user| {
        let admin = if user.get("is_superuser") == Some(&Value::Bool(true)) { "(admin)" } else { "" };
        vec![output::text(user, "username"), admin.to_owned()]
    })
    .await
}

/// A controller answers `GET /v2/` without a token with 401.
async fn check_controller(api: &Api) -> Result<()> {
    let answer = api.with_token(None).send(Method::GET, "/v2/", None).await?;
    if answer.status == reqwest::StatusCode::UNAUTHORIZED {
        return Ok(());
    }
    let text =
        format!("{} is not a deis controller (GET /v2/ answered {})", api.base(), answer.status.as_u16());
    Err(ClientError::Other(text))
}

fn new_password(flag: &str) -> Result<String> {
    let first = ask_secret("password: ", flag)?;
    if first == ask_secret("password (confirm): ", flag)? {
        Ok(first)
    } else {
        Err(ClientError::Other("Password mismatch, not changed.".to_owned()))
    }
}

/// Whether a refusal says that the caller is not allowed, rather than that nobody is.
fn is_about_who_asks(code: &str) -> bool {
    matches!(code, "no_credentials" | "forbidden")
}

fn same(a: &str, b: &str) -> bool {
    let url = |text| normalize_url(text).ok().and_then(|url| Url::parse(&url).ok());
    matches!((url(a), url(b)), (Some(a), Some(b)) if same_place(&a, &b))
}
