//! SSH keys of the caller.

use axum::extract::{Path, State};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use deis_core::{Digest, SshKey};
use md5::Digest as _;
use uuid::Uuid;

use super::{
    ApiState,
    auth::Caller,
    error::{ApiError, Result},
    json::{Answer, Empty, Payload},
    page::{PageDto, Paging},
};
use crate::dto::KeyDto;

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
    Path(id): Path<String>,
) -> Result<Answer<KeyDto>> {
    Ok(Answer::ok(state.platform.key(&caller.user.name, &id).await?.into()))
}

/// Adds a key.
pub(super) async fn add(
    State(state): State<ApiState>,
    caller: Caller,
    payload: Payload,
) -> Result<Answer<KeyDto>> {
    let (id, public) = (payload.required("id")?, payload.required("public")?);
    if id.chars().count() > 128 {
        return Err(ApiError::field("id", "Ensure this field has no more than 128 characters."));
    }
    let blob = public.split_whitespace().nth(1).and_then(|text| BASE64_STANDARD.decode(text).ok());
    let blob = blob.ok_or_else(|| ApiError::field("public", "Key contains invalid base64 chars"))?;
    let key = SshKey {
        uuid: Uuid::new_v4(),
        id,
        owner: caller.user.name.clone(),
        public,
        fingerprint: Digest::of(&blob),
        fingerprint_md5: md5_fingerprint(&blob),
        created: crate::clock::now(),
    };
    state.platform.add_key(&key).await?;
    Ok(Answer::created(key.into()))
}

/// Removes a key.
pub(super) async fn remove(
    State(state): State<ApiState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Empty> {
    state.platform.remove_key(&caller.user.name, &id).await?;
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
