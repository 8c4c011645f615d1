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
    /// This part of a range of records.
    pub(crate) fn part_of(self, scan: crate::port::Scan) -> crate::port::Scan {
        scan.skip(self.offset).limit(self.limit)
    }
}
