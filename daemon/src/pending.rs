//! Connections that have not said yet what they want, or whose they are.
//!
//! Such a connection counts against nobody's share, for nobody is known. That they cannot keep others out, one of them
//! gives way to a new one: within an address its oldest, and among all addresses the oldest of the one that has most.
//! So somebody who fills all places loses one to whoever comes from elsewhere, and needs as many addresses as there are
//! places to keep a stranger out.

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::keyed_limit::Exhausted;

/// Time in which a connection is not made to give way to another one of its own address.
const MIN_LIFE: Duration = Duration::from_secs(1);

/// The connections that are pending. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Pending(Arc<Mutex<Connections>>);

#[derive(Debug)]
struct Connections {
    per_address: usize,
    total: usize,
    min_life: Duration,
    next: u64,
    /// In the order in which they came.
    waiting: VecDeque<Waiting>,
    by_address: BTreeMap<IpAddr, usize>,
}

#[derive(Debug)]
struct Waiting {
    id: u64,
    address: IpAddr,
    since: Instant,
    evict: CancellationToken,
}

/// A place among them, given back when this value goes.
#[derive(Debug)]
pub(crate) struct PendingTicket {
    pending: Pending,
    id: u64,
    evicted: CancellationToken,
}

impl PendingTicket {
    /// Cancelled when the connection has to make room for another one.
    pub(crate) fn evicted(&self) -> &CancellationToken {
        &self.evicted
    }
}

impl Pending {
    /// Places for so many of each address, and in all.
    pub(crate) fn new(per_address: usize, total: usize) -> Self {
        Self(Arc::new(Mutex::new(Connections {
            per_address,
            total,
            min_life: MIN_LIFE,
            next: 0,
            waiting: VecDeque::new(),
            by_address: BTreeMap::new(),
        })))
    }

    /// A place for one more connection of `address`. `is_bounded`: whether the bound of each address holds for it.
    ///
    /// # Errors
    /// The bound that is reached, where nobody can be made to give way.
    pub(crate) fn enter(&self, address: IpAddr, is_bounded: bool) -> Result<PendingTicket, Exhausted> {
        let (id, evicted) = self.lock().enter(address, is_bounded)?;
        Ok(PendingTicket { pending: self.clone(), id, evicted })
    }

    /// How many there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    /// No connection has a chance to say what it wants.
    #[cfg(test)]
    pub(crate) fn without_min_life(&self) {
        self.lock().min_life = Duration::ZERO;
    }

    fn lock(&self) -> MutexGuard<'_, Connections> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connections {
    fn enter(&mut self, address: IpAddr, is_bounded: bool) -> Result<(u64, CancellationToken), Exhausted> {
        let own = self.by_address.get(&address).copied().unwrap_or(0);
        if own >= self.per_address && is_bounded {
            self.evict_of(address, self.min_life).ok_or(Exhausted::Key)?;
        } else if self.waiting.len() >= self.total {
            let largest = self.by_address.iter().max_by_key(|(_, count)| **count);
            let (from, count) = largest.map(|(from, count)| (*from, *count)).ok_or(Exhausted::Total)?;
            // Whoever has more than the newcomer has had a chance already, by the others.
            let chance = if count > own + 1 { Duration::ZERO } else { self.min_life };
            self.evict_of(from, chance).ok_or(Exhausted::Total)?;
        }
        let (id, evict) = (self.next, CancellationToken::new());
        self.next += 1;
        self.waiting.push_back(Waiting { id, address, since: Instant::now(), evict: evict.clone() });
        *self.by_address.entry(address).or_insert(0) += 1;
        Ok((id, evict))
    }

    /// Ends the oldest connection of an address; `None` if even that one is too new.
    fn evict_of(&mut self, address: IpAddr, min_life: Duration) -> Option<()> {
        let oldest = self.waiting.iter().find(|waiting| waiting.address == address)?;
        if oldest.since.elapsed() < min_life {
            return None;
        }
        oldest.evict.cancel();
        let id = oldest.id;
        self.leave(id);
        Some(())
    }

    fn leave(&mut self, id: u64) {
        let Ok(place) = self.waiting.binary_search_by_key(&id, |waiting| waiting.id) else { return };
        let Some(gone) = self.waiting.remove(place) else { return };
        if let Some(own) = self.by_address.get_mut(&gone.address) {
            *own -= 1;
            if *own == 0 {
                self.by_address.remove(&gone.address);
            }
        }
    }
}

impl Drop for PendingTicket {
    fn drop(&mut self) {
        self.pending.lock().leave(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn within_an_address_the_oldest_gives_way_after_its_chance() {
        let pending = Pending::new(2, 9);
        let one = address("10.0.0.1");
        let enter = || pending.enter(one, true);
        let (first, second) = (enter().unwrap(), enter().unwrap());
        assert_eq!(enter().unwrap_err(), Exhausted::Key);
        assert!(pending.enter(one, false).is_ok(), "a trusted proxy has more");
        pending.without_min_life();
        let third = enter().unwrap();
        assert!(first.evicted().is_cancelled() && !second.evicted().is_cancelled());
        drop((first, second, third));
        assert!(pending.len() == 0 && pending.lock().by_address.is_empty());
    }

    #[tokio::test]
    async fn who_has_most_gives_way_to_whoever_comes_from_elsewhere() {
        let pending = Pending::new(3, 4);
        let enter = |text: &str| pending.enter(address(text), true);
        let flood: Vec<_> = (0..3).map(|_| enter("10.0.0.1").unwrap()).collect();
        let other = enter("10.0.0.2").unwrap();
        let stranger = enter("10.0.0.3").unwrap();
        assert!(flood[0].evicted().is_cancelled() && !flood[1].evicted().is_cancelled());
        let fourth = enter("10.0.0.4").unwrap();
        assert!(flood[1].evicted().is_cancelled() && !flood[2].evicted().is_cancelled());
        // Nobody has more than this newcomer would have.
        assert_eq!(enter("10.0.0.5").unwrap_err(), Exhausted::Total);
        drop(fourth);
        assert!(!other.evicted().is_cancelled() && !stranger.evicted().is_cancelled());
    }
}
