//! The app's log.

use super::handle::AppHandle;
use crate::{error::Result, model::LogQuery, port::LogStream};

impl AppHandle {
    /// The newest lines that `query` selects, and with `follow` all later ones.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable) if the log store cannot be read.
    pub async fn logs(&self, query: &LogQuery) -> Result<LogStream> {
        Ok(self.platform.0.logs.tail(&self.app.reference(), query).await?)
    }
}
