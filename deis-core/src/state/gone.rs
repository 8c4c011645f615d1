//! Which platform a ledger is of, and which of its apps were destroyed.
//!
//! Back ends can have more than the ledger knows: of an app that was destroyed, but also of an app that a restored
//! backup does not know yet, or of another platform. Only what is known to be destroyed may be removed, so destruction
//! leaves a record.

use std::{collections::BTreeSet, time::Duration};

use uuid::Uuid;

use super::{
    keys,
    record::{Edits, decode, get, scan},
};
use crate::{
    model::{AppRef, AppUid, Gone, Head, PlatformId, PlatformRecord, Timestamp},
    port::{Found, Read, Scan, Store, StoreError},
};

/// How long the record of a destroyed app is kept at least.
pub const GONE_KEPT: Duration = Duration::from_secs(90 * 24 * 3600);
/// Most records that one batch drops, or one call reads.
const CHUNK: usize = 500;

/// How an app that a back end has stands to the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is on record.
    Present,
    /// It was destroyed, or its name lives on in another app.
    Gone,
    /// The ledger never heard of it: nobody can say whether it is wanted.
    Unknown,
}

/// The platform's id; the first caller of all makes it.
///
/// # Errors
/// [`StoreError`], if the store cannot be reached or the record cannot be read.
pub async fn platform_id(store: &dyn Store) -> Result<PlatformId, StoreError> {
    if let Some(known) = get::<PlatformRecord>(store, &keys::platform()).await? {
        return Ok(known.value.id);
    }
    let fresh = PlatformRecord { id: PlatformId(Uuid::new_v4()) };
    let mut edits = Edits::new();
    edits.create(keys::platform(), &fresh);
    match edits.commit(store).await {
        Ok(_) => Ok(fresh.id),
        // Somebody else made it in between, or the answer was lost and it is there all the same.
        Err(error @ (StoreError::Conflict { .. } | StoreError::Unavailable(_))) => {
            let known = get::<PlatformRecord>(store, &keys::platform()).await?;
            known.map(|record| record.value.id).ok_or(error)
        }
        Err(error) => Err(error),
    }
}

/// How `app` stands to the ledger.
///
/// A list of a back end must have been read before: an app that is neither on record nor gone now was not on record
/// either when the list was made, since destruction leaves its mark in the batch that removes the app.
///
/// # Errors
/// [`StoreError`], if the store cannot be reached or a record cannot be read.
pub async fn presence(store: &dyn Store, app: &AppRef) -> Result<Presence, StoreError> {
    let reads = [Read::Get(keys::head(&app.name)), Read::Get(keys::gone(app.uid))];
    let mut found = store.read(&reads).await?.found.into_iter().map(|found| match found {
        Found::Records(records) => records.into_iter().next(),
        Found::Count(_) => None,
    });
    let (head, gone) = (found.next().flatten(), found.next().flatten());
    if let Some(head) = head.as_ref().map(decode::<Head>).transpose()? {
        return Ok(if head.value.uid == app.uid { Presence::Present } else { Presence::Gone });
    }
    Ok(if gone.is_some() { Presence::Gone } else { Presence::Unknown })
}

/// Which of these apps were destroyed.
///
/// # Errors
/// [`StoreError`], if the store cannot be reached.
pub async fn destroyed_among(
    store: &dyn Store,
    apps: &BTreeSet<AppUid>,
) -> Result<BTreeSet<AppUid>, StoreError> {
    let mut destroyed = BTreeSet::new();
    let all: Vec<AppUid> = apps.iter().copied().collect();
    for some in all.chunks(CHUNK) {
        let reads: Vec<Read> = some.iter().map(|app| Read::Get(keys::gone(*app))).collect();
        let found = store.read(&reads).await?.found;
        let is_there = |found: &Found| matches!(found, Found::Records(records) if !records.is_empty());
        destroyed.extend(some.iter().zip(&found).filter(|(_, found)| is_there(found)).map(|(app, _)| *app));
    }
    Ok(destroyed)
}

/// Drops records of apps that were destroyed longer ago than [`GONE_KEPT`], but for those in `listed`: a back end
/// still has something of them. At most 500 at a time; the next call goes on.
///
/// # Errors
/// [`StoreError`]; another process that drops the same records is none.
pub async fn drop_old(
    store: &dyn Store,
    listed: &BTreeSet<AppUid>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let kept: BTreeSet<_> = listed.iter().map(|uid| keys::gone(*uid)).collect();
    let kept_ms = i64::try_from(GONE_KEPT.as_millis()).unwrap_or(i64::MAX);
    let mut edits = Edits::new();
    for (key, gone) in scan::<Gone>(store, &Scan::prefix(keys::GONE)).await? {
        let old = now.0.saturating_sub(gone.value.at.0) > kept_ms;
        if old && !kept.contains(&key) && edits.len() < CHUNK {
            edits.delete(key, gone.revision);
        }
    }
    if edits.is_empty() {
        return Ok(());
    }
    match edits.commit(store).await {
        Ok(_) | Err(StoreError::Conflict { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}
