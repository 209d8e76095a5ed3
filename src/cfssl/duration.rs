//! Durations as Go writes them.

use time::Duration;

/// Go's `time.ParseDuration` (`time/format.go`): `8760h`, `1h30m`, `-1.5s`; the largest
/// unit is the hour.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let invalid = || {
        let meant =
            meant(text).map_or_else(String::new, |meant| format!("; did you mean {meant}?"));
        format!(
            "{text:?} is not a duration: write hours, minutes and seconds, as in 8760h or 1h30m{meant}"
        )
    };
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (part, after) = component(rest).ok_or_else(invalid)?;
        total = total.checked_add(part).ok_or_else(invalid)?;
        rest = after;
    }
    let total = i64::try_from(total)
        .map_err(|_| format!("{text:?} is too long: Go's durations end at 2562047h (292 years)"))?;
    Ok(Duration::nanoseconds(if negative { -total } else { total }))
}

/// One number with its unit in nanoseconds, and what follows.
fn component(text: &str) -> Option<(u64, &str)> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let (whole, rest) = text.split_at(digits(text));
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(digits(rest)),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let unit_end = rest
        .bytes()
        .position(|byte| byte == b'.' || byte.is_ascii_digit())
        .unwrap_or(rest.len());
    let (unit, rest) = rest.split_at_checked(unit_end)?;
    let unit: u64 = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let whole: u64 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let whole = whole.checked_mul(unit)?;
    // Digits beyond the nineteenth are far below a nanosecond.
    let (kept, _) = fraction.split_at(fraction.len().min(18));
    let part = if kept.is_empty() {
        0
    } else {
        let scale = 10_u128.pow(u32::try_from(kept.len()).ok()?);
        u64::try_from(kept.parse::<u128>().ok()? * u128::from(unit) / scale).ok()?
    };
    Some((whole.checked_add(part)?, rest))
}

/// The hours in a number of days, weeks or years.
fn meant(text: &str) -> Option<String> {
    let unit = text.chars().next_back()?;
    let hours: u64 = match unit {
        'd' => 24,
        'w' => 7 * 24,
        'y' => 365 * 24,
        _ => return None,
    };
    let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
    Some(format!("{}h", number.checked_mul(hours)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_go_are_read() {
        // From Go's own tests (`time/time_test.go`).
        for (text, nanoseconds) in [
            ("0", 0),
            ("5s", 5_000_000_000),
            ("-5s", -5_000_000_000),
            ("+5s", 5_000_000_000),
            ("5.0s", 5_000_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("1.004s", 1_004_000_000),
            ("100.00100s", 100_001_000_000),
            ("12µs", 12_000),
            ("12μs", 12_000),
            ("3h30m", 12_600_000_000_000),
            ("10.5s4m", 250_500_000_000),
            ("876000h", 3_153_600_000_000_000_000),
            ("9223372036854775807ns", i64::MAX),
            ("0.3333333333333333333h", 1_200_000_000_000 - 1),
            ("0.100000000000000000000h", 360_000_000_000),
        ] {
            assert_eq!(
                parse(text),
                Ok(Duration::nanoseconds(nanoseconds)),
                "{text}"
            );
        }
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for text in [
            "",
            "3",
            "-",
            "s",
            ".",
            "-.",
            ".s",
            "+.s",
            "1d",
            "365d",
            "1h 30m",
            "h",
            "1e3s",
            "--1s",
            "9223372036854775810ns",
            "2562048h",
            "3000000h",
            "1h-1m",
            "١h",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn days_are_turned_into_hours() {
        assert!(parse("365d").unwrap_err().contains("did you mean 8760h?"));
        assert!(parse("1y").unwrap_err().contains("8760h"));
        assert!(parse("3000000h").unwrap_err().contains("2562047h"));
    }
}
