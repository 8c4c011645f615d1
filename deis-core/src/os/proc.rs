//! What `/proc` tells about processes: who descends from whom, since when, and who listens where.
//!
//! Reading all processes takes a while on a busy machine: these functions block.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
};

/// A line of `/proc/<pid>/stat`, as far as it is needed here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stat {
    /// The process that started it, or that took it over.
    pub parent: i32,
    /// When it started, in ticks since the machine did. A number is given again, but never with the same start.
    pub start: u64,
    /// Whether it has ended and waits to be reaped.
    pub dead: bool,
}

/// Facts about a process; `None` if there is none with this number.
pub fn stat(pid: i32) -> Option<Stat> {
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

/// Whether a process is gone, or has been sent a SIGKILL and is about to be.
pub fn is_ending(pid: i32) -> bool {
    let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { return true };
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map_or("", str::trim);
    field("State:").starts_with(['Z', 'X'])
        || ["SigPnd:", "ShdPnd:"].iter().any(|name| has_signal(field(name), SIGKILL))
}

/// The signals that this process ignores, by their numbers.
///
/// # Errors
/// There is no `/proc`.
pub fn ignored_signals() -> io::Result<Vec<i32>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap_or_default();
    Ok(SIGNALS.filter(|signal| has_signal(mask.trim(), *signal)).collect())
}

/// Numbers of signals, real-time ones included.
const SIGNALS: std::ops::RangeInclusive<i32> = 1..=64;
const SIGKILL: i32 = 9;

/// Whether a mask, in hexadecimal, has the bit of a signal.
fn has_signal(mask: &str, signal: i32) -> bool {
    u64::from_str_radix(mask, 16).unwrap_or(0) & (1 << (signal - 1)) != 0
}

/// The living children of a process.
pub fn children(parent: i32) -> Vec<i32> {
    let is_child = |pid: &i32| stat(*pid).is_some_and(|stat| stat.parent == parent && !stat.dead);
    pids().filter(is_child).collect()
}

/// All living processes that descend from `ancestor`, without itself.
pub fn descendants(ancestor: i32) -> Vec<i32> {
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

/// Processes that have this entry in the environment they were started with, and all that descend from them.
pub fn marked(entry: &str) -> Vec<i32> {
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let has_it = |pid: &i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        *pid != own && environment.split(|b| *b == 0).any(|e| e == entry.as_bytes())
    };
    let mut found: BTreeSet<i32> = pids().filter(has_it).collect();
    for pid in found.clone() {
        found.extend(descendants(pid));
    }
    found.remove(&own);
    found.into_iter().collect()
}

/// TCP ports on which any of these processes listens, ascending.
pub fn listening(pids: &[i32]) -> Vec<u16> {
    let Some(first) = pids.first() else { return Vec::new() };
    let sockets: BTreeSet<u64> = pids.iter().flat_map(|pid| sockets(*pid).unwrap_or_default()).collect();
    let ports = listeners(&first.to_string()).into_iter();
    let found: BTreeSet<u16> = ports.filter(|(i, _)| sockets.contains(i)).map(|p| p.1).collect();
    found.into_iter().collect()
}

/// Whether anybody listens on this port but these processes. Those whose sockets must not be looked at are trusted.
pub fn is_taken(port: u16, pids: &[i32]) -> bool {
    let mut others: BTreeSet<u64> =
        listeners("self").into_iter().filter(|(_, p)| *p == port).map(|(inode, _)| inode).collect();
    for pid in pids {
        if others.is_empty() {
            break;
        }
        match sockets(*pid) {
            Ok(own) => own.iter().for_each(|inode| _ = others.remove(inode)),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return false,
            Err(_) => {}
        }
    }
    if others.is_empty() {
        return false;
    }
    // Reading the table takes a while where there are many connections, and a process may close its socket in between:
    // nobody has that one any more. What somebody else listens on is still there.
    listeners("self").iter().any(|(inode, _)| others.contains(inode))
}

/// Inodes and ports of all TCP listeners that this process sees.
fn listeners(pid: &str) -> Vec<(u64, u16)> {
    let mut found = Vec::new();
    for table in ["tcp", "tcp6"] {
        let text = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        found.extend(text.lines().skip(1).filter_map(listener));
    }
    found
}

/// Inode and port of a line of `/proc/net/tcp` that is a listener.
fn listener(line: &str) -> Option<(u64, u16)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (_, port) = fields.get(1)?.rsplit_once(':')?;
    let listens = *fields.get(3)? == "0A";
    let inode = fields.get(9)?.parse().ok()?;
    listens.then_some((inode, u16::from_str_radix(port, 16).ok()?))
}

fn sockets(pid: i32) -> io::Result<Vec<u64>> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd"))?;
    let links = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    Ok(links
        .filter_map(|link| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok())
        .collect())
}

fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

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
    fn children_and_ends_are_seen() {
        let own = i32::try_from(std::process::id()).unwrap();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        assert!(children(own).contains(&pid) && !is_ending(pid) && !is_ending(own));
        child.kill().unwrap();
        assert!(is_ending(pid), "it has been sent the signal, whether it has come or not");
        child.wait().unwrap();
        assert!(is_ending(pid) && !children(own).contains(&pid));
        assert!(has_signal("0000000000000100", SIGKILL) && !has_signal("00000000000000ff", SIGKILL));
    }

    #[test]
    fn a_listener_of_this_process_is_found() {
        let own = i32::try_from(std::process::id()).unwrap();
        let four = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let six = std::net::TcpListener::bind("[::1]:0");
        if let Err(error) = &six {
            let _ = writeln!(std::io::stderr(), "not looked at here: IPv6 ({error})");
        }
        let six = six.ok();
        let found = listening(&[own]);
        assert!(found.contains(&four.local_addr().unwrap().port()));
        assert!(six.is_none_or(|s| found.contains(&s.local_addr().unwrap().port())));
        assert!(listening(&[]).is_empty());
        let port = four.local_addr().unwrap().port();
        assert!(!is_taken(port, &[own]) && is_taken(port, &[]));
    }
}
