//! Ports that nobody has.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use super::BoxError;
use crate::settings::Settings;

/// Where to look for free ports: outgoing connections and apps do not use this range.
const RANGE: std::ops::Range<u16> = 8100..19_100;

/// Gives each listener of the settings a free port, its own if that is free, and says which are others.
pub(super) fn choose_free(settings: &mut Settings) -> Result<(), BoxError> {
    let http = ("HTTP", &mut settings.http);
    let ssh = settings.ssh.as_mut().map(|address| ("SSH", address));
    let metrics = settings.metrics.as_mut().map(|address| ("metrics", address));
    // Held until all are chosen, or the next would be given the same.
    let mut held = Vec::new();
    for (what, wanted) in [Some(http), ssh, metrics].into_iter().flatten() {
        let listener = TcpListener::bind(*wanted).or_else(|_| bind_free(*wanted))?;
        let found = listener.local_addr()?;
        if found.port() != wanted.port() && wanted.port() != 0 {
            println!("Port {} is taken; {what} uses {} instead.", wanted.port(), found.port());
        }
        *wanted = found;
        held.push(listener);
    }
    Ok(())
}

/// Three free ports on loopback.
pub(super) fn three() -> Result<[u16; 3], BoxError> {
    let mut ports = [0; 3];
    let mut held = Vec::new();
    for port in &mut ports {
        let listener = bind_free(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// A free port at the same address. Those who look at the same time begin at different places.
fn bind_free(like: SocketAddr) -> Result<TcpListener, BoxError> {
    let count = RANGE.end - RANGE.start;
    let first = u16::try_from(std::process::id() % u32::from(count)).unwrap_or(0);
    let mut ports = (0..count).map(|n| RANGE.start + (first + n) % count);
    let found = ports.find_map(|port| TcpListener::bind(SocketAddr::new(like.ip(), port)).ok());
    found.ok_or_else(|| "no free port was found".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_that_are_all_taken_become_three_others() {
        let taken: Vec<TcpListener> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let [http, ssh, metrics] = [0, 1, 2].map(|n: usize| taken[n].local_addr().unwrap());
        let flags = [("http_listen", http), ("ssh_listen", ssh), ("metrics_listen", metrics)];
        let flags = flags.map(|(name, address)| (name, address.to_string())).into();
        let values = crate::settings::collect(&flags, |_| None, None).unwrap();
        let mut settings = Settings::new(&values).unwrap();
        choose_free(&mut settings).unwrap();
        let found = [settings.http, settings.ssh.unwrap(), settings.metrics.unwrap()];
        let all: Vec<TcpListener> = found.into_iter().map(|a| TcpListener::bind(a).unwrap()).collect();
        assert_eq!(all.len(), 3, "each can be listened on while the others are");
    }
}
