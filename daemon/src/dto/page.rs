//! A part of a list.

use serde::Serialize;

/// A page, with links to those beside it.
#[derive(Debug, Serialize)]
pub(crate) struct PageDto<T> {
    pub(crate) count: usize,
    pub(crate) next: Option<String>,
    pub(crate) previous: Option<String>,
    pub(crate) results: Vec<T>,
}
