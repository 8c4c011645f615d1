//! Ranges of keys as the database sees them.

/// Prefix of the events: they alone are asked for in the order of their commits, so that they have an index for it. One of
/// all records would be changed with each of them. Others are sorted when somebody asks.
pub(super) const EVENTS: &str = "event/";

/// The same as a condition.
pub(super) const EVENT_RANGE: &str = "key >= 'event/' AND key < 'event0'";

/// The first text behind all that start with `prefix`; `None` if there is none.
pub(super) fn upper_bound(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        let next = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32);
        if let Some(next) = next {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}
