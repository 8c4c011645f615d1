//! The event stream: what happened, in commit order, from any point on.

use std::{collections::VecDeque, time::Duration};

use futures_util::{StreamExt as _, stream::BoxStream};

use super::{handle::AppHandle, platform::Platform};
use crate::{
    error::Result,
    model::{AppName, Event},
    state::events::{Cursor, read},
};

/// Events with the place to go on from.
pub type EventStream = BoxStream<'static, Result<(Cursor, Event)>>;

const CHUNK: usize = 200;

impl AppHandle {
    /// The app's events after `cursor` (from the beginning with `None`), and all later ones as they happen.
    ///
    /// ```
    /// # use deis_core::{Actor, AppName, Username, conformance::sim::{World, drive_until_idle, platform}};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let world = World::new();
    /// # let platform = platform(&world);
    /// # let session = platform.session(Actor::System { name: Username::new("ann")? });
    /// # let app = session.app(&session.create_app(AppName::new("blog")?).await?.name).await?;
    /// use futures_util::StreamExt as _;
    ///
    /// let mut events = app.events(None);
    /// let (cursor, first) = events.next().await.ok_or("there is one")??;
    /// assert_eq!(first.kind, deis_core::EventKind::AppCreated);
    /// // Whoever keeps the cursor goes on from there, in another process too.
    /// assert!(app.events(Some(cursor)).next().await.is_some());
    /// # Ok(())
    /// # }
    /// ```
    pub fn events(&self, cursor: Option<Cursor>) -> EventStream {
        follow(self.platform.clone(), Some(self.name().clone()), cursor)
    }
}

impl Platform {
    /// The events of all apps and of the platform itself after `cursor`, and all later ones as they happen.
    pub fn events(&self, cursor: Option<Cursor>) -> EventStream {
        follow(self.clone(), None, cursor)
    }
}

fn follow(platform: Platform, app: Option<AppName>, cursor: Option<Cursor>) -> EventStream {
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
