//! One-off commands.

use std::{collections::BTreeMap, io::IsTerminal as _};

use futures_util::SinkExt as _;
use serde_json::{Value, json};

use super::super::{
    args::{AppArg, RunArgs},
    context::Context,
    error::{ClientError, Result},
    http::segment,
    output,
    pipe::{Ended, Input, RawTerminal, carry, encode, terminal},
    shell,
};
use crate::attach::{ClientMessage, Exit, StartRun};

pub(super) async fn run(cx: &Context, arg: &AppArg, run: &RunArgs) -> Result<()> {
    let (api, app) = (cx.api()?, cx.app_to_change(arg).await?);
    let command = shell::command(&run.command);
    let mut env = variables(&run.env)?;
    if run.detach {
        let body = json!({"command": command, "env": env});
        let started: Value = api.post(&format!("/v2/apps/{app}/runs"), &body).await?;
        output::line(&output::text(&started, "name"));
        return Ok(());
    }
    let terminal = if run.no_tty { None } else { terminal() };
    if terminal.is_some() {
        let name = std::env::var("TERM").unwrap_or_else(|_| "xterm".to_owned());
        env.entry("TERM".to_owned()).or_insert(name);
    }
    // A pipe takes nothing but what the command says.
    if std::io::stderr().is_terminal() {
        eprintln!("Running '{command}'...");
    }
    let mut socket = api.websocket(&format!("/v2/apps/{app}/run")).await?;
    let start = ClientMessage::Start(StartRun { command, env, terminal });
    let sent = socket.send(encode(&start)).await;
    sent.map_err(|e| ClientError::Other(format!("the connection ended: {e}")))?;
    let raw = terminal.map(|_| RawTerminal::enter()).transpose()?;
    let lost = "the connection to the command was lost; it ends with it";
    let ended = carry(socket, &Input::Forwarded, raw.is_some(), lost).await;
    drop(raw);
    end_as(ended?)
}

/// Follows a command that runs by itself, from the oldest output that is kept.
pub(super) async fn attach(cx: &Context, arg: &AppArg, name: &str) -> Result<()> {
    let (api, app) = (cx.api()?, cx.app(arg).await?);
    let path = format!("/v2/apps/{app}/runs/{}", segment(name)?);
    let run: Value = api.get(&path).await?;
    let lost = if run["detached"] == true {
        format!(
            "the connection to {name} was lost; it goes on: `deis ps:attach {name} -a {app}` follows it again"
        )
    } else {
        format!("the connection to {name} was lost; it ends with the connection of whoever started it")
    };
    let socket = api.websocket(&format!("{path}/attach")).await?;
    end_as(carry(socket, &Input::None, false, &lost).await?)
}

/// This program ends as the command did.
fn end_as(ended: Ended) -> Result<()> {
    match ended.exit {
        Exit::Code(0) => Ok(()),
        Exit::Code(code) => Err(ClientError::Remote(code)),
        Exit::Signal(signal) => Err(ClientError::Remote(128 + signal)),
        Exit::TimedOut => Err(ClientError::Other("the command took too long and was stopped".to_owned())),
        Exit::Lost => {
            let text = ended.reason.unwrap_or_else(|| "the command was interrupted".to_owned());
            Err(ClientError::Other(text))
        }
    }
}

/// `KEY=VALUE` pairs; a KEY alone takes its value from here.
fn variables(pairs: &[String]) -> Result<BTreeMap<String, String>> {
    let pair = |pair: &String| {
        if let Some((key, value)) = pair.split_once('=') {
            return Ok((key.to_owned(), value.to_owned()));
        }
        let unset = |_| ClientError::Usage(format!("{pair:?} is not KEY=VALUE, nor a variable that is set"));
        Ok((pair.clone(), std::env::var(pair).map_err(unset)?))
    };
    pairs.iter().map(pair).collect()
}
