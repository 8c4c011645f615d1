//! SSH keys of the caller.

use axum::extract::State;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use deis_core::{Digest, Error, Kind, SshKey};
use md5::Digest as _;
use uuid::Uuid;

use super::{
    ApiState,
    auth::Caller,
    error::{ApiError, Result},
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
    let mut wrong = Wrong::default();
    for what in [Kind::KeyId, Kind::Key] {
        wrong.take::<()>(Err(Error::AlreadyExists { what, name: key.id.clone() }.into()))?;
    }
    Ok(wrong.into())
}

fn check_id(id: String) -> Result<String> {
    at_most("id", &id, 128)?;
    Ok(id)
}

/// A public key and its material.
fn decoded(public: String) -> Result<(String, Vec<u8>)> {
    match public.split_whitespace().nth(1).and_then(|text| BASE64_STANDARD.decode(text).ok()) {
        Some(blob) => Ok((public, blob)),
        None => Err(ApiError::field("public", "Key contains invalid base64 chars")),
    }
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
    #[test]
    fn fingerprints_are_as_the_contract_has_them() {
        let text = super::md5_fingerprint(&[0, 0, 0]);
        assert_eq!(text, "69:3e:9a:f8:4d:3d:fc:c7:1e:64:0e:00:5b:dc:5e:2e");
    }
}
