//! How many connections there may be: of one address and in all, and apart for apps, for the platform, and for those
//! that have not said yet what they want.

use std::{
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio_util::sync::CancellationToken;

use super::ProxyOptions;
use crate::{
    keyed_limit::{Exhausted, KeyedLimit, KeyedPermit},
    network::network_of,
    pending::{Pending, PendingTicket},
};

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
    /// Connections of trusted proxies in all.
    TotalProxies,
    /// Requests and upgraded connections in flight to one app.
    AppInFlight,
}

impl Bound {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::AddressPending,
        Self::TotalPending,
        Self::AddressApps,
        Self::TotalApps,
        Self::AddressPlatform,
        Self::TotalPlatform,
        Self::TotalProxies,
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
            Self::TotalProxies => "total_proxy_connections",
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
            Self::TotalProxies => "There are as many connections of trusted proxies as there may be.",
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
    pending: Pending,
    proxies: KeyedLimit<IpAddr>,
    apps: KeyedLimit<IpAddr>,
    platform: KeyedLimit<IpAddr>,
}

impl ConnectionLimits {
    pub(super) fn new(options: &ProxyOptions) -> Self {
        Self {
            pending: Pending::new(options.max_address_connections, options.max_pending_connections),
            proxies: KeyedLimit::with_total(usize::MAX, options.max_proxy_connections),
            apps: KeyedLimit::with_total(options.max_address_connections, options.max_connections),
            platform: KeyedLimit::with_total(
                options.max_address_platform_connections,
                options.max_platform_connections,
            ),
        }
    }

    /// A connection that was accepted, and is for nothing yet.
    ///
    /// That of a trusted proxy counts among those of all trusted proxies as long as it lives: between two requests it
    /// counts for no client.
    ///
    /// # Errors
    /// The bound that is reached.
    pub(super) fn accept(&self, address: IpAddr, is_trusted: bool) -> Result<ConnectionPermit, Bound> {
        let address = network_of(address);
        let proxy = if is_trusted {
            Some(self.proxies.enter(address).map_err(|_| Bound::TotalProxies)?)
        } else {
            None
        };
        let ticket = self.pending.enter(address, !is_trusted).map_err(|exhausted| match exhausted {
            Exhausted::Key => Bound::AddressPending,
            Exhausted::Total => Bound::TotalPending,
        })?;
        let evicted = ticket.evicted().clone();
        let counted_as = Mutex::new(CountedAs::Pending { _ticket: ticket });
        Ok(ConnectionPermit { limits: self.clone(), address, proxy, evicted, counted_as })
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
}

/// What a connection is counted as, as long as it lives: first among those that have sent nothing, then by what its
/// requests are for.
pub(super) struct ConnectionPermit {
    limits: ConnectionLimits,
    address: IpAddr,
    /// Where it is a trusted proxy's.
    proxy: Option<KeyedPermit<IpAddr>>,
    evicted: CancellationToken,
    counted_as: Mutex<CountedAs>,
}

enum CountedAs {
    Pending {
        _ticket: PendingTicket,
    },
    For {
        purpose: Purpose,
        _permit: KeyedPermit<IpAddr>,
    },
    /// Each of its requests is counted for the client that its proxy names.
    ByRequest,
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
        if self.proxy.is_some() {
            let permit = self.limits.enter(purpose, network_of(client))?;
            *self.lock() = CountedAs::ByRequest;
            return Ok(Some(permit));
        }
        let mut counted_as = self.lock();
        let is_admitted =
            matches!(&*counted_as, CountedAs::For { purpose: before, .. } if *before == purpose);
        if !is_admitted {
            // The new place is taken before the old one is given back: a connection is never counted nowhere.
            *counted_as = CountedAs::For { purpose, _permit: self.limits.enter(purpose, self.address)? };
        }
        Ok(None)
    }

    /// Waits until the connection must make room for others, because it has asked for nothing for too long.
    pub(super) async fn evicted(&self) {
        self.evicted.cancelled().await;
    }

    fn lock(&self) -> MutexGuard<'_, CountedAs> {
        self.counted_as.lock().unwrap_or_else(PoisonError::into_inner)
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
            max_proxy_connections: 3,
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
        assert_eq!((limits.apps.held(), limits.pending.len()), (0, 0));
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
        let stranger = limits.accept(address("10.0.0.3"), false).unwrap();
        first.evicted().await;
        assert_eq!(limits.accept(address("10.0.0.4"), false).err(), Some(Bound::TotalPending));
        assert!(!second.evicted.is_cancelled() && !other.evicted.is_cancelled());
        drop((first, second, other, stranger));
        assert_eq!(limits.pending.len(), 0);
    }

    #[tokio::test]
    async fn connections_of_trusted_proxies_count_while_nobody_asks_anything() {
        let (limits, balancer) = (limits(), address("10.0.0.1"));
        let held: Vec<_> = (0..3).map(|_| limits.accept(balancer, true).unwrap()).collect();
        for connection in &held {
            connection.admit(Purpose::Platform, address("192.0.2.1")).unwrap();
        }
        assert_eq!((limits.pending.len(), limits.platform.held()), (0, 0));
        assert_eq!(limits.accept(balancer, true).err(), Some(Bound::TotalProxies));
        limits.accept(address("10.0.0.2"), false).unwrap();
        drop(held);
        limits.accept(balancer, true).unwrap();
        assert_eq!(limits.proxies.held(), 0);
    }
}
