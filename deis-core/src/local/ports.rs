//! The ports that instances listen on.

use std::{
    collections::BTreeMap,
    net::TcpListener,
    ops::RangeInclusive,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Ports of a range, each given to one instance at a time and rested before it is given out again.
#[derive(Debug)]
pub(super) struct Ports {
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
    pub(super) fn new(range: RangeInclusive<u16>, rest: Duration) -> Self {
        let seed = uuid::Uuid::new_v4().as_u128();
        let length = u128::from(range.end().saturating_sub(*range.start())) + 1;
        let next = range.start() + u16::try_from(seed % length).unwrap_or(0);
        Self { range, rest, taken: Mutex::new(Taken { until: BTreeMap::new(), next }) }
    }

    /// A port on which nobody listens; `None` if all are taken.
    pub(super) fn take(&self) -> Option<u16> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        taken.until.retain(|_, until| until.is_none_or(|until| until > now));
        for _ in self.range.clone() {
            let port = taken.next;
            taken.next = if port == *self.range.end() { *self.range.start() } else { port + 1 };
            if !taken.until.contains_key(&port) && TcpListener::bind(("0.0.0.0", port)).is_ok() {
                taken.until.insert(port, None);
                return Some(port);
            }
        }
        None
    }

    /// Marks the port of an adopted instance.
    pub(super) fn keep(&self, port: u16) {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).until.insert(port, None);
    }

    /// Gives a port back; it rests first.
    pub(super) fn free(&self, port: u16) {
        let until = Some(Instant::now() + self.rest);
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).until.insert(port, until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_given_once_and_rests() {
        let ports = Ports::new(18_200..=18_203, Duration::from_millis(50));
        let all: Vec<u16> = std::iter::from_fn(|| ports.take()).collect();
        assert!(!all.is_empty(), "all four ports are in use on this machine");
        assert!(ports.take().is_none());
        ports.free(all[0]);
        assert!(ports.take().is_none());
        std::thread::sleep(Duration::from_millis(60));
        assert_eq!(ports.take(), Some(all[0]));
    }

    #[test]
    fn a_port_in_use_is_passed_over() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(Ports::new(port..=port, Duration::ZERO).take(), None);
    }
}
