//! Attribute values: DynamoDB's JSON in and out, exact numbers, comparison.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::invalid;
use crate::wire::ServiceError;

/// An item.
pub(crate) type Item = BTreeMap<String, Attr>;

/// An attribute value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Attr {
    S(String),
    N(Number),
    /// Base64, as on the wire.
    B(String),
    Bool(bool),
    Null,
    M(BTreeMap<String, Attr>),
    L(Vec<Attr>),
    Ss(BTreeSet<String>),
    Ns(BTreeSet<Number>),
    Bs(BTreeSet<String>),
}

impl Attr {
    /// From DynamoDB's JSON.
    pub fn parse(value: &Value) -> Result<Attr, ServiceError> {
        let shape = || {
            invalid(
                "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes",
            )
        };
        let members = value
            .as_object()
            .filter(|members| members.len() == 1)
            .ok_or_else(shape)?;
        let (kind, content) = members.iter().next().ok_or_else(shape)?;
        let text = || content.as_str().map(str::to_owned).ok_or_else(shape);
        let set = || -> Result<BTreeSet<String>, ServiceError> {
            let list = content.as_array().ok_or_else(shape)?;
            let set: Option<BTreeSet<String>> = list
                .iter()
                .map(|entry| entry.as_str().map(str::to_owned))
                .collect();
            let set = set.ok_or_else(shape)?;
            if set.is_empty() {
                return Err(invalid(
                    "One or more parameter values were invalid: An string set  may not be empty",
                ));
            }
            if set.len() != list.len() {
                return Err(invalid(
                    "One or more parameter values were invalid: Input collection contains duplicates.",
                ));
            }
            Ok(set)
        };
        Ok(match kind.as_str() {
            "S" => Attr::S(text()?),
            "N" => Attr::N(Number::parse(&text()?)?),
            "B" => Attr::B(text()?),
            "BOOL" => Attr::Bool(content.as_bool().ok_or_else(shape)?),
            "NULL" => Attr::Null,
            "M" => Attr::M(parse_item(content)?),
            "L" => Attr::L(
                content
                    .as_array()
                    .ok_or_else(shape)?
                    .iter()
                    .map(Attr::parse)
                    .collect::<Result<_, _>>()?,
            ),
            "SS" => Attr::Ss(set()?),
            "BS" => Attr::Bs(set()?),
            "NS" => Attr::Ns(
                set()?
                    .iter()
                    .map(|number| Number::parse(number))
                    .collect::<Result<_, _>>()?,
            ),
            _ => return Err(shape()),
        })
    }

    /// To DynamoDB's JSON.
    pub fn to_json(&self) -> Value {
        match self {
            Attr::S(text) => json!({"S": text}),
            Attr::N(number) => json!({"N": number.to_string()}),
            Attr::B(bytes) => json!({"B": bytes}),
            Attr::Bool(value) => json!({"BOOL": value}),
            Attr::Null => json!({"NULL": true}),
            Attr::M(members) => json!({"M": item_json(members)}),
            Attr::L(list) => json!({"L": list.iter().map(Attr::to_json).collect::<Vec<_>>()}),
            Attr::Ss(set) => json!({"SS": set}),
            Attr::Bs(set) => json!({"BS": set}),
            Attr::Ns(set) => json!({"NS": set.iter().map(Number::to_string).collect::<Vec<_>>()}),
        }
    }

    /// The type's name on the wire.
    pub fn kind(&self) -> &'static str {
        match self {
            Attr::S(_) => "S",
            Attr::N(_) => "N",
            Attr::B(_) => "B",
            Attr::Bool(_) => "BOOL",
            Attr::Null => "NULL",
            Attr::M(_) => "M",
            Attr::L(_) => "L",
            Attr::Ss(_) => "SS",
            Attr::Ns(_) => "NS",
            Attr::Bs(_) => "BS",
        }
    }

    /// Order, for the types that have one and only within a type.
    pub fn order(&self, other: &Attr) -> Option<Ordering> {
        match (self, other) {
            (Attr::S(a), Attr::S(b)) | (Attr::B(a), Attr::B(b)) => Some(a.cmp(b)),
            (Attr::N(a), Attr::N(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }

    /// `size()`: bytes of a string, entries of a collection; nothing for other types.
    pub fn size(&self) -> Option<usize> {
        match self {
            Attr::S(text) | Attr::B(text) => Some(text.len()),
            Attr::M(members) => Some(members.len()),
            Attr::L(list) => Some(list.len()),
            Attr::Ss(set) | Attr::Bs(set) => Some(set.len()),
            Attr::Ns(set) => Some(set.len()),
            _ => None,
        }
    }

    /// `contains()`: substring or member.
    pub fn contains(&self, wanted: &Attr) -> bool {
        match (self, wanted) {
            (Attr::S(text), Attr::S(part)) => text.contains(part.as_str()),
            (Attr::Ss(set), Attr::S(entry)) | (Attr::Bs(set), Attr::B(entry)) => {
                set.contains(entry)
            }
            (Attr::Ns(set), Attr::N(entry)) => set.contains(entry),
            (Attr::L(list), entry) => list.contains(entry),
            _ => false,
        }
    }

    /// Bytes it counts towards an item's size, roughly as AWS documents it.
    fn bytes(&self) -> usize {
        match self {
            Attr::S(text) | Attr::B(text) => text.len(),
            Attr::N(_) => 21,
            Attr::Bool(_) | Attr::Null => 1,
            Attr::M(members) => 3 + item_bytes(members),
            Attr::L(list) => 3 + list.iter().map(|entry| entry.bytes() + 1).sum::<usize>(),
            Attr::Ss(set) | Attr::Bs(set) => set.iter().map(String::len).sum(),
            Attr::Ns(set) => set.len() * 21,
        }
    }
}

/// Bytes of an item.
pub(crate) fn item_bytes(item: &Item) -> usize {
    item.iter()
        .map(|(name, value)| name.len() + value.bytes())
        .sum()
}

pub(crate) fn parse_item(value: &Value) -> Result<Item, ServiceError> {
    let members = value
        .as_object()
        .ok_or_else(|| invalid("an item must be a map of attributes"))?;
    members
        .iter()
        .map(|(name, value)| Ok((name.clone(), Attr::parse(value)?)))
        .collect()
}

pub(crate) fn item_json(item: &Item) -> Value {
    Value::Object(
        item.iter()
            .map(|(name, value)| (name.clone(), value.to_json()))
            .collect::<Map<_, _>>(),
    )
}

/// An exact decimal number of up to 38 digits: `mantissa * 10^exponent`, without trailing zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number {
    mantissa: i128,
    exponent: i32,
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Number) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Number) -> Ordering {
        let sign = |number: &Number| number.mantissa.signum();
        sign(self).cmp(&sign(other)).then_with(|| {
            // Same sign: compare magnitudes by their leading digit's place, then digit by digit.
            let place =
                |number: &Number| digits(number.mantissa) as i64 + i64::from(number.exponent);
            let magnitude = if self.mantissa == 0 {
                Ordering::Equal
            } else {
                place(self).cmp(&place(other)).then_with(|| {
                    let text = |number: &Number| number.mantissa.unsigned_abs().to_string();
                    let (a, b) = (text(self), text(other));
                    let width = a.len().max(b.len());
                    format!("{a:0<width$}").cmp(&format!("{b:0<width$}"))
                })
            };
            if self.mantissa < 0 {
                magnitude.reverse()
            } else {
                magnitude
            }
        })
    }
}

fn digits(mantissa: i128) -> usize {
    mantissa.unsigned_abs().to_string().len()
}

impl Number {
    pub fn parse(text: &str) -> Result<Number, ServiceError> {
        let wrong = || {
            invalid(&format!(
                "A value provided cannot be converted into a number: {text}"
            ))
        };
        let (body, exponent) = match text.split_once(['e', 'E']) {
            Some((body, exponent)) => (body, exponent.parse::<i32>().map_err(|_| wrong())?),
            None => (text, 0),
        };
        let negative = body.starts_with('-');
        let body = body.strip_prefix(['-', '+']).unwrap_or(body);
        let (whole, fraction) = body.split_once('.').unwrap_or((body, ""));
        let all: String = format!("{whole}{fraction}");
        if all.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        let significant = all.trim_start_matches('0').trim_end_matches('0');
        if significant.len() > 38 {
            return Err(invalid(
                "Attempting to store more than 38 significant digits in a Number",
            ));
        }
        let trailing = all.len() - all.trim_end_matches('0').len();
        let magnitude: i128 = if significant.is_empty() {
            0
        } else {
            significant.parse().map_err(|_| wrong())?
        };
        if magnitude == 0 {
            return Ok(Number {
                mantissa: 0,
                exponent: 0,
            });
        }
        let fraction = i32::try_from(fraction.len()).map_err(|_| wrong())?;
        let trailing = i32::try_from(trailing).map_err(|_| wrong())?;
        let exponent = exponent
            .checked_sub(fraction)
            .and_then(|e| e.checked_add(trailing))
            .ok_or_else(wrong)?;
        if !(-130..=125).contains(&exponent) {
            return Err(invalid(
                "Number overflow. Attempting to store a number with magnitude larger than supported range",
            ));
        }
        Ok(Number {
            mantissa: if negative { -magnitude } else { magnitude },
            exponent,
        })
    }

    /// Sum; refused when it needs more than 38 digits.
    pub fn add(self, other: Number) -> Result<Number, ServiceError> {
        let overflow = || {
            invalid(
                "Number overflow. Attempting to store a number with magnitude larger than supported range",
            )
        };
        let exponent = self.exponent.min(other.exponent);
        let scaled = |number: Number| {
            let by = u32::try_from(number.exponent - exponent).ok()?;
            number.mantissa.checked_mul(10i128.checked_pow(by)?)
        };
        let sum = scaled(self)
            .zip(scaled(other))
            .and_then(|(a, b)| a.checked_add(b))
            .ok_or_else(overflow)?;
        Number::parse(&format!("{sum}e{exponent}"))
    }

    pub fn negate(self) -> Number {
        Number {
            mantissa: -self.mantissa,
            ..self
        }
    }

    pub fn from_size(size: usize) -> Number {
        // Sizes fit: an item has at most 400 KB.
        Number::parse(&size.to_string()).unwrap_or(Number {
            mantissa: 0,
            exponent: 0,
        })
    }
}

impl std::fmt::Display for Number {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.mantissa < 0 { "-" } else { "" };
        let digits = self.mantissa.unsigned_abs().to_string();
        if self.exponent >= 0 {
            let zeros = "0".repeat(usize::try_from(self.exponent).unwrap_or_default());
            return write!(formatter, "{sign}{digits}{zeros}");
        }
        let places = usize::try_from(-self.exponent).unwrap_or_default();
        let padded = format!("{digits:0>width$}", width = places + 1);
        let (whole, fraction) = padded.split_at(padded.len() - places);
        write!(formatter, "{sign}{whole}.{fraction}")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn number(text: &str) -> Number {
        Number::parse(text).unwrap()
    }

    #[test]
    fn numbers_are_exact() {
        for (given, shown) in [
            ("1", "1"),
            ("-0", "0"),
            ("007.50", "7.5"),
            ("1e3", "1000"),
            ("1.5E-3", "0.0015"),
            ("1795225200.123", "1795225200.123"),
        ] {
            assert_eq!(number(given).to_string(), shown);
        }
        assert_eq!(number("0.1").add(number("0.2")).unwrap().to_string(), "0.3");
        assert_eq!(number("10").add(number("-10")).unwrap().to_string(), "0");
        assert!(Number::parse("x").is_err());
        assert!(Number::parse("").is_err());
        assert!(Number::parse("123456789012345678901234567890123456789").is_err());
    }

    #[test]
    fn numbers_are_ordered() {
        let sorted = [
            "-1e10", "-20", "-3", "-0.5", "0", "0.05", "0.4", "1", "1.5", "10", "9e9",
        ];
        for pair in sorted.windows(2) {
            assert_eq!(
                number(pair[0]).cmp(&number(pair[1])),
                Ordering::Less,
                "{pair:?}"
            );
        }
        assert_eq!(number("100").cmp(&number("1e2")), Ordering::Equal);
    }
}
