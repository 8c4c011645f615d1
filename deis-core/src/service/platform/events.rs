//! The event stream: what happened, in commit order, from any point on.

use std::{collections::VecDeque, time::Duration};

use futures_util::{StreamExt as _, stream::BoxStream};

use super::Platform;
use crate::{
    error::Result,
    model::{AppName, Event},
    state::events::{EventCursor, read},
};

/// Events with the place to go on from.
pub type EventStream = BoxStream<'static, Result<(EventCursor, Event)>>;

const CHUNK: usize = 200;

impl Platform {
    /// The events of all apps and of the platform itself after `cursor`, and all later ones as they happen.
    pub fn events(&self, cursor: Option<EventCursor>) -> EventStream {
        follow(self.clone(), None, cursor)
    }
}

pub(in crate::service) fn follow(
    platform: Platform,
    app: Option<AppName>,
    cursor: Option<EventCursor>,
) -> EventStream {
    let changed = platform.0.changed.subscribe();
    let state = (platform, app, cursor, changed, VecDeque::new());
    futures_util::stream::try_unfold(
        state,
        |(platform, app, mut cursor, mut changed, mut waiting)| async move {
            loop {
                if let Some((place, event)) = waiting.pop_front() {
                    let rest = (platform, app, cursor, changed, waiting);
                    return Ok(Some(((place, event), rest)));
                }
                changed.mark_unchanged();
                let part = read(platform.store(), app.as_ref(), cursor.as_ref(), CHUNK).await?;
                waiting.extend(part.events);
                if let Some(seen) = part.seen {
                    cursor = Some(seen);
                } else {
                    // Other processes commit too, and tell nobody here.
                    let _ = tokio::time::timeout(Duration::from_secs(2), changed.changed()).await;
                }
            }
        },
    )
    .boxed()
}
