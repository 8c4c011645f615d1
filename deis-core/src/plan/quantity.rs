//! Amounts of memory, CPU and time: from the words of the config to numbers.

use crate::model::Amount;

/// The largest amount of memory or CPU: what the back ends can carry.
const MAX_AMOUNT: u64 = i64::MAX.unsigned_abs();

/// `<limit>` or `<request>/<limit>` in bytes; digits and one of `B K M G` with an optional `B`, any case, each a
/// power of 1024. The first part may be a bare `0`. `None` if it is no such text, or more than 2⁶³ − 1 bytes.
pub(super) fn memory(text: &str) -> Option<Amount> {
    amount(text, |part, first| {
        if first && part == "0" {
            return Some(0);
        }
        let digits = part.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let factor: u64 = match part[digits.len()..].to_ascii_uppercase().as_str() {
            "B" => 1,
            "K" | "KB" => 1 << 10,
            "M" | "MB" => 1 << 20,
            "G" | "GB" => 1 << 30,
            _ => return None,
        };
        number(digits)?.checked_mul(factor)
    })
}

/// `<limit>` or `<request>/<limit>` in thousandths of a CPU, rounded up; a number with an optional fraction and an
/// optional `m`. `None` if it is no such text, or too large.
pub(super) fn cpu(text: &str) -> Option<Amount> {
    amount(text, |part, _| {
        let (number_text, factor) =
            part.strip_suffix('m').map_or((part, 1000), |thousandths| (thousandths, 1));
        let (whole, fraction) = match number_text.split_once('.') {
            None => (number_text, None),
            Some((whole, fraction)) => (whole, Some(fraction)),
        };
        let whole = if whole.is_empty() && fraction.is_some() { 0 } else { number(whole)? };
        let more = fraction.map_or(Some(0), |digits| fraction_of(digits, factor))?;
        whole.checked_mul(factor)?.checked_add(more)
    })
}

/// `0.<digits>` of `factor`, rounded up.
fn fraction_of(digits: &str, factor: u64) -> Option<u64> {
    // What stands further back can only round it up.
    const PLACES: usize = 9;
    const WHOLE: u64 = 1_000_000_000;
    if !is_digits(digits) {
        return None;
    }
    let kept: String = digits.chars().chain(std::iter::repeat('0')).take(PLACES).collect();
    let rest = digits.bytes().skip(PLACES).any(|digit| digit != b'0');
    let scaled = number(&kept)?.checked_mul(factor)?;
    Some(scaled / WHOLE + u64::from(scaled % WHOLE > 0 || rest))
}

fn number(digits: &str) -> Option<u64> {
    if is_digits(digits) { digits.parse().ok() } else { None }
}

fn amount(text: &str, parse: impl Fn(&str, bool) -> Option<u64>) -> Option<Amount> {
    let within = |n: &u64| *n <= MAX_AMOUNT;
    let (request, limit) = match text.split_once('/') {
        None => (None, parse(text, true).filter(within)?),
        Some((request, limit)) => {
            (Some(parse(request, true).filter(within)?), parse(limit, false).filter(within)?)
        }
    };
    // Nothing can run with a limit of nothing: 0 says that there is none.
    let limit = Some(limit).filter(|limit| *limit > 0);
    // More than the limit cannot be set aside though the config may say so: a back end does not take it.
    let request = request.map(|request| limit.map_or(request, |limit| request.min(limit)));
    Some(Amount { request, limit })
}

/// Digits, at least one.
pub(super) fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(request: u64, limit: u64) -> Amount {
        Amount { request: Some(request), limit: Some(limit) }
    }

    fn at_most(limit: u64) -> Amount {
        Amount { request: None, limit: Some(limit) }
    }

    #[test]
    fn memory_amounts_become_bytes() {
        assert_eq!(memory("0/100MB"), Some(both(0, 100 << 20)));
        assert_eq!(
            memory("200GB/100MB"),
            Some(both(100 << 20, 100 << 20)),
            "a request stays below its limit"
        );
        assert_eq!(memory("20MB"), Some(at_most(20 << 20)));
        assert_eq!(memory("20gb"), Some(at_most(20 << 30)));
        assert_eq!(memory("512B"), Some(at_most(512)));
        assert_eq!(memory("1k"), Some(at_most(1024)));
        for none in ["0", "0m"] {
            assert_eq!(memory(none), Some(Amount::default()), "{none}");
        }
        let bad = [
            "20MK", "10", "20gK", "mb", "1Z", "100K/0", "", "/1G", "1.5G", "-1M", "1T", "1 G", "1KiB", "1G/",
        ];
        for bad in bad.into_iter().chain(["99999999999999999999G", "9000000000G", "1G/2G/3G", "１G", "+1G"])
        {
            assert_eq!(memory(bad), None, "{bad}");
        }
    }

    #[test]
    fn cpu_amounts_become_thousandths() {
        assert_eq!(cpu("0/2"), Some(both(0, 2000)));
        assert_eq!(cpu("500m/600m"), Some(both(500, 600)));
        assert_eq!(cpu("2/1"), Some(both(1000, 1000)));
        assert_eq!(cpu("0.5"), Some(at_most(500)));
        assert_eq!(cpu(".123"), Some(at_most(123)));
        assert_eq!(cpu("1.1234"), Some(at_most(1124)), "rounded up");
        assert_eq!(cpu("0.00000000001"), Some(at_most(1)));
        assert_eq!(cpu("1.5m"), Some(at_most(2)));
        assert_eq!(cpu("0"), Some(Amount::default()));
        for bad in ["20MK", "20gK", "m", ".", "5.", "1e3", "-1", "+1", "", "1/", "18446744073709551615", ".m"]
        {
            assert_eq!(cpu(bad), None, "{bad}");
        }
    }

    #[test]
    fn amounts_end_where_the_back_ends_do() {
        let most = i64::MAX;
        assert_eq!(memory(&format!("{most}B")), Some(at_most(most.unsigned_abs())));
        assert_eq!(memory("9223372036854775808B"), None);
        assert_eq!(memory("9223372036854775808B/1G"), None);
        assert_eq!(cpu(&format!("{most}m")), Some(at_most(most.unsigned_abs())));
        assert_eq!(cpu("9223372036854775808m"), None);
    }

    #[test]
    fn only_what_is_there_rounds_a_cpu_up() {
        assert_eq!(cpu("0.5000000000000"), Some(at_most(500)));
        assert_eq!(cpu("0.5000000000001"), Some(at_most(501)));
        assert_eq!(cpu("0.0010"), Some(at_most(1)));
        assert_eq!(cpu("7.0"), Some(at_most(7000)));
        assert_eq!(cpu("0.0/7"), Some(both(0, 7000)));
    }

    #[test]
    fn only_a_first_part_may_be_a_bare_nothing() {
        assert_eq!(memory("0/0"), None);
        assert_eq!(memory("1G/0B"), Some(Amount { request: Some(1 << 30), limit: None }));
        assert_eq!(memory("1GB"), memory("1g"));
        assert_eq!(memory("3KB"), Some(at_most(3 << 10)));
        assert_eq!(memory("3M"), Some(at_most(3 << 20)));
    }
}
