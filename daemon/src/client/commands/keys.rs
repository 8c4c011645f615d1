//! SSH keys: list, add, remove.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::json;

use super::super::{
    args::{JsonArg, LimitArg},
    context::Context,
    error::{ClientError, Result},
    output,
};
use super::{DETACHED, print_list, segment};

pub(super) async fn list(cx: &Context, limit: LimitArg, json: JsonArg) -> Result<()> {
    let title = format!("{} Keys", cx.profile()?.username);
    print_list(cx, "/v2/keys/", limit, json, &title, |key| {
        let public = output::text(key, "public");
        let kind = public.split(' ').next().unwrap_or_default().to_owned();
        vec![output::text(key, "id"), kind, output::text(key, "fingerprint")]
    })
    .await
}

pub(super) async fn add(cx: &Context, words: &[String]) -> Result<()> {
    let api = cx.api()?;
    let file = match words.iter().find(|w| Path::new(w).is_file()) {
        Some(word) => PathBuf::from(word),
        None if words.len() == 2 || words.first().is_some_and(|w| w.contains('/')) => {
            return Err(ClientError::Usage(format!("there is no file among {}", words.join(", "))));
        }
        None => default_key()?,
    };
    let text = fs::read_to_string(&file)
        .map_err(|source| ClientError::File { what: format!("cannot read {}", file.display()), source })?;
    let public = text.trim().to_owned();
    if public.contains("PRIVATE KEY") {
        return Err(ClientError::Usage(format!("{} is a private key; give its .pub file", file.display())));
    }
    let named = words.iter().find(|w| Path::new(w) != file.as_path()).cloned();
    let id = named.unwrap_or_else(|| name_of(&public, &file));
    let body = json!({"id": id, "public": public});
    let shown = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let call = api.done(reqwest::Method::POST, "/v2/keys/", Some(&body));
    output::action(&format!("Uploading {shown} to deis"), DETACHED, call).await.map(|_| ())
}

pub(super) async fn remove(cx: &Context, key: &str) -> Result<()> {
    let api = cx.api()?;
    let path = format!("/v2/keys/{}", segment(key));
    output::action(&format!("Removing {key} SSH Key"), DETACHED, api.delete(&path)).await
}

/// The comment of the key, else the file's name.
fn name_of(public: &str, file: &Path) -> String {
    let comment = public.split_whitespace().nth(2).map(str::to_owned);
    comment.unwrap_or_else(|| file.file_stem().unwrap_or_default().to_string_lossy().into_owned())
}

/// The one public key in `~/.ssh`.
fn default_key() -> Result<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let folder = home.join(".ssh");
    let mut found: Vec<PathBuf> = fs::read_dir(&folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "pub"))
        .collect();
    found.sort();
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(ClientError::Usage(
            "there is no public key in ~/.ssh; make one with `ssh-keygen -t ed25519`, or name a file"
                .to_owned(),
        )),
        _ => {
            let names: Vec<String> = found.iter().map(|p| p.display().to_string()).collect();
            Err(ClientError::Usage(format!("name one of these: {}", names.join(", "))))
        }
    }
}
