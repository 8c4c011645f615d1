//! What happened to an app, in commit order, from any point on.

use super::handle::AppHandle;
use crate::{
    service::platform::events::{EventStream, follow},
    state::events::EventCursor,
};

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
    /// assert_eq!(first.kind, deis_core::model::EventKind::AppCreated);
    /// // Whoever keeps the cursor goes on from there, in another process too.
    /// assert!(app.events(Some(cursor)).next().await.is_some());
    /// # Ok(())
    /// # }
    /// ```
    pub fn events(&self, cursor: Option<EventCursor>) -> EventStream {
        follow(self.platform.clone(), Some(self.name().clone()), cursor)
    }
}
