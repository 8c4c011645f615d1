//! Which apps are gone for good, as far as a back end in memory has to know.

use std::collections::{HashSet, VecDeque};

use crate::model::AppUid;

/// How many are remembered.
const REMEMBERED: usize = 10_000;

/// The apps that were destroyed last: what is still under way for one of them must not bring it back.
///
/// A uid is never used again, and whatever can come late was begun by this very process before the app was destroyed. So
/// it is enough to remember as many as can be destroyed while one call is under way; to remember all would let a process
/// that runs for years grow with every app that there ever was.
#[derive(Debug, Default)]
pub(crate) struct DestroyedApps {
    known: HashSet<AppUid>,
    /// The oldest one first.
    order: VecDeque<AppUid>,
}

impl DestroyedApps {
    pub(crate) fn insert(&mut self, app: AppUid) {
        if !self.known.insert(app) {
            return;
        }
        self.order.push_back(app);
        while self.order.len() > REMEMBERED {
            if let Some(oldest) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }

    pub(crate) fn contains(&self, app: AppUid) -> bool {
        self.known.contains(&app)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_remembered_and_the_number_is_bounded() {
        let uid = |n: usize| AppUid(uuid::Uuid::from_u128(u128::try_from(n).unwrap()));
        let mut destroyed = DestroyedApps::default();
        for n in 0..REMEMBERED + 5 {
            destroyed.insert(uid(n));
            destroyed.insert(uid(n));
        }
        assert!(!destroyed.contains(uid(4)) && destroyed.contains(uid(5)));
        assert!(destroyed.contains(uid(REMEMBERED + 4)));
        assert_eq!((destroyed.known.len(), destroyed.order.len()), (REMEMBERED, REMEMBERED));
    }
}
