//! What `/proc` tells about processes: who descends from whom, since when, and who listens where.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

/// A line of `/proc/<pid>/stat`, as far as it is needed here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) parent: i32,
    /// Ticks since the machine started.
    pub(crate) start: u64,
    /// Whether it has ended and waits to be reaped.
    pub(crate) dead: bool,
}

/// Facts about a process; `None` if there is none with this number.
pub(crate) fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets and may hold anything, brackets too.
    let (_, rest) = text.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        start: fields.get(19)?.parse().ok()?,
        dead: matches!(*fields.first()?, "Z" | "X"),
    })
}

/// All living processes that descend from `ancestor`, without itself.
pub(crate) fn descendants(ancestor: i32) -> Vec<i32> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    let mut dead = BTreeSet::new();
    for pid in pids() {
        let Some(stat) = stat(pid) else { continue };
        children.entry(stat.parent).or_default().push(pid);
        if stat.dead {
            dead.insert(pid);
        }
    }
    let mut found = Vec::new();
    let mut next = vec![ancestor];
    while let Some(pid) = next.pop() {
        // A number cannot be its own ancestor, but the table was not read in one moment.
        for child in children.remove(&pid).unwrap_or_default() {
            next.push(child);
            if !dead.contains(&child) {
                found.push(child);
            }
        }
    }
    found
}

/// TCP ports on which any of these processes listens, ascending.
pub(crate) fn listening(pids: &[i32]) -> Vec<u16> {
    let Some(first) = pids.first() else { return Vec::new() };
    let mut ports = BTreeMap::new();
    for table in ["tcp", "tcp6"] {
        let text = fs::read_to_string(format!("/proc/{first}/net/{table}")).unwrap_or_default();
        ports.extend(text.lines().skip(1).filter_map(listener));
    }
    let sockets: BTreeSet<u64> = pids.iter().flat_map(|pid| sockets(*pid)).collect();
    let found: BTreeSet<u16> = ports.into_iter().filter(|(i, _)| sockets.contains(i)).map(|p| p.1).collect();
    found.into_iter().collect()
}

/// Inode and port of a line of `/proc/net/tcp` that is a listener.
fn listener(line: &str) -> Option<(u64, u16)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (_, port) = fields.get(1)?.rsplit_once(':')?;
    let listens = *fields.get(3)? == "0A";
    let inode = fields.get(9)?.parse().ok()?;
    listens.then_some((inode, u16::from_str_radix(port, 16).ok()?))
}

fn sockets(pid: i32) -> Vec<u64> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    let links = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    links
        .filter_map(|link| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok())
        .collect()
}

fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_a_parent_and_a_start() {
        let own = i32::try_from(std::process::id()).unwrap();
        let stat = stat(own).unwrap();
        assert!(stat.parent > 0 && stat.start > 0 && !stat.dead);
        assert!(descendants(stat.parent).contains(&own));
        assert!(super::stat(i32::MAX).is_none());
    }

    #[test]
    fn a_listener_of_this_process_is_found() {
        let own = i32::try_from(std::process::id()).unwrap();
        let four = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let six = std::net::TcpListener::bind("[::1]:0").ok();
        let found = listening(&[own]);
        assert!(found.contains(&four.local_addr().unwrap().port()));
        assert!(six.is_none_or(|s| found.contains(&s.local_addr().unwrap().port())));
        assert!(listening(&[]).is_empty());
    }
}
