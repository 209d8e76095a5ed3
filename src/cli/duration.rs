//! Durations as people write them.

use time::Duration;

/// `90s`, `15m`, `36h`, `30d`, `2w`, `1y`, sums of them, and Go's `876000h`.
///
/// # Errors
/// A sentence with the forms that are understood.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let parsed = humantime::parse_duration(text)
        .map_err(|_| format!("{text:?} is not a duration: write 90s, 15m, 36h, 30d, 2w or 1y"))?;
    let parsed = Duration::try_from(parsed).map_err(|_| format!("{text:?} is too long"))?;
    if parsed.is_zero() {
        return Err("it must be longer than zero".to_owned());
    }
    Ok(parsed)
}

/// About how long, to the nearest of the largest fitting unit: `30 days`, `3 hours`, `40 seconds`.
pub(super) fn about(duration: Duration) -> String {
    let seconds = duration.whole_seconds().unsigned_abs();
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7200 => ((seconds + 30) / 60, "minute"),
        7200..172_800 => ((seconds + 1800) / 3600, "hour"),
        _ => ((seconds + 43_200) / 86_400, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

/// As kubectl shows an age: `45s`, `12m`, `3h`, `29d`.
pub(super) fn short(duration: Duration) -> String {
    let seconds = duration.whole_seconds().max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_forms_are_read() {
        for (text, seconds) in [
            ("90s", 90),
            ("15m", 900),
            ("36h", 129_600),
            ("30d", 2_592_000),
            ("2w", 1_209_600),
            ("1y", 31_557_600),
            ("876000h", 3_153_600_000),
            ("1h30m", 5400),
        ] {
            assert_eq!(parse(text), Ok(Duration::seconds(seconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "0s", "-1h", "10", "1x", "99999999999999999999y"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn about_rounds_to_the_largest_fitting_unit() {
        assert_eq!(about(Duration::days(30) - Duration::SECOND), "30 days");
        assert_eq!(about(Duration::hours(30 * 24 - 13)), "29 days");
        assert_eq!(
            about(Duration::minutes(10) - Duration::SECOND),
            "10 minutes"
        );
        assert_eq!(about(Duration::seconds(1)), "1 second");
        assert_eq!(about(Duration::hours(3)), "3 hours");
    }
}
