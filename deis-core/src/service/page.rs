//! Parts of long lists.

/// Which part of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageQuery {
    /// Items to skip.
    pub offset: usize,
    /// Items to return at most.
    pub limit: usize,
}

impl Default for PageQuery {
    fn default() -> Self {
        Self { offset: 0, limit: 100 }
    }
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items asked for.
    pub items: Vec<T>,
    /// Length of the whole list.
    pub total: usize,
}

impl PageQuery {
    /// The number below which this part of a list begins whose items are numbered from 1 to `newest`, newest first.
    pub(crate) fn below(self, newest: u32) -> u32 {
        newest.saturating_add(1).saturating_sub(u32::try_from(self.offset).unwrap_or(u32::MAX))
    }

    /// The part of a whole list.
    pub(crate) fn cut<T>(self, all: Vec<T>) -> Page<T> {
        let total = all.len();
        Page { items: all.into_iter().skip(self.offset).take(self.limit).collect(), total }
    }
}
