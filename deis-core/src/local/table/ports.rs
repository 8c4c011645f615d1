//! The ports that instances listen on.

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, Ipv6Addr, TcpListener},
    ops::RangeInclusive,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Ports of a range, each given to one instance at a time and rested before it is given out again.
#[derive(Debug)]
pub(in crate::local) struct Ports {
    range: RangeInclusive<u16>,
    rest: Duration,
    taken: Mutex<Taken>,
}

#[derive(Debug)]
struct Taken {
    /// Ports that are not free: until when, or for good.
    until: BTreeMap<u16, Option<Instant>>,
    next: u16,
}

impl Ports {
    /// Begins anywhere in the range, so that two platforms on one machine rarely try the same port.
    pub(in crate::local) fn new(range: RangeInclusive<u16>, rest: Duration) -> Self {
        let seed = uuid::Uuid::new_v4().as_u128();
        let length = u128::from(range.end().saturating_sub(*range.start())) + 1;
        let next = range.start() + u16::try_from(seed % length).unwrap_or(0);
        Self { range, rest, taken: Mutex::new(Taken { until: BTreeMap::new(), next }) }
    }

    /// A port on which nobody listens; `None` if all are taken.
    pub(in crate::local) fn take(&self, now: Instant) -> Option<u16> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.until.retain(|_, until| until.is_none_or(|until| until > now));
        // In turn and not the lowest free one: a port that was just given back is the last to be given out again.
        for _ in self.range.clone() {
            let port = taken.next;
            taken.next = if port == *self.range.end() { *self.range.start() } else { port + 1 };
            if !taken.until.contains_key(&port) && is_free(port) {
                taken.until.insert(port, None);
                return Some(port);
            }
        }
        None
    }

    /// Marks the port of an adopted instance.
    pub(in crate::local) fn keep(&self, port: u16) {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).until.insert(port, None);
    }

    /// Gives a port back that was used until `ended`; it rests first.
    pub(in crate::local) fn free(&self, port: u16, ended: Instant) {
        let until = Some(ended + self.rest);
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).until.insert(port, until);
    }
}

/// Nobody listens on any address; where there is no IPv6, nobody can.
fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
        && !TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))
            .is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_port_is_given_once_and_rests() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (rest, now) = (Duration::from_secs(60), Instant::now());
        let ports = Ports::new(port..=port, rest);
        assert_eq!(ports.take(now), Some(port));
        assert_eq!(ports.take(now + rest * 9), None);
        ports.free(port, now);
        assert_eq!(ports.take(now + rest / 2), None);
        assert_eq!(ports.take(now + rest), Some(port));
    }

    #[test]
    fn a_port_in_use_is_passed_over() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else {
                let _ = writeln!(std::io::stderr(), "not looked at here: {address}");
                continue;
            };
            let port = listener.local_addr().unwrap().port();
            assert_eq!(Ports::new(port..=port, Duration::ZERO).take(Instant::now()), None, "{address}");
        }
    }
}
