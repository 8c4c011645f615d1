//! How often somebody may try to log in.
//!
//! A password is guessed by trying, and each try costs a core tens of milliseconds. So tries have a rate: of an address,
//! and of an address for one account. What is tried on an account from many addresses has a rate too, but that one alone
//! never keeps anybody out, or else whoever knows a name could lock its owner out: an address that comes anew always has
//! one try. Only what failed counts, and an account that does not exist counts as one that does.

use std::{net::IpAddr, time::Duration};

use deis_core::Digest;
use tokio::time::Instant;

use crate::rate_limit::RateLimit;

const MINUTE: Duration = Duration::from_secs(60);

/// Failed tries of all addresses on one account in a minute, after which each address has one for itself.
const MAX_OF_ACCOUNT: u32 = 100;

/// The tries of late. Clones share them.
#[derive(Clone, Debug)]
pub struct LoginAttempts {
    of_address: RateLimit<IpAddr>,
    of_pair: RateLimit<(IpAddr, Digest)>,
    of_account: RateLimit<Digest>,
    first_of_pair: RateLimit<(IpAddr, Digest)>,
}

impl LoginAttempts {
    /// At most so many failed tries in a minute from an address: on one account, and on all.
    pub fn new(of_account: u32, of_address: u32) -> Self {
        Self {
            of_address: RateLimit::new(of_address, MINUTE),
            of_pair: RateLimit::new(of_account, MINUTE),
            of_account: RateLimit::new(MAX_OF_ACCOUNT, MINUTE),
            first_of_pair: RateLimit::new(1, MINUTE),
        }
    }

    /// One more try from `address` on the account of this name, whether there is one or not.
    ///
    /// # Errors
    /// How long to wait before the next one.
    pub fn begin(&self, address: IpAddr, name: &str, now: Instant) -> Result<LoginAttempt<'_>, Duration> {
        let account = Digest::of(name.as_bytes());
        let pair = (address, account.clone());
        self.of_address.take(&address, now)?;
        // A try that is refused costs nothing, or who goes on trying would never be let in again.
        self.of_pair.take(&pair, now).inspect_err(|_| self.of_address.give_back(&address, now))?;
        let is_first = self.of_account.take(&account, now).is_err();
        if is_first {
            self.first_of_pair.take(&pair, now).inspect_err(|_| {
                self.of_pair.give_back(&pair, now);
                self.of_address.give_back(&address, now);
            })?;
        }
        Ok(LoginAttempt { attempts: self, pair, is_first, now })
    }
}

/// A try, which counts as failed unless it is given back.
#[derive(Debug)]
pub struct LoginAttempt<'a> {
    attempts: &'a LoginAttempts,
    pair: (IpAddr, Digest),
    is_first: bool,
    /// When it began.
    now: Instant,
}

impl LoginAttempt<'_> {
    /// The password was right, or nobody has looked at it.
    pub fn give_back(self) {
        let Self { attempts, pair, is_first, now } = self;
        attempts.of_address.give_back(&pair.0, now);
        attempts.of_pair.give_back(&pair, now);
        if is_first {
            attempts.first_of_pair.give_back(&pair, now);
        } else {
            attempts.of_account.give_back(&pair.1, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> IpAddr {
        IpAddr::from((0x0a00_0000 + number).to_be_bytes())
    }

    #[test]
    fn what_fails_has_a_rate_and_what_succeeds_has_none() {
        let (attempts, now) = (LoginAttempts::new(10, 30), Instant::now());
        for _ in 0..1000 {
            attempts.begin(address(1), "ann", now).unwrap().give_back();
        }
        (0..10).for_each(|_| drop(attempts.begin(address(1), "ann", now).unwrap()));
        assert_eq!(attempts.begin(address(1), "ann", now).unwrap_err(), Duration::from_secs(6));
        attempts.begin(address(1), "bob", now).unwrap().give_back();
        attempts.begin(address(2), "ann", now).unwrap().give_back();
        // On all accounts together.
        for number in 0..20 {
            drop(attempts.begin(address(1), &format!("user{number}"), now).unwrap());
        }
        assert_eq!(attempts.begin(address(1), "bob", now).unwrap_err(), Duration::from_secs(2));
        attempts.begin(address(1), "ann", now + Duration::from_secs(6)).unwrap().give_back();
    }

    #[test]
    fn nobody_is_locked_out_by_others() {
        let (attempts, now) = (LoginAttempts::new(10, 30), Instant::now());
        for number in 0..100 {
            drop(attempts.begin(address(number), "ann", now).unwrap());
        }
        // Guesses from many addresses are slow now.
        drop(attempts.begin(address(0), "ann", now).unwrap());
        assert!(attempts.begin(address(0), "ann", now).is_err());
        // The owner comes from somewhere else, again and again.
        for _ in 0..100 {
            attempts.begin(address(999), "ann", now).unwrap().give_back();
        }
    }
}
