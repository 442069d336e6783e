//! Retry-After, in all its spellings (RFC 9110, sections 10.2.3 and 5.6.7). Anybody may have written it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use der::DateTime;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// How long to wait behind a response that was `sent` then, by the clock of its server where that is known: seconds, or the
/// time until a moment. `None` for what is neither, and for a moment that has passed.
pub(super) fn delay(text: &str, sent: Option<SystemTime>) -> Option<Duration> {
    seconds(text).or_else(|| moment(text)?.duration_since(sent?).ok())
}

/// A number of seconds; one that is beyond all numbers is a long time.
pub(super) fn seconds(text: &str) -> Option<Duration> {
    let text = text.trim();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| Duration::from_secs(text.parse().unwrap_or(u64::MAX)))
}

/// A moment in one of HTTP's three forms, which all have a month by its name, the day before the year, and the time with
/// colons: `Sun, 06 Nov 1994 08:49:37 GMT`, `Sunday, 06-Nov-94 08:49:37 GMT`, `Sun Nov  6 08:49:37 1994`.
pub(super) fn moment(text: &str) -> Option<SystemTime> {
    let (mut month, mut time, mut numbers) = (None, None, Vec::new());
    for word in text.split([' ', ',', '-']) {
        if let Some(index) = MONTHS.iter().position(|name| *name == word) {
            month = u8::try_from(index + 1).ok();
        } else if word.contains(':') {
            let mut parts = word.split(':').map(|part| part.parse().ok());
            time = Some((parts.next()??, parts.next()??, parts.next()??));
        } else if let Ok(number) = word.parse::<u16>() {
            numbers.push(number);
        }
    }
    let ([day, year], Some(month), Some((hour, minute, second))) = (numbers.as_slice(), month, time) else {
        return None;
    };
    let year = match year {
        0..70 => year + 2000,
        70..100 => year + 1900,
        _ => *year,
    };
    // A leap second is the last one of its minute.
    let second = u8::min(second, 59);
    let date = DateTime::new(year, month, u8::try_from(*day).ok()?, hour, minute, second).ok()?;
    Some(UNIX_EPOCH + date.unix_duration())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_seconds_or_a_moment_in_any_of_three_forms() {
        let sent = UNIX_EPOCH + Duration::from_secs(784_111_777 - 90);
        for (text, retry_after) in [
            ("0", Some(0)),
            ("120", Some(120)),
            (" 120 ", Some(120)),
            ("18446744073709551616", Some(u64::MAX)),
            ("99999999999999999999999999999999999999999", Some(u64::MAX)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(90)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(90)),
            ("Sun Nov  6 08:49:37 1994", Some(90)),
            ("Sun, 06 Nov 1994 08:48:07 GMT", Some(0)),
            ("Sun, 06 Nov 1994 08:48:06 GMT", None),
            ("Thu, 01 Jan 1970 00:00:00 GMT", None),
            ("Sun, 31 Feb 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 25:49:37 GMT", None),
            ("Sun, 06 Nov 1994 08:49 GMT", None),
            ("Sun, 06 Nov 1994", None),
            ("1994-11-06T08:49:37Z", None),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("1e9", None),
            ("soon", None),
            ("\u{0663}", None),
        ] {
            assert_eq!(delay(text, Some(sent)), retry_after.map(Duration::from_secs), "{text:?}");
        }
        assert_eq!(moment("Sat, 31 Dec 2016 23:59:60 GMT"), moment("Sat, 31 Dec 2016 23:59:59 GMT"));
        assert_eq!(moment("Fri, 01-Jan-69 00:00:00 GMT"), moment("Tue, 01 Jan 2069 00:00:00 GMT"));
    }
}
