//! SSH keys of the caller.

use axum::extract::State;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use deis_core::{Digest, Error, Kind, model::SshKey};
use md5::Digest as _;
use uuid::Uuid;

use super::{
    ApiState,
    auth::Caller,
    error::{self, ApiError, Result},
    page::Paging,
    payload::{Payload, Wrong, at_most},
    respond::{Answer, Empty},
    url::Segments,
};
use crate::dto::{KeyDto, PageDto};

/// The caller's keys.
pub(super) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    paging: Paging,
) -> Result<Answer<PageDto<KeyDto>>> {
    let keys = state.platform.keys(&caller.user.name).await?;
    Ok(Answer::ok(paging.cut(keys, KeyDto::from)))
}

/// One of them.
pub(super) async fn info(
    State(state): State<ApiState>,
    caller: Caller,
    segments: Segments,
) -> Result<Answer<KeyDto>> {
    Ok(Answer::ok(state.platform.key(&caller.user.name, id(&segments)).await?.into()))
}

/// Adds a key.
pub(super) async fn add(
    State(state): State<ApiState>,
    caller: Caller,
    payload: Payload,
) -> Result<Answer<KeyDto>> {
    let mut wrong = Wrong::default();
    let id = wrong.take(payload.required("id").and_then(check_id))?;
    let public = wrong.take(payload.required("public").and_then(decoded))?;
    let (Some(id), Some((public, blob))) = (id, public) else { return Err(wrong.into()) };
    let key = SshKey {
        uuid: Uuid::new_v4(),
        id,
        owner: caller.user.name.clone(),
        public,
        fingerprint: Digest::of(&blob),
        fingerprint_md5: md5_fingerprint(&blob),
        created: crate::clock::now(),
    };
    match state.platform.add_key(&key).await {
        Ok(()) => Ok(Answer::created(key.into())),
        Err(error @ Error::AlreadyExists { .. }) => Err(taken(&state, &key, error).await?),
        Err(error) => Err(error.into()),
    }
}

/// Both the name and the material may be in use, as when somebody adds a key twice.
async fn taken(state: &ApiState, key: &SshKey, error: Error) -> Result<ApiError> {
    let both = state.platform.user_by_key(&key.fingerprint).await?.is_some()
        && state.platform.key(&key.owner, &key.id).await.is_ok();
    if !both {
        return Ok(error.into());
    }
    Ok(ApiError::Taken([Kind::KeyId, Kind::Key].into_iter().filter_map(error::taken).collect()))
}

fn check_id(id: String) -> Result<String> {
    at_most("id", &id, 128)?;
    Ok(id)
}

/// Kinds of key that a log-in can use.
const KINDS: [&str; 7] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];
/// Longest text of a key, in bytes; RSA with 16,384 bits has 2,800.
const MAX_PUBLIC: usize = 8 << 10;
/// Shortest RSA key that is safe, in bits.
const MIN_RSA_BITS: usize = 2048;

/// A public key, as one line of `authorized_keys` without options, and its material.
fn decoded(public: String) -> Result<(String, Vec<u8>)> {
    let wrong = |text: &str| Err(ApiError::field("public", text));
    if public.contains("PRIVATE KEY") {
        return wrong("this is a private key, which must stay where it is; give the file that ends in .pub");
    }
    if public.len() > MAX_PUBLIC {
        return wrong("a public key has at most 8192 characters");
    }
    if public.chars().any(char::is_control) {
        return wrong("a public key is one line");
    }
    let mut words = public.split_whitespace();
    let (kind, material) = (words.next().unwrap_or_default(), words.next());
    let Some(blob) = material.and_then(|text| BASE64_STANDARD.decode(text).ok()) else {
        return wrong("Key contains invalid base64 chars");
    };
    // Existing clients may add what no log-in can use ; what says that it can is looked at.
    if !KINDS.contains(&kind) {
        return Ok((public, blob));
    }
    let parts = parts(&blob).unwrap_or_default();
    if parts.len() < 2 || parts[0] != kind.as_bytes() {
        return wrong("the key is damaged: it holds something else than its type says");
    }
    if kind == "ssh-rsa" && parts.get(2).is_none_or(|modulus| bits(modulus) < MIN_RSA_BITS) {
        return wrong("RSA keys have at least 2048 bits");
    }
    Ok((public, blob))
}

/// The length-prefixed parts that a key is made of.
fn parts(mut blob: &[u8]) -> Option<Vec<&[u8]>> {
    let mut parts = Vec::new();
    while !blob.is_empty() {
        let (length, rest) = blob.split_first_chunk::<4>()?;
        let (part, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        parts.push(part);
        blob = rest;
    }
    Some(parts)
}

/// Length of a number, without the zeros before it.
fn bits(number: &[u8]) -> usize {
    let start = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
    let zeros = number.get(start).map_or(0, |byte| byte.leading_zeros());
    (number.len() - start) * 8 - usize::try_from(zeros).unwrap_or(0)
}

fn id(segments: &Segments) -> &str {
    segments.get("id").unwrap_or_default()
}

/// Removes a key.
pub(super) async fn remove(
    State(state): State<ApiState>,
    caller: Caller,
    segments: Segments,
) -> Result<Empty> {
    state.platform.remove_key(&caller.user.name, id(&segments)).await?;
    Ok(Empty::DONE)
}

fn md5_fingerprint(blob: &[u8]) -> String {
    let pairs: Vec<String> = md5::Md5::digest(blob).iter().map(|b| format!("{b:02x}")).collect();
    pairs.join(":")
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, prelude::BASE64_STANDARD};

    use super::{bits, decoded};

    fn line(kind: &str, parts: &[&[u8]]) -> String {
        let mut blob = Vec::new();
        for part in parts {
            blob.extend_from_slice(&u32::try_from(part.len()).unwrap().to_be_bytes());
            blob.extend_from_slice(part);
        }
        format!("{kind} {} ann@laptop", BASE64_STANDARD.encode(blob))
    }

    #[test]
    fn keys_that_no_log_in_can_use_are_told() {
        let rsa = |bytes: usize| {
            let mut modulus = vec![0_u8];
            modulus.resize(bytes + 1, 0xff);
            line("ssh-rsa", &[b"ssh-rsa", b"\x01\0\x01", &modulus])
        };
        let good = [line("ssh-ed25519", &[b"ssh-ed25519", &[1; 32]]), rsa(256), "foo AAAA bar".to_owned()];
        for text in good {
            assert!(decoded(text.clone()).is_ok(), "{text}");
        }
        let ed = line("ssh-ed25519", &[b"ssh-ed25519", &[1; 32]]);
        for text in [
            line("ssh-ed25519", &[b"ssh-rsa", &[1; 32]]),
            line("ssh-ed25519", &[b"ssh-ed25519"]),
            "ssh-ed25519 AAAA".to_owned(),
            "ssh-ed25519".to_owned(),
            rsa(128),
            format!("{ed}\n{ed}"),
            format!("{ed}\r\n"),
            format!("{ed} {}", "x".repeat(10_000)),
            format!("command=\"id\" {ed}"),
            "-----BEGIN OPENSSH PRIVATE KEY----- AAAA".to_owned(),
        ] {
            assert!(decoded(text.clone()).is_err(), "{text}");
        }
        assert_eq!((bits(&[0, 1]), bits(&[0x80, 0]), bits(&[]), bits(&[0])), (1, 16, 0, 0));
    }

    #[test]
    fn fingerprints_are_as_the_contract_has_them() {
        let text = super::md5_fingerprint(&[0, 0, 0]);
        assert_eq!(text, "69:3e:9a:f8:4d:3d:fc:c7:1e:64:0e:00:5b:dc:5e:2e");
    }
}
