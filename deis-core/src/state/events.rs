//! The event log: appended in the batch of the change, read in commit order.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    keys,
    record::{Edits, decode},
};
use crate::{
    model::{AppName, Event},
    port::{Key, Order, Record, Revision, Scan, Store, StoreError, StoreExt as _},
};

/// Where a reader of events is.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EventCursor {
    /// Revision of the last event seen.
    pub revision: u64,
    /// Its key, since one batch can hold several, in the order of their keys.
    pub key: String,
}

impl EventCursor {
    /// Identity of the event that it stands at; `None` where no event was read yet.
    pub fn event(&self) -> Option<Uuid> {
        let (_, id) = self.key.rsplit('/').next()?.split_once('-')?;
        Uuid::parse_str(id).ok()
    }
}

/// Adds an event to a batch, after those that are in it.
pub fn append(edits: &mut Edits, event: &Event) {
    let place = edits.len();
    edits.create_unique(keys::event(event.app.as_ref(), event.at, place, Uuid::new_v4()), event);
}

/// Events that were read, and how far.
#[derive(Debug, Default)]
pub struct Part {
    /// The events, each with its place.
    pub events: Vec<(EventCursor, Event)>,
    /// The last place that was looked at, also if what is there is another app's; `None` if there was nothing new.
    pub seen: Option<EventCursor>,
}

/// Looks at up to `limit` events after `cursor`, oldest first, and returns those of one app, or with `None` all.
///
/// The events of all apps are looked at, so that whoever follows a quiet app moves on with the platform instead of
/// searching everything since that app's last event each time.
///
/// # Errors
/// [`StoreError`], if the store cannot be reached or a record cannot be read.
pub async fn read(
    store: &dyn Store,
    app: Option<&AppName>,
    cursor: Option<&EventCursor>,
    limit: usize,
) -> Result<Part, StoreError> {
    let wanted = app.map_or_else(|| keys::EVENTS.to_owned(), |app| keys::events(Some(app)));
    let after = cursor.map(|c| (Revision(c.revision), Key::new(c.key.clone())));
    let records =
        store.scan(&Scan::prefix(keys::EVENTS).order(Order::Revision { after }).limit(limit)).await?;
    let place =
        |record: &Record| EventCursor { revision: record.revision.0, key: record.key.as_str().to_owned() };
    let own = records.iter().filter(|record| record.key.as_str().starts_with(&wanted));
    let events = own.map(|record| Ok((place(record), decode::<Event>(record)?.value)));
    Ok(Part { events: events.collect::<Result<_, StoreError>>()?, seen: records.last().map(place) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    #[test]
    fn a_cursor_knows_its_event() {
        let id = Uuid::new_v4();
        let app = AppName::new("my-blog").unwrap();
        for app in [Some(&app), None] {
            let cursor = EventCursor {
                revision: 1,
                key: keys::event(app, Timestamp(1_700_000_000_000), 3, id).as_str().to_owned(),
            };
            assert_eq!(cursor.event(), Some(id));
        }
        assert_eq!(EventCursor::default().event(), None);
    }
}
