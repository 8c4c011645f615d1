//! How many connections there may be: of one address and in all, and apart for apps, for the platform, and for those
//! that have not said yet what they want.

use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::ProxyOptions;
use crate::keyed_limit::{Exhausted, KeyedLimit, KeyedPermit};

/// A bound of the proxy that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bound {
    /// Connections of one address that have sent no head of a request yet.
    AddressPending,
    /// Such connections in all.
    TotalPending,
    /// Connections of one address to apps.
    AddressApps,
    /// Connections to apps in all.
    TotalApps,
    /// Connections of one address to the platform's own hosts.
    AddressPlatform,
    /// Connections to the platform's own hosts in all.
    TotalPlatform,
    /// Requests and upgraded connections in flight to one app.
    AppInFlight,
}

impl Bound {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::AddressPending,
        Self::TotalPending,
        Self::AddressApps,
        Self::TotalApps,
        Self::AddressPlatform,
        Self::TotalPlatform,
        Self::AppInFlight,
    ];

    /// Its name in metrics, and the `code` of a refusal by the platform's own hosts.
    pub fn name(self) -> &'static str {
        match self {
            Self::AddressPending => "address_pending_connections",
            Self::TotalPending => "total_pending_connections",
            Self::AddressApps => "address_app_connections",
            Self::TotalApps => "total_app_connections",
            Self::AddressPlatform => "address_platform_connections",
            Self::TotalPlatform => "total_platform_connections",
            Self::AppInFlight => "app_requests_in_flight",
        }
    }

    /// What a person is told.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::AddressPending => "There are too many connections from this address that ask for nothing.",
            Self::TotalPending => "There are too many connections that ask for nothing.",
            Self::AddressApps => "There are as many connections to apps from this address as there may be.",
            Self::TotalApps => "There are as many connections to apps as there may be.",
            Self::AddressPlatform => {
                "There are as many connections to the platform from this address as there may be."
            }
            Self::TotalPlatform => "There are as many connections to the platform as there may be.",
            Self::AppInFlight => "The app has as many requests in flight as it may.",
        }
    }
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Requests for apps.
    Apps,
    /// Requests for the platform's own hosts.
    Platform,
}

/// The bounds of one proxy. Clones share them.
#[derive(Clone)]
pub(super) struct ConnectionLimits {
    pending: Arc<Mutex<PendingHeads>>,
    apps: KeyedLimit<IpAddr>,
    platform: KeyedLimit<IpAddr>,
}

impl ConnectionLimits {
    pub(super) fn new(options: &ProxyOptions) -> Self {
        let pending = PendingHeads {
            per_address: options.max_address_connections,
            total: options.max_pending_connections,
            fair_chance: FAIR_CHANCE,
            next: 0,
            waiting: VecDeque::new(),
            by_address: BTreeMap::new(),
        };
        Self {
            pending: Arc::new(Mutex::new(pending)),
            apps: KeyedLimit::with_total(options.max_address_connections, options.max_connections),
            platform: KeyedLimit::with_total(
                options.max_address_platform_connections,
                options.max_platform_connections,
            ),
        }
    }

    /// A connection that was accepted, and is for nothing yet.
    ///
    /// # Errors
    /// The bound that is reached.
    pub(super) fn accept(&self, address: IpAddr, is_trusted: bool) -> Result<ConnectionPermit, Bound> {
        let address = network_of(address);
        let (id, evicted) = self.lock().enter(address, is_trusted)?;
        let pending = PendingTicket { limits: self.clone(), id };
        let held = Mutex::new(Held::Pending { _ticket: pending });
        Ok(ConnectionPermit { limits: self.clone(), address, is_trusted, evicted, held })
    }

    /// One more of these from this address.
    fn enter(&self, purpose: Purpose, address: IpAddr) -> Result<KeyedPermit<IpAddr>, Bound> {
        match purpose {
            Purpose::Apps => self.apps.enter(address).map_err(|exhausted| match exhausted {
                Exhausted::Key => Bound::AddressApps,
                Exhausted::Total => Bound::TotalApps,
            }),
            Purpose::Platform => self.platform.enter(address).map_err(|exhausted| match exhausted {
                Exhausted::Key => Bound::AddressPlatform,
                Exhausted::Total => Bound::TotalPlatform,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, PendingHeads> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a connection is counted as, as long as it lives: first among those that have sent nothing, then by what its
/// requests are for.
pub(super) struct ConnectionPermit {
    limits: ConnectionLimits,
    address: IpAddr,
    is_trusted: bool,
    evicted: CancellationToken,
    held: Mutex<Held>,
}

enum Held {
    Pending {
        _ticket: PendingTicket,
    },
    For {
        purpose: Purpose,
        _permit: KeyedPermit<IpAddr>,
    },
    /// A trusted proxy's connection: each of its requests is counted for the client that it names.
    Nothing,
}

impl ConnectionPermit {
    /// Counts the connection as one that is for this, and no longer as what it was.
    ///
    /// The connection of a trusted proxy carries requests of many clients. So each request is counted instead, for
    /// `client`, as long as the permit that comes back lives.
    ///
    /// # Errors
    /// The bound that is reached; the connection is still what it was.
    pub(super) fn admit(
        &self,
        purpose: Purpose,
        client: IpAddr,
    ) -> Result<Option<KeyedPermit<IpAddr>>, Bound> {
        if self.is_trusted {
            let permit = self.limits.enter(purpose, network_of(client))?;
            *self.lock() = Held::Nothing;
            return Ok(Some(permit));
        }
        let mut held = self.lock();
        let is_admitted = matches!(&*held, Held::For { purpose: before, .. } if *before == purpose);
        if !is_admitted {
            *held = Held::For { purpose, _permit: self.limits.enter(purpose, self.address)? };
        }
        Ok(None)
    }

    /// Waits until the connection must make room for others, because it has asked for nothing for too long.
    pub(super) async fn evicted(&self) {
        self.evicted.cancelled().await;
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connections that have not sent the head of a request yet, in the order in which they came.
///
/// What such a connection wants is not known, so it counts against nobody's share. That they cannot keep others out, the
/// oldest one gives way to a new one – but not before it had a fair chance to say what it wants.
struct PendingHeads {
    per_address: usize,
    total: usize,
    fair_chance: Duration,
    next: u64,
    waiting: VecDeque<Waiting>,
    by_address: BTreeMap<IpAddr, usize>,
}

struct Waiting {
    id: u64,
    address: IpAddr,
    since: Instant,
    evict: CancellationToken,
}

/// Time in which a connection is not made to give way.
const FAIR_CHANCE: Duration = Duration::from_secs(1);

impl PendingHeads {
    fn enter(&mut self, address: IpAddr, is_trusted: bool) -> Result<(u64, CancellationToken), Bound> {
        let own = self.by_address.get(&address).copied().unwrap_or(0);
        if own >= self.per_address && !is_trusted {
            self.evict(|waiting| waiting.address == address).ok_or(Bound::AddressPending)?;
        } else if self.waiting.len() >= self.total {
            self.evict(|_| true).ok_or(Bound::TotalPending)?;
        }
        let (id, evict) = (self.next, CancellationToken::new());
        self.next += 1;
        self.waiting.push_back(Waiting { id, address, since: Instant::now(), evict: evict.clone() });
        *self.by_address.entry(address).or_insert(0) += 1;
        Ok((id, evict))
    }

    /// Ends the oldest of these connections; `None` if even that one is too new.
    fn evict(&mut self, which: impl Fn(&Waiting) -> bool) -> Option<()> {
        let oldest = self.waiting.iter().find(|waiting| which(waiting))?;
        if oldest.since.elapsed() < self.fair_chance {
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

/// A place among those connections.
struct PendingTicket {
    limits: ConnectionLimits,
    id: u64,
}

impl Drop for PendingTicket {
    fn drop(&mut self) {
        self.limits.lock().leave(self.id);
    }
}

/// Whom an address is counted as. Of IPv6 everybody has at least 2^64 addresses, which count as one.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn limits() -> ConnectionLimits {
        ConnectionLimits::new(&ProxyOptions {
            max_address_connections: 2,
            max_address_platform_connections: 1,
            max_pending_connections: 3,
            max_connections: 3,
            ..ProxyOptions::new("example.com")
        })
    }

    #[tokio::test]
    async fn apps_do_not_take_the_platforms_share() {
        let (limits, one) = (limits(), address("10.0.0.1"));
        let accept = || limits.accept(one, false).unwrap();
        let (first, second) = (accept(), accept());
        first.admit(Purpose::Apps, one).unwrap();
        second.admit(Purpose::Apps, one).unwrap();
        let third = accept();
        assert_eq!(third.admit(Purpose::Apps, one).unwrap_err(), Bound::AddressApps);
        third.admit(Purpose::Platform, one).unwrap();
        let fourth = accept();
        assert_eq!(fourth.admit(Purpose::Platform, one).unwrap_err(), Bound::AddressPlatform);
        drop(third);
        fourth.admit(Purpose::Platform, one).unwrap();
        // The same connection asks for an app, and gives back its share of the platform's.
        drop(first);
        fourth.admit(Purpose::Apps, one).unwrap();
        assert_eq!(limits.platform.held(), 0);
        let two = address("10.0.0.2");
        limits.accept(two, false).unwrap().admit(Purpose::Apps, two).unwrap();
        drop((second, fourth));
        assert_eq!((limits.apps.held(), limits.lock().waiting.len()), (0, 0));
    }

    #[tokio::test]
    async fn requests_of_a_trusted_proxy_count_for_their_clients() {
        let (limits, balancer) = (limits(), address("10.0.0.1"));
        let connections: Vec<_> = (0..3).map(|_| limits.accept(balancer, true).unwrap()).collect();
        let [one, two] = [address("192.0.2.1"), address("192.0.2.2")];
        let of_one: Vec<_> = (0..2).map(|n| connections[n].admit(Purpose::Apps, one).unwrap()).collect();
        assert_eq!(connections[2].admit(Purpose::Apps, one).unwrap_err(), Bound::AddressApps);
        let of_two = connections[2].admit(Purpose::Apps, two).unwrap();
        drop(of_one);
        assert!(connections[0].admit(Purpose::Apps, one).unwrap().is_some());
        drop(of_two);
        assert_eq!(limits.apps.held(), 0);
    }

    #[tokio::test]
    async fn who_asks_for_nothing_gives_way() {
        let (limits, one) = (limits(), address("10.0.0.1"));
        let (first, second) = (limits.accept(one, false).unwrap(), limits.accept(one, false).unwrap());
        assert_eq!(limits.accept(one, false).err(), Some(Bound::AddressPending));
        let other = limits.accept(address("10.0.0.2"), false).unwrap();
        assert_eq!(limits.accept(address("10.0.0.3"), false).err(), Some(Bound::TotalPending));
        limits.lock().fair_chance = Duration::ZERO;
        let third = limits.accept(one, false).unwrap();
        first.evicted().await;
        assert!(!second.evicted.is_cancelled() && !other.evicted.is_cancelled());
        limits.accept(address("10.0.0.3"), false).unwrap();
        second.evicted().await;
        drop((first, second, third, other));
        assert!(limits.lock().by_address.is_empty() && limits.lock().waiting.is_empty());
    }

    #[test]
    fn everybody_has_one_address() {
        assert_eq!(network_of(address("::ffff:10.0.0.1")), address("10.0.0.1"));
        assert_eq!(network_of(address("2001:db8:1:2:3:4:5:6")), network_of(address("2001:db8:1:2::")));
        assert_ne!(network_of(address("2001:db8:1:2::")), network_of(address("2001:db8:1:3::")));
    }
}
