//! Text that somebody sent, as a message can repeat it.

/// Most characters of a text that a message repeats.
const MAX_SHOWN: usize = 120;

/// As much of a text as a person needs to know it again, on one line: control characters and quotes are escaped, and
/// what is too long ends with `…`. The quotes around it are the message's.
///
/// ```
/// use deis_core::model::shown;
/// assert_eq!(shown("web"), "web");
/// assert_eq!(shown("a\0\nb"), "a\\0\\nb");
/// assert!(shown(&"x".repeat(1000)).ends_with("x…"));
/// ```
pub fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(MAX_SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().nth(MAX_SHOWN).is_some() {
        shown.push('…');
    }
    shown
}
