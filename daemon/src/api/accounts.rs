//! Registration, log-in, passwords, tokens.

use std::{net::IpAddr, time::Duration};

use axum::{
    extract::State,
    http::{HeaderMap, header::ORIGIN},
};
use deis_core::{
    Kind, Username,
    model::{Secret, User, UserId},
    service::NewUser,
};
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    ApiState, Registration,
    auth::Caller,
    client::ClientAddress,
    error::{ApiError, Result},
    page::Paging,
    payload::{Payload, Wrong, at_most},
    respond::{Answer, Empty},
};
use crate::{
    accounts::{LoginAttempt, Refused, token_hash},
    dto::{PageDto, UserDto},
};

/// The first user to register becomes the administrator. Any web page that the operator has open can send requests to
/// loopback; a browser names the page in `Origin`, so a request with that header registers nobody.
const NO_PAGE: ApiError = ApiError::Barred {
    code: "browser_refused",
    text: "The first user cannot be registered by a web page; use `deis register`.",
};

/// Registers a user; the first becomes administrator.
pub(super) async fn register(
    State(state): State<ApiState>,
    ClientAddress(client): ClientAddress,
    headers: HeaderMap,
    payload: Payload,
) -> Result<Answer<UserDto>> {
    let first = !state.platform.has_users().await?;
    let is_open = may_register(&state, &headers, first).await?;
    if first && headers.contains_key(ORIGIN) {
        return Err(NO_PAGE);
    }
    let bootstrap = state.bootstrap.as_ref().filter(|_| first);
    if let Some(bootstrap) = bootstrap {
        let shown = bootstrap.check(&payload.lenient("bootstrap_token")?, crate::clock::now());
        shown.map_err(|refused| ApiError::field("bootstrap_token", token_text(refused)))?;
    }
    let mut wrong = Wrong::default();
    let name = wrong.take(payload.required("username").and_then(|text| username(&text)))?;
    let password = wrong.take(payload.password("password"))?;
    let email = wrong.take(email(&payload))?;
    let first_name = wrong.take(short(&payload, "first_name", 30))?;
    let last_name = wrong.take(short(&payload, "last_name", 150))?;
    let (Some(name), Some(password), Some(email), Some(first_name), Some(last_name)) =
        (name, password, email, first_name, last_name)
    else {
        return Err(wrong.into());
    };
    if is_open {
        let taken = state.throttles.registrations.take(&client, Instant::now());
        taken
            .map_err(|wait| ApiError::throttled("Too many users were registered from this address", wait))?;
    }
    let id = UserId(Uuid::new_v4());
    let new = NewUser {
        id,
        name,
        email,
        first_name,
        last_name,
        password_hash: state.passwords.hash(client, password).await?,
        token_hash: token_hash(&state.secret.token(id, 0)),
        // Two at once, both taken for the first: only one may be.
        only_first: first && state.registration == Registration::AdminOnly,
    };
    let user = match state.platform.register(new).await {
        Err(deis_core::Error::Conflict { .. }) => return Err(ApiError::NoCredentials),
        other => other?,
    };
    if let Some(bootstrap) = bootstrap {
        bootstrap.spent().await;
    }
    Ok(Answer::created(user.into()))
}

fn token_text(refused: Refused) -> &'static str {
    match refused {
        Refused::Wrong => {
            "the first user of a platform that others can reach must show the one-time token that deisd printed at \
             its start (`deis register --bootstrap-token …`)"
        }
        Refused::Expired => "the one-time token has expired; start deisd again, and it prints a new one",
    }
}

/// Whether anybody may, and not only whoever is first or an administrator.
async fn may_register(state: &ApiState, headers: &HeaderMap, first: bool) -> Result<bool> {
    match state.registration {
        Registration::Enabled => {
            let caller = Caller::maybe(headers, state).await?;
            Ok(!first && !caller.is_some_and(|user| user.superuser))
        }
        Registration::Disabled => Err(ApiError::Barred {
            code: "registration_disabled",
            text: "Registration is disabled on this platform.",
        }),
        Registration::AdminOnly if first => Ok(false),
        Registration::AdminOnly => match Caller::maybe(headers, state).await? {
            Some(user) if user.superuser => Ok(false),
            Some(_) => Err(ApiError::Forbidden),
            None => Err(ApiError::NoCredentials),
        },
    }
}

/// The token, the same at each log-in until it is made anew.
pub(super) async fn login(
    State(state): State<ApiState>,
    ClientAddress(client): ClientAddress,
    payload: Payload,
) -> Result<Answer<Value>> {
    let mut wrong = Wrong::default();
    let name = wrong.take(payload.required("username"))?;
    let password = wrong.take(payload.password("password"))?;
    let (Some(name), Some(password)) = (name, password) else { return Err(wrong.into()) };
    // Before anything is looked up: what is refused tells nobody who exists.
    let attempt = state.throttles.logins.begin(client, &name, Instant::now()).map_err(too_many_attempts)?;
    let user = match Username::new(name) {
        Ok(name) => state.platform.user(&name).await.ok().filter(|u| u.active),
        Err(_) => None,
    };
    let hash = user.as_ref().map(|u| u.password_hash.clone());
    let right = verify(&state, client, password, hash, attempt).await?;
    match user.filter(|_| right) {
        Some(user) => Ok(Answer::ok(json!({"token": state.secret.token(user.id, user.token_counter)}))),
        None => Err(ApiError::field("non_field_errors", "Unable to log in with provided credentials.")),
    }
}

/// Whether a password is the one of a hash. Only if it was looked at and wrong, the attempt counts.
async fn verify(
    state: &ApiState,
    client: IpAddr,
    password: String,
    hash: Option<Secret>,
    attempt: LoginAttempt<'_>,
) -> Result<bool> {
    let right = state.passwords.verify(client, password, hash).await;
    if !matches!(right, Ok(false)) {
        attempt.give_back();
    }
    Ok(right?)
}

fn too_many_attempts(wait: Duration) -> ApiError {
    ApiError::throttled("Too many attempts to log in failed", wait)
}

/// The caller.
pub(super) async fn whoami(caller: Caller) -> Answer<UserDto> {
    Answer::ok(caller.user.into())
}

/// All users; administrators only.
pub(super) async fn users(
    State(state): State<ApiState>,
    caller: Caller,
    paging: Paging,
) -> Result<Answer<PageDto<UserDto>>> {
    caller.must_be_admin()?;
    Ok(Answer::ok(paging.cut(state.platform.users().await?, UserDto::from)))
}

/// A new password. Administrators need not know the present one.
pub(super) async fn passwd(
    State(state): State<ApiState>,
    ClientAddress(client): ClientAddress,
    caller: Caller,
    payload: Payload,
) -> Result<Answer<Value>> {
    let missing = |field: &str| ApiError::Bad(format!("{field} is a required field"));
    if !payload.members.contains_key("new_password") {
        return Err(missing("new_password"));
    }
    let fresh = payload.password("new_password")?;
    let target = target(&state, &caller, &payload).await?;
    if !caller.user.superuser {
        if !payload.members.contains_key("password") {
            return Err(missing("password"));
        }
        let present = payload.password("password")?;
        // Whoever has found a token must not find the password by it.
        let attempt = state.throttles.logins.begin(client, target.name.as_str(), Instant::now());
        let attempt = attempt.map_err(too_many_attempts)?;
        if !verify(&state, client, present, Some(target.password_hash), attempt).await? {
            return Err(ApiError::WrongPassword);
        }
    }
    let hash = state.passwords.hash(client, fresh).await?;
    state.platform.set_password(&target.name, hash).await?;
    Ok(Answer::ok(json!({"status": "password set"})))
}

/// A new token; the old one is dead at once.
pub(super) async fn tokens(
    State(state): State<ApiState>,
    caller: Caller,
    payload: Payload,
) -> Result<Answer<Value>> {
    if payload.members.contains_key("all") {
        caller.must_be_admin()?;
        for user in state.platform.users().await? {
            regenerate(&state, &user).await?;
        }
        return Ok(Answer::ok(Value::String(String::new())));
    }
    if payload.members.contains_key("username") {
        caller.must_be_admin()?;
    }
    let target = target(&state, &caller, &payload).await?;
    Ok(Answer::ok(json!({"token": regenerate(&state, &target).await?})))
}

async fn regenerate(state: &ApiState, user: &User) -> Result<String> {
    let counter = user.token_counter + 1;
    let token = state.secret.token(user.id, counter);
    state.platform.set_token(&user.name, counter, token_hash(&token)).await?;
    Ok(token)
}

/// Removes a user.
pub(super) async fn cancel(State(state): State<ApiState>, caller: Caller, payload: Payload) -> Result<Empty> {
    let target = target(&state, &caller, &payload).await?;
    state.platform.cancel_user(&target.name).await?;
    Ok(Empty::DONE)
}

/// The user that a request is about: the caller, or another one that only administrators may name.
async fn target(state: &ApiState, caller: &Caller, payload: &Payload) -> Result<User> {
    let Some(name) = payload.optional("username")? else { return Ok(caller.user.clone()) };
    if name == caller.user.name.as_str() {
        return Ok(caller.user.clone());
    }
    caller.must_be_admin()?;
    let name = Username::new(name).map_err(|_| ApiError::NoMatch(Kind::User))?;
    Ok(state.platform.user(&name).await?)
}

fn username(text: &str) -> Result<Username> {
    at_most("username", text, 150)?;
    Username::new(text).map_err(|_| {
        let texts = [
            "Enter a valid username. This value may contain only letters, numbers and @/./+/-/_ characters.",
            "Enter a valid username. This value may contain only letters, numbers, and @/./+/-/_ characters.",
        ];
        ApiError::Fields([("username".to_owned(), texts.map(str::to_owned).into())].into())
    })
}

fn short(payload: &Payload, field: &str, most: usize) -> Result<String> {
    let text = payload.lenient(field)?;
    at_most(field, &text, most)?;
    Ok(text)
}

fn email(payload: &Payload) -> Result<String> {
    let text = payload.lenient("email")?;
    if text.is_empty() || is_email(&text) {
        return Ok(text);
    }
    Err(ApiError::field("email", "Enter a valid email address."))
}

fn is_email(text: &str) -> bool {
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '@';
    text.split_once('@').is_some_and(|(user, host)| {
        !user.is_empty()
            && user.chars().all(plain)
            && host.chars().all(plain)
            && host.contains('.')
            && !host.starts_with('.')
            && !host.ends_with('.')
    })
}
