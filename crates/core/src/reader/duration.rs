//! Durations as people write and read them: `90s`, `15m`, `1h30m`, `3d 4h`.

use std::time::Duration;

use jiff::SignedDuration;

/// The units, the largest first, with their length in seconds.
const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// The longest duration a policy may name: a hundred years. Anything longer is a slip of the key.
const LONGEST: Duration = Duration::from_secs(36_500 * 86_400);

/// Reads a duration: whole numbers with the units `d`, `h`, `m`, `s`, each at most once and in this
/// order, such as `90s`, `15m`, `1h30m` or `1d 12h`.
///
/// # Errors
/// What is wrong with it, as a sentence.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    parse(text, false, "90s, 15m, 1h30m or 2d")
}

/// Reads how long an answer may take: as [`parse_duration`], with `ms` as the smallest unit, such as `500ms` or
/// `1s 500ms`.
///
/// # Errors
/// What is wrong with it, as a sentence.
pub fn parse_latency(text: &str) -> Result<Duration, String> {
    parse(text, true, "500ms, 2s or 1m")
}

fn parse(text: &str, milliseconds: bool, examples: &str) -> Result<Duration, String> {
    let bad = || format!("`{text}` is not a duration; write for example {examples}");
    let unit_length = |unit: &str| match unit {
        "ms" => milliseconds.then_some(1),
        _ => UNITS
            .iter()
            .find(|(name, _)| unit.chars().eq([*name]))
            .map(|(_, seconds)| seconds * 1000),
    };
    let mut sum: u64 = 0;
    let mut smallest = u64::MAX;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, behind) = rest.split_at(digits);
        let letters = behind.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, behind) = behind.split_at(letters);
        let length = unit_length(unit).ok_or_else(bad)?;
        if length >= smallest {
            return Err(bad());
        }
        smallest = length;
        let part: u64 = number.parse().map_err(|_| bad())?;
        sum = part
            .checked_mul(length)
            .and_then(|part| sum.checked_add(part))
            .ok_or_else(bad)?;
        // "1d 12h": spaces between two parts.
        rest = behind.trim_start_matches(' ');
    }
    if smallest == u64::MAX || text.ends_with(' ') {
        return Err(bad());
    }
    if sum == 0 {
        return Err(format!(
            "`{text}` is no time at all; a duration must be longer than zero"
        ));
    }
    let duration = Duration::from_millis(sum);
    if duration > LONGEST {
        return Err(format!("`{text}` is longer than a hundred years"));
    }
    Ok(duration)
}

/// How long an answer took or may take, for people: `500ms`, `1s 20ms`, `2m`.
pub fn readable_latency(latency: Duration) -> String {
    let (seconds, millis) = (latency.as_secs(), latency.subsec_millis());
    match seconds {
        0 => format!("{millis}ms"),
        1..60 if millis > 0 => format!("{seconds}s {millis}ms"),
        _ => readable_duration(SignedDuration::try_from(latency).unwrap_or(SignedDuration::MAX)),
    }
}

/// A duration for people, its two largest units: `3d 4h`, `15m`, `1m 30s`, `0s`; `-` before a negative one.
pub fn readable_duration(duration: SignedDuration) -> String {
    parts(duration, 2)
}

/// A duration for people, to the second.
pub(crate) fn exact_duration(duration: SignedDuration) -> String {
    parts(duration, UNITS.len())
}

fn parts(duration: SignedDuration, at_most: usize) -> String {
    let mut rest = duration.unsigned_abs().as_secs();
    let mut words = Vec::new();
    let mut units = 0;
    for (unit, length) in UNITS {
        let count = rest / length;
        rest %= length;
        // Units count from the first that is there: "1d 0h 5m" reads "1d", not "1d 5m".
        if count > 0 || units > 0 {
            units += 1;
        }
        if count > 0 && units <= at_most {
            words.push(format!("{count}{unit}"));
        }
    }
    if words.is_empty() {
        return "0s".to_owned();
    }
    let sign = if duration.is_negative() { "-" } else { "" };
    format!("{sign}{}", words.join(" "))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn durations_are_read() {
        for (text, seconds) in [
            ("90s", 90),
            ("15m", 900),
            ("2h", 7200),
            ("1d", 86_400),
            ("1h30m", 5400),
            ("1d 12h", 129_600),
            ("1d2h3m4s", 93_784),
            ("0h5m", 300),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_secs(seconds)),
                "{text}"
            );
        }
    }

    #[test]
    fn bad_durations_are_refused() {
        for text in [
            "",
            " ",
            "15",
            "m",
            "15 m",
            " 15m",
            "15m ",
            "0s",
            "0h0m",
            "-5m",
            "1.5h",
            "5min",
            "30m1h",
            "1h1h",
            "99999999999999999999s",
            "9999999999999999d",
            "36501d",
            "1w",
            "15M",
            "１５m",
            "inf",
            "P1D",
            "1h,5m",
        ] {
            assert!(parse_duration(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn answers_may_be_bounded_below_a_second() {
        for (text, millis, written) in [
            ("500ms", 500, "500ms"),
            ("1s 20ms", 1020, "1s 20ms"),
            ("1s20ms", 1020, "1s 20ms"),
            ("2s", 2000, "2s"),
            ("1m1ms", 60_001, "1m"),
            ("90s", 90_000, "1m 30s"),
        ] {
            let latency = Duration::from_millis(millis);
            assert_eq!(parse_latency(text), Ok(latency), "{text}");
            assert_eq!(readable_latency(latency), written);
        }
        for text in ["0ms", "ms", "5ms1s", "5", "1.5s", "500 ms", "5MS", "5msm"] {
            assert!(parse_latency(text).is_err(), "{text:?}");
        }
        assert!(parse_duration("500ms").is_err());
        assert_eq!(readable_latency(Duration::ZERO), "0ms");
        assert!(
            readable_latency(Duration::MAX).ends_with('h'),
            "{}",
            readable_latency(Duration::MAX)
        );
    }

    #[test]
    fn durations_are_written_for_people() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (90, "1m 30s"),
            (900, "15m"),
            (3_600, "1h"),
            (86_400 + 300, "1d"),
            (3 * 86_400 + 4 * 3600 + 59, "3d 4h"),
            (-90, "-1m 30s"),
            (3000 * 86_400, "3000d"),
        ] {
            assert_eq!(readable_duration(SignedDuration::from_secs(seconds)), text);
        }
        assert_eq!(
            exact_duration(SignedDuration::from_secs(86_701)),
            "1d 5m 1s"
        );
        assert!(readable_duration(SignedDuration::MIN).starts_with("-106751991167300d"));
        assert!(!readable_duration(SignedDuration::MAX).is_empty());
        assert_eq!(readable_duration(SignedDuration::from_millis(-400)), "0s");
    }
}
