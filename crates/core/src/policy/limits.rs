//! What testing may take: the table `limits`, and a rule's `sample`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::reader::{Item, Section, optional};
use crate::resource_type::ResourceType;
use crate::wire;

use super::rule::read_glob;
use super::{DEFAULT_LONGEST_WAIT, Glob, LONGEST_WAIT_RANGE, MOST_CONCURRENT_RESTORES};

/// The units of sizes with their bytes, the largest first.
const SIZE_UNITS: [(&str, u64); 6] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
];

/// The least and the most a policy may take for the largest size: below no backup passes, above every one does.
const SIZE_RANGE: (u64, u64) = (1 << 20, 1 << 50);

/// What testing may take, over all rules. What is not set does not limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// The most restores at one time; at most what the stack's parameter allows.
    pub concurrent_restores: Option<u32>,
    /// The most restores at one time of resources of a type, by AWS Backup's name of it.
    pub concurrent_restores_by_type: BTreeMap<String, u32>,
    /// The largest recovery point that is restored, bytes.
    pub largest_size: Option<u64>,
    /// The largest table that a check reads whole, bytes; of a larger one it reads a sample.
    pub largest_scan: Option<u64>,
    /// The longest that a recovery point waits for a slot among the restores.
    #[serde(with = "wire::seconds")]
    pub longest_wait: Duration,
    /// The most restores in a calendar month, of all types.
    pub restores_per_month: Option<u32>,
    /// The classes that restores may ask for, such as `db.t4g.*`; empty for all.
    pub classes_allowed: Vec<Glob>,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            concurrent_restores: None,
            concurrent_restores_by_type: BTreeMap::new(),
            largest_size: None,
            largest_scan: None,
            longest_wait: DEFAULT_LONGEST_WAIT,
            restores_per_month: None,
            classes_allowed: Vec::new(),
        }
    }
}

impl Limits {
    /// How many restores there may be at one time in a stack that allows so many.
    pub fn slots(&self, allowed: u32) -> u32 {
        self.concurrent_restores
            .map_or(allowed, |own| own.min(allowed))
    }

    /// How many of them may be of this type, by AWS Backup's name.
    pub fn slots_of(&self, resource_type: &str, allowed: u32) -> u32 {
        let slots = self.slots(allowed);
        let own = self.concurrent_restores_by_type.get(resource_type);
        own.map_or(slots, |own| slots.min(*own))
    }

    /// Whether a restore may ask for a class.
    pub fn allows_class(&self, class: &str) -> bool {
        let mut allowed = self.classes_allowed.iter();
        self.classes_allowed.is_empty() || allowed.any(|glob| glob.matches(class))
    }

    /// That a class is not allowed, in words.
    pub(crate) fn disallowed(&self, class: &str) -> String {
        let allowed: Vec<&str> = self.classes_allowed.iter().map(Glob::as_str).collect();
        format!(
            "the class {class} is none of the policy's classes_allowed, {}",
            allowed.join(", ")
        )
    }
}

/// The share of recovery points that is tested: hundredths of a percent, 1 to 10 000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sample(u16);

impl Sample {
    /// All of it, in hundredths of a percent.
    const WHOLE: u16 = 10_000;

    /// Whether this validation is among those that are tested: by a hash of its id, so that it is asked as often as one
    /// likes, by whomever, and the answer is the same.
    pub fn draws(self, validation_id: &str) -> bool {
        let hash = Sha256::new()
            .chain_update(b"sample\0")
            .chain_update(validation_id)
            .finalize();
        let number = hash
            .iter()
            .take(8)
            .fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
        number % u64::from(Sample::WHOLE) < u64::from(self.0)
    }
}

impl std::fmt::Display for Sample {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (whole, part) = (self.0 / 100, self.0 % 100);
        match part {
            0 => write!(formatter, "{whole}%"),
            _ if part % 10 == 0 => write!(formatter, "{whole}.{}%", part / 10),
            _ => write!(formatter, "{whole}.{part:02}%"),
        }
    }
}

impl From<Sample> for String {
    fn from(sample: Sample) -> String {
        sample.to_string()
    }
}

impl TryFrom<String> for Sample {
    type Error = String;

    fn try_from(text: String) -> Result<Sample, String> {
        text.parse()
    }
}

impl std::str::FromStr for Sample {
    type Err = String;

    /// Reads a percentage with at most two decimals, such as `20%` or `0.5%`.
    fn from_str(text: &str) -> Result<Sample, String> {
        let bad = || format!("`{text}` is not a share; write for example 20%, or 0.5%");
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.strip_suffix('%').ok_or_else(bad)?;
        let (whole, part) = match number.split_once('.') {
            Some((whole, part)) if !part.is_empty() => (whole, part),
            Some(_) => return Err(bad()),
            None => (number, ""),
        };
        if whole.is_empty() || !digits(whole) || !digits(part) {
            return Err(bad());
        }
        if part.len() > 2 {
            return Err(format!("`{text}` is finer than hundredths of a percent"));
        }
        let hundredths = format!("{whole}{part:0<2}").parse::<u64>();
        match hundredths
            .ok()
            .and_then(|number| u16::try_from(number).ok())
        {
            Some(0) => Err(format!(
                "`{text}` draws nothing, and nothing would ever be tested; take the rule away if that is wanted"
            )),
            Some(hundredths) if hundredths <= Sample::WHOLE => Ok(Sample(hundredths)),
            _ => Err(format!(
                "`{text}` is more than all; it must be at most 100%"
            )),
        }
    }
}

/// Reads a size: a whole number with one of the units MiB, GiB and TiB, or MB, GB and TB, such as `500 GiB`.
///
/// # Errors
/// What is wrong with it, as a sentence.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let bad = || format!("`{text}` is not a size; write for example 500 GiB or 2 TiB");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = unit.strip_prefix(' ').unwrap_or(unit);
    let (_, length) = SIZE_UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(bad)?;
    if number.is_empty() {
        return Err(bad());
    }
    let (least, most) = SIZE_RANGE;
    let bytes = number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(*length));
    match bytes {
        Some(bytes) if bytes < least => Err(format!("`{text}` is below 1 MiB, the smallest limit")),
        Some(bytes) if bytes <= most => Ok(bytes),
        _ => Err(format!("`{text}` is more than 1024 TiB, the largest limit")),
    }
}

/// A size for people: in the largest unit of which it is a whole number, and otherwise about, in the largest binary unit
/// that leaves a number from 1 on.
pub fn readable_size(bytes: u64) -> String {
    let exact = SIZE_UNITS
        .iter()
        .find(|(_, length)| bytes > 0 && bytes.is_multiple_of(*length));
    if let Some((unit, length)) = exact {
        return format!("{} {unit}", bytes / length);
    }
    let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let Some((unit, shift)) = units.into_iter().find(|(_, shift)| bytes >> shift > 0) else {
        return format!("{bytes} bytes");
    };
    let (whole, rest) = (bytes >> shift, bytes & ((1 << shift) - 1));
    match (rest * 10) >> shift {
        tenths if tenths > 0 && whole < 10 => format!("{whole}.{tenths} {unit}"),
        _ => format!("{whole} {unit}"),
    }
}

/// Reads the table.
pub(super) fn read(item: &Item<'_>) -> Option<Limits> {
    let mut limits = item.section()?;
    let concurrent_restores = optional(limits.optional("concurrent_restores"), slots);
    let by_type = optional(limits.optional("concurrent_restores_by_type"), |item| {
        let mut types = item.section()?;
        let read = ResourceType::names().map(|name| of_type(&mut types, name));
        types.finish();
        let read: Option<Vec<_>> = read.into_iter().collect();
        Some(
            read?
                .into_iter()
                .flatten()
                .collect::<BTreeMap<String, u32>>(),
        )
    });
    let largest_size = optional(limits.optional("largest_size"), read_size);
    let largest_scan = optional(limits.optional("largest_scan"), read_size);
    let longest_wait = optional(limits.optional("longest_wait"), |item| {
        let duration = item.duration()?;
        let (least, most) = LONGEST_WAIT_RANGE;
        if duration < least || duration > most {
            item.mistake("must be from 10m, within which the sweep comes by, to 30d");
            return None;
        }
        Some(duration)
    });
    let restores_per_month = optional(limits.optional("restores_per_month"), |item| {
        let number = u32::try_from(item.integer()?).ok();
        let number = number.filter(|number| *number > 0);
        if number.is_none() {
            item.mistake("must be a positive whole number; leave it out for no limit");
        }
        number
    });
    let classes_allowed = optional(limits.optional("classes_allowed"), |item| {
        let items = item.list()?;
        if items.is_empty() {
            item.mistake("is empty and allows nothing; leave it out to allow every class");
            return None;
        }
        let globs: Vec<Option<Glob>> = items.iter().map(read_glob).collect();
        globs.into_iter().collect()
    });
    limits.finish();
    Some(Limits {
        concurrent_restores: concurrent_restores?,
        concurrent_restores_by_type: by_type?.unwrap_or_default(),
        largest_size: largest_size?,
        largest_scan: largest_scan?,
        longest_wait: longest_wait?.unwrap_or(DEFAULT_LONGEST_WAIT),
        restores_per_month: restores_per_month?,
        classes_allowed: classes_allowed?.unwrap_or_default(),
    })
}

fn read_size(item: &Item<'_>) -> Option<u64> {
    if !item.is_text() {
        item.mistake("must be a text with a unit, such as \"500 GiB\" or \"2 TiB\"");
        return None;
    }
    parse_size(item.text()?)
        .map_err(|problem| item.mistake(problem))
        .ok()
}

fn of_type(types: &mut Section<'_>, name: &'static str) -> Option<Option<(String, u32)>> {
    let read = optional(types.optional(name), slots)?;
    Some(read.map(|slots| (name.to_owned(), slots)))
}

/// How many restores there may be at one time.
fn slots(item: &Item<'_>) -> Option<u32> {
    let number = item.integer()?;
    match u32::try_from(number) {
        Ok(0) => item.mistake("with 0 every recovery point would wait, and none be tested"),
        Ok(slots) if slots <= MOST_CONCURRENT_RESTORES => return Some(slots),
        _ => item.mistake(format!("must be from 1 to {MOST_CONCURRENT_RESTORES}")),
    }
    None
}

/// Reads a rule's `sample`.
pub(super) fn read_sample(item: &Item<'_>) -> Option<Sample> {
    if !item.is_text() {
        item.mistake("must be a text with a percent sign, such as \"20%\" or \"0.5%\"");
        return None;
    }
    item.text()?
        .parse()
        .map_err(|problem: String| item.mistake(problem))
        .ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn shares_are_read_and_written() {
        for (text, hundredths, written) in [
            ("20%", 2000, "20%"),
            ("100%", 10_000, "100%"),
            ("0.5%", 50, "0.5%"),
            ("0.50%", 50, "0.5%"),
            ("12.34%", 1234, "12.34%"),
            ("0.01%", 1, "0.01%"),
            ("5.05%", 505, "5.05%"),
            ("007%", 700, "7%"),
        ] {
            let sample: Sample = text.parse().unwrap();
            assert_eq!(sample, Sample(hundredths), "{text}");
            assert_eq!(sample.to_string(), written);
            let json = serde_json::to_string(&sample).unwrap();
            assert_eq!(serde_json::from_str::<Sample>(&json).unwrap(), sample);
        }
        for text in [
            "",
            "%",
            "20",
            "20 %",
            " 20%",
            "-1%",
            "+1%",
            "1e1%",
            ".5%",
            "5.%",
            "1.2.3%",
            "20%%",
            "0%",
            "0.00%",
            "0.001%",
            "100.01%",
            "101%",
            "700%",
            "99999999999999999999%",
            "２0%",
        ] {
            assert!(text.parse::<Sample>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_sample_draws_its_share_and_always_the_same() {
        let ids: Vec<String> = (0..20_000).map(|number| format!("{number:020x}")).collect();
        let drawn = |text: &str| -> Vec<bool> {
            let sample: Sample = text.parse().unwrap();
            ids.iter().map(|id| sample.draws(id)).collect()
        };
        let share = |drawn: &[bool]| drawn.iter().filter(|one| **one).count();
        let (fifth, half) = (drawn("20%"), drawn("50%"));
        // Four standard deviations of the binomial distribution are 226 and 283.
        assert!(share(&fifth).abs_diff(4000) < 226, "{}", share(&fifth));
        assert!(share(&half).abs_diff(10_000) < 283, "{}", share(&half));
        assert_eq!(drawn("20%"), fifth, "asked again, the answer is the same");
        assert_eq!(share(&drawn("100%")), ids.len());
        // Who raises a share keeps what was drawn before.
        assert!(fifth.iter().zip(&half).all(|(less, more)| !less || *more));
    }

    #[test]
    fn a_draw_stays_as_it_is_from_version_to_version() {
        let half: Sample = "50%".parse().unwrap();
        let ids = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let drawn: Vec<bool> = ids.iter().map(|id| half.draws(id)).collect();
        // Computed by Python's hashlib.
        let told = [false, true, false, true, true, false, false, false];
        assert_eq!(drawn, told);
    }

    #[test]
    fn sizes_are_read_and_written() {
        for (text, bytes, written) in [
            ("500 GiB", 500 << 30, "500 GiB"),
            ("2TiB", 2 << 40, "2 TiB"),
            ("1 MiB", 1 << 20, "1 MiB"),
            ("2 MB", 2_000_000, "2 MB"),
            ("500 GB", 500_000_000_000, "500 GB"),
            ("1024 TiB", 1 << 50, "1024 TiB"),
            ("1 TB", 1_000_000_000_000, "1 TB"),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
            assert_eq!(readable_size(bytes), written, "{text}");
        }
        for text in [
            "",
            "500",
            "GiB",
            " 5 GiB",
            "5  GiB",
            "5 GiB ",
            "5 gib",
            "5 G",
            "1.5 TiB",
            "-1 GiB",
            "0 GiB",
            "1025 TiB",
            "99999999999999999999 GiB",
            "20000000 TiB",
            "5 KiB",
            "５ GiB",
            "5 PiB",
        ] {
            assert!(parse_size(text).is_err(), "{text:?}");
        }
        assert_eq!(readable_size(1023), "1023 bytes");
        assert_eq!(readable_size((1 << 30) + (1 << 29) + 1), "1.5 GiB");
        assert_eq!(readable_size((500 << 30) + 1), "500 GiB");
        assert_eq!(readable_size(0), "0 bytes");
        assert_eq!(readable_size(u64::MAX), "16777215 TiB");
    }

    #[test]
    fn the_smaller_limit_counts() {
        let limits = Limits {
            concurrent_restores: Some(10),
            concurrent_restores_by_type: [("RDS".to_owned(), 4), ("EC2".to_owned(), 60)].into(),
            ..Limits::default()
        };
        assert_eq!(
            (limits.slots(4), limits.slots(10), limits.slots(40)),
            (4, 10, 10)
        );
        assert_eq!(
            (limits.slots_of("RDS", 40), limits.slots_of("RDS", 3)),
            (4, 3)
        );
        assert_eq!(limits.slots_of("EC2", 40), 10);
        assert_eq!(limits.slots_of("EBS", 40), 10);
        let none = Limits::default();
        assert_eq!((none.slots(7), none.slots_of("RDS", 7)), (7, 7));
    }
}
