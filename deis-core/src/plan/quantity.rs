//! Amounts of memory, CPU and time as the config writes them.

/// `<limit>` or `<request>/<limit>`; digits and one of `B K M G` with an optional `B`, any case.
pub(super) fn is_memory(text: &str) -> bool {
    parts(text, |part, first| {
        if first && part == "0" {
            return true;
        }
        let digits = part.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = part[digits.len()..].to_ascii_uppercase();
        is_digits(digits) && matches!(unit.as_str(), "B" | "K" | "M" | "G" | "KB" | "MB" | "GB")
    })
}

/// `<limit>` or `<request>/<limit>`; a number with an optional fraction and an optional `m`.
pub(super) fn is_cpu(text: &str) -> bool {
    parts(text, |part, _| {
        let number = part.strip_suffix('m').unwrap_or(part);
        match number.split_once('.') {
            None => is_digits(number),
            Some((whole, fraction)) => (whole.is_empty() || is_digits(whole)) && is_digits(fraction),
        }
    })
}

/// Digits, at least one.
pub(super) fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn parts(text: &str, is_part: impl Fn(&str, bool) -> bool) -> bool {
    match text.split_once('/') {
        None => is_part(text, true),
        Some((request, limit)) => is_part(request, true) && is_part(limit, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_amounts() {
        for good in ["0/100MB", "200GB/100MB", "20MB", "20gb", "0m", "1G", "512M", "0"] {
            assert!(is_memory(good), "{good}");
        }
        for bad in ["20MK", "10", "20gK", "mb", "1Z", "100K/0", "", "/1G"] {
            assert!(!is_memory(bad), "{bad}");
        }
    }

    #[test]
    fn cpu_amounts() {
        for good in ["0/2", "500m/600m", "0.5", ".123", "1.123", "200m", "0"] {
            assert!(is_cpu(good), "{good}");
        }
        for bad in ["20MK", "20gK", "m", ".", "5.", "1e3", "-1"] {
            assert!(!is_cpu(bad), "{bad}");
        }
    }
}
