//! SSH keys: list, add, remove.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::json;

use super::super::{
    args::{JsonArg, KeysCommand, LimitArg},
    context::Context,
    error::{ClientError, Result},
    http::segment,
    output,
    prompt::ask,
};
use super::{DETACHED, print_list};

pub(super) async fn run(cx: &Context, command: KeysCommand) -> Result<()> {
    match command {
        KeysCommand::List { limit, json } => list(cx, limit, json).await,
        KeysCommand::Add { words } => add(cx, &words).await,
        KeysCommand::Remove { key } => remove(cx, &key).await,
    }
}

async fn list(cx: &Context, limit: LimitArg, json: JsonArg) -> Result<()> {
    let title = format!("{} Keys", cx.profile()?.username);
    print_list(cx, "/v2/keys/", limit, json, &title, |key| {
        let public = output::text(key, "public");
        let kind = public.split(' ').next().unwrap_or_default().to_owned();
        vec![output::text(key, "id"), kind, output::text(key, "fingerprint")]
    })
    .await
}

async fn add(cx: &Context, words: &[String]) -> Result<()> {
    let api = cx.api()?;
    let (file, name) = sort(words)?;
    let file = file.map_or_else(default_key, Ok)?;
    let text = fs::read_to_string(&file)
        .map_err(|source| ClientError::File { what: format!("cannot read {}", file.display()), source })?;
    let public = text.trim().to_owned();
    if public.contains("PRIVATE KEY") {
        return Err(ClientError::Usage(format!("{} is a private key; give its .pub file", file.display())));
    }
    let id = name.unwrap_or_else(|| name_of(&public, &file));
    let body = json!({"id": id, "public": public});
    let shown = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let call = api.done(reqwest::Method::POST, "/v2/keys/", Some(&body));
    output::action(&format!("Uploading {shown} to deis"), DETACHED, call).await.map(|_| ())
}

async fn remove(cx: &Context, key: &str) -> Result<()> {
    let api = cx.api()?;
    let path = format!("/v2/keys/{}", segment(key)?);
    output::action(&format!("Removing {key} SSH Key"), DETACHED, api.delete(&path)).await
}

/// Which of the words is the key's file, and which its name.
///
/// A word with a `/` or the ending `.pub` is meant as a file: were a mistyped one taken for a name, then another
/// key would be uploaded.
fn sort(words: &[String]) -> Result<(Option<PathBuf>, Option<String>)> {
    let exists = |word: &&String| Path::new(word).is_file();
    let means_file =
        |word: &&String| word.contains('/') || Path::new(word).extension().is_some_and(|e| e == "pub");
    let file = words.iter().find(|w| means_file(w) && exists(w));
    if let (None, Some(missing)) = (file, words.iter().find(means_file)) {
        return Err(ClientError::Usage(format!("there is no file {missing}")));
    }
    let file = file.or_else(|| words.iter().find(exists));
    if file.is_none() && words.len() > 1 {
        return Err(ClientError::Usage(format!("there is no file among {}", words.join(", "))));
    }
    let name = words.iter().find(|w| file.is_none_or(|f| !std::ptr::eq(f, *w)));
    Ok((file.map(PathBuf::from), name.cloned()))
}

/// The comment of the key, else the file's name.
fn name_of(public: &str, file: &Path) -> String {
    let behind_word =
        |text: &str| text.split_once(char::is_whitespace).map(|(_, rest)| rest.trim().to_owned());
    let comment = behind_word(public).and_then(|rest| behind_word(&rest)).filter(|c| !c.is_empty());
    comment.unwrap_or_else(|| file.file_stem().unwrap_or_default().to_string_lossy().into_owned())
}

/// The public key in `~/.ssh`; the person chooses if there are several.
fn default_key() -> Result<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let mut found: Vec<PathBuf> = fs::read_dir(home.join(".ssh"))
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "pub"))
        .collect();
    found.sort();
    match found.as_slice() {
        [] => Err(ClientError::Usage(
            "there is no public key in ~/.ssh; make one with `ssh-keygen -t ed25519`, or name a file"
                .to_owned(),
        )),
        [only] => Ok(only.clone()),
        several => choose(several),
    }
}

fn choose(files: &[PathBuf]) -> Result<PathBuf> {
    eprintln!("Found the following SSH public keys:");
    for (i, file) in files.iter().enumerate() {
        eprintln!("{}) {}", i + 1, file.display());
    }
    let answer = ask("Which would you like to use with deis? ", "name one of these files")?;
    let number = answer.parse::<usize>().ok().and_then(|n| n.checked_sub(1));
    let chosen = number.and_then(|i| files.get(i)).cloned();
    chosen.ok_or_else(|| ClientError::Usage(format!("{answer:?} is none of the numbers above")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_looks_like_a_file_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
        let (key, typo) = (path("key.pub"), path("typo.pub"));
        fs::write(&key, "").unwrap();
        let sorted = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
            sort(&words).ok()
        };
        let file = Some(PathBuf::from(&key));
        assert_eq!(sorted(&[]), Some((None, None)));
        assert_eq!(sorted(&["laptop"]), Some((None, Some("laptop".to_owned()))));
        assert_eq!(sorted(&[&key]), Some((file.clone(), None)));
        assert_eq!(sorted(&["my/laptop", &key]), Some((file.clone(), Some("my/laptop".to_owned()))));
        assert_eq!(sorted(&[&key, "laptop"]), Some((file, Some("laptop".to_owned()))));
        assert_eq!(sorted(&[&typo]), None);
        assert_eq!(sorted(&["typo.pub"]), None);
        assert_eq!(sorted(&["laptop", "desktop"]), None);
    }

    #[test]
    fn a_key_is_called_by_its_whole_comment() {
        let name = |public| name_of(public, Path::new("/x/id_ed25519.pub"));
        assert_eq!(name("ssh-ed25519 AAAA a/b c@d"), "a/b c@d");
        assert_eq!(name("ssh-ed25519 AAAA"), "id_ed25519");
    }
}
