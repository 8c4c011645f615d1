//! How many git conversations there may be at a time, and the threads that they are held on.
//!
//! A conversation waits for its client. It does so on a thread of its own: those of the runtime that may block are
//! there for everybody, and one user's idle clients must not be able to take them all.

use std::{io, sync::Arc};

use deis_core::Username;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::keyed_limit::{KeyedLimit, KeyedPermit};

/// Conversations in all.
pub(super) const MAX_CONVERSATIONS: usize = 64;
/// Conversations of one user.
pub(super) const MAX_CONVERSATIONS_OF_USER: usize = 16;

/// Counts conversations. Clones share the counts.
#[derive(Clone, Debug)]
pub(super) struct Conversations {
    all: Arc<Semaphore>,
    users: KeyedLimit<Username>,
}

/// The right to one conversation, given back when this value goes.
#[derive(Debug)]
pub struct Conversation {
    _all: OwnedSemaphorePermit,
    _user: KeyedPermit<Username>,
}

/// Why there is no place for another conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Crowded {
    /// The user has as many as one may have.
    #[error("you have {max} git commands running here, as many as one user may; try again when one has ended", max = MAX_CONVERSATIONS_OF_USER)]
    User,
    /// There are as many as there may be.
    #[error("{max} git commands are running here, as many as there may be; try again in a moment", max = MAX_CONVERSATIONS)]
    All,
}

impl Conversations {
    pub(super) fn new() -> Self {
        Self {
            all: Arc::new(Semaphore::new(MAX_CONVERSATIONS)),
            users: KeyedLimit::new(MAX_CONVERSATIONS_OF_USER),
        }
    }

    pub(super) fn enter(&self, user: &Username) -> Result<Conversation, Crowded> {
        let user = self.users.enter(user.clone()).map_err(|_| Crowded::User)?;
        let all = Arc::clone(&self.all).try_acquire_owned().map_err(|_| Crowded::All)?;
        Ok(Conversation { _all: all, _user: user })
    }
}

/// Runs work on a thread of its own. Only what holds a [`Conversation`] may, so that their number has a bound.
///
/// # Errors
///
/// Where no thread can be made, and where the work panicked.
pub(super) async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let (sender, answer) = oneshot::channel();
    // Whoever asked may be gone; the work is done all the same.
    let run = move || drop(sender.send(work()));
    std::thread::Builder::new().name("git".to_owned()).spawn(run)?;
    answer.await.map_err(|_| io::Error::other("a git conversation ended without an answer"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_a_share_and_all_have_a_bound() {
        let all = Conversations::new();
        let name = |n: usize| Username::new(format!("user{n}")).unwrap();
        let mut held: Vec<_> = (0..MAX_CONVERSATIONS_OF_USER).map(|_| all.enter(&name(0)).unwrap()).collect();
        assert_eq!(all.enter(&name(0)).unwrap_err(), Crowded::User);
        for user in 1..MAX_CONVERSATIONS / MAX_CONVERSATIONS_OF_USER {
            held.extend((0..MAX_CONVERSATIONS_OF_USER).map(|_| all.enter(&name(user)).unwrap()));
        }
        assert_eq!(all.enter(&name(9)).unwrap_err(), Crowded::All);
        held.pop();
        all.enter(&name(9)).unwrap();
    }

    #[tokio::test]
    async fn work_that_panics_is_an_error() {
        assert_eq!(on_thread(|| 7).await.unwrap(), 7);
        assert!(on_thread(|| -> u8 { panic!("on purpose") }).await.is_err());
    }
}
