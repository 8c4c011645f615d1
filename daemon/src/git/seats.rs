//! How many connections one user may have.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use deis_core::Username;

/// Who is connected how often. Clones share one.
#[derive(Clone, Debug)]
pub(super) struct Seats {
    taken: Arc<Mutex<HashMap<Username, usize>>>,
    most: usize,
}

/// One connection of a user, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Seats,
    user: Username,
}

impl Seats {
    /// At most so many for each user.
    pub(super) fn new(most: usize) -> Self {
        Self { taken: Arc::default(), most }
    }

    /// A seat, if the user has one left.
    pub(super) fn take(&self, user: &Username) -> Option<Seat> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(user.clone()).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Seat { seats: self.clone(), user: user.clone() })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_is_free_again_when_its_connection_is_gone() {
        let seats = Seats::new(2);
        let (ann, bob) = (Username::new("ann").unwrap(), Username::new("bob").unwrap());
        let first = seats.take(&ann).unwrap();
        let _second = seats.take(&ann).unwrap();
        assert!(seats.take(&ann).is_none());
        assert!(seats.take(&bob).is_some());
        drop(first);
        assert!(seats.take(&ann).is_some());
    }
}
