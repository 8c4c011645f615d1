//! Rates of what anybody may do before anybody knows who asks.

use std::{net::IpAddr, time::Duration};

use crate::{accounts::LoginAttempts, rate_limit::RateLimit};

/// How often an address may try to log in, and register users. Clones share the counts.
#[derive(Clone, Debug)]
pub struct Throttles {
    pub(super) logins: LoginAttempts,
    pub(super) registrations: RateLimit<IpAddr>,
}

impl Throttles {
    /// Tries that failed in a minute, from one address: for one account, and for all. And users that an address may
    /// register in an hour where everybody may.
    pub fn new(account_logins: u32, address_logins: u32, registrations: u32) -> Self {
        Self {
            logins: LoginAttempts::new(account_logins, address_logins),
            registrations: RateLimit::new(registrations, Duration::from_secs(3600)),
        }
    }
}
