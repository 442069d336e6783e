//! Durations as Go writes and reads them (`time.ParseDuration`), since kubeadm's configuration has them so.

use std::time::Duration;

/// Reads `5m0s`, `90s`, `1.5h`, `300ms`, at most 292 years, as Go's int64 of nanoseconds has it. Negative ones, and
/// numbers without a unit, are no durations.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let text = text.strip_prefix('+').unwrap_or(text);
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut nanoseconds = 0_u64;
    while !rest.is_empty() {
        let (number, tail) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != '.')?);
        let (unit, tail) =
            tail.split_at(tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len()));
        let unit = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        nanoseconds = nanoseconds.checked_add(times(number, unit)?)?;
        rest = tail;
    }
    let fits = !text.is_empty() && i64::try_from(nanoseconds).is_ok();
    fits.then(|| Duration::from_nanos(nanoseconds))
}

/// A decimal number of units, in integers: what lies below a nanosecond is cut off.
fn times(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // From the last digit to the first: cutting off at each place is cutting off once.
    let mut part = 0;
    for digit in fraction.bytes().rev() {
        part = (part + unit * u64::from(digit.checked_sub(b'0')?)) / 10;
    }
    whole.checked_mul(unit)?.checked_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        for (text, milliseconds) in [
            ("5m0s", 300_000),
            ("90s", 90_000),
            ("1.5h", 5_400_000),
            ("300ms", 300),
            ("1h2m3s4ms", 3_723_004),
            ("0", 0),
            (".5s", 500),
            ("+5s", 5_000),
            ("+0", 0),
        ] {
            assert_eq!(parse(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        assert_eq!(parse("0.00000000009h"), Some(Duration::from_nanos(324)), "exact to the nanosecond");
        assert_eq!(parse("0.0000000002777777777777799m"), Some(Duration::from_nanos(16)));
        assert_eq!(parse("7ns"), Some(Duration::from_nanos(7)));
        for unit in ["us", "\u{b5}s", "\u{3bc}s"] {
            assert_eq!(parse(&["7", unit].concat()), Some(Duration::from_micros(7)));
        }
        for bad in [
            "",
            "5",
            "s",
            "-5s",
            "5 s",
            "5d",
            "1e3s",
            "5m0",
            "1..2s",
            "99999999999999999999h",
            "+",
            "++5s",
            "9223372036854775808ns",
            "9ns9999999999s",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
