//! The event log: appended in the batch of the change, read in commit order.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    keys,
    record::{Edits, decode},
};
use crate::{
    model::{AppName, Event},
    port::{Key, Order, Revision, Scan, Store, StoreError},
};

/// Where a reader of events is.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cursor {
    /// Revision of the last event seen.
    pub revision: u64,
    /// Its key, since one batch can hold several, in the order of their keys.
    pub key: String,
}

/// Adds an event to a batch, after those that are in it.
pub fn append(edits: &mut Edits, event: &Event) {
    let place = edits.len();
    edits.create(keys::event(event.app.as_ref(), place, Uuid::new_v4()), event);
}

/// Events after `cursor`, oldest first: those of one app, or with `None` those of the whole platform.
pub async fn read(
    store: &dyn Store,
    app: Option<&AppName>,
    cursor: Option<&Cursor>,
    limit: usize,
) -> Result<Vec<(Cursor, Event)>, StoreError> {
    let prefix = app.map_or_else(|| "event/".to_owned(), |app| keys::events(Some(app)));
    let after = cursor.map(|c| (Revision(c.revision), Key::new(c.key.clone())));
    let scan = Scan::prefix(prefix).order(Order::Revision { after }).limit(limit);
    let records = store.scan(&scan).await?;
    records
        .iter()
        .map(|record| {
            let cursor = Cursor { revision: record.revision.0, key: record.key.as_str().to_owned() };
            Ok((cursor, decode::<Event>(record)?.value))
        })
        .collect()
}
