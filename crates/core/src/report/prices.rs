//! What an hour of a class costs, roughly: the one place with prices.
//!
//! On-demand prices of `us-east-1` in US dollars, for one zone, without licence: EC2 with Linux, RDS with PostgreSQL. Other
//! Regions, engines and agreements differ, so that whatever is made of them is an estimate and is called so.

use jiff::civil::{Date, date};

/// When the prices were last looked at.
pub(super) const AS_OF: Date = date(2025, 6, 1);
/// Their currency.
pub(super) const CURRENCY: &str = "USD";
/// What they are, for people.
pub(super) const BASIS: &str = "on-demand prices of us-east-1, Linux or PostgreSQL, one zone; running time of restored resources alone, without \
storage, backups, network and the stack itself";

/// Family and the price of an hour of its size `large`. The prices of the other sizes are multiples of it.
const LARGE: [(&str, f64); 26] = [
    ("c5", 0.085),
    ("c6g", 0.068),
    ("c6i", 0.085),
    ("c7g", 0.0725),
    ("m5", 0.096),
    ("m6g", 0.077),
    ("m6i", 0.096),
    ("m7g", 0.0816),
    ("r5", 0.126),
    ("r6g", 0.1008),
    ("r6i", 0.126),
    ("r7g", 0.1071),
    ("t2", 0.0928),
    ("t3", 0.0832),
    ("t3a", 0.0752),
    ("t4g", 0.0672),
    ("db.m5", 0.178),
    ("db.m6g", 0.159),
    ("db.m6i", 0.178),
    ("db.m7g", 0.168),
    ("db.r5", 0.25),
    ("db.r6g", 0.225),
    ("db.r6i", 0.25),
    ("db.r7g", 0.239),
    ("db.t3", 0.145),
    ("db.t4g", 0.129),
];

/// The price of an hour of a class; none when the table does not know it.
pub(super) fn per_hour(class: &str) -> Option<f64> {
    let (family, size) = class.rsplit_once('.')?;
    let (_, large) = LARGE.iter().find(|(known, _)| *known == family)?;
    let factor = match size {
        "nano" => 1.0 / 16.0,
        "micro" => 1.0 / 8.0,
        "small" => 1.0 / 4.0,
        "medium" => 1.0 / 2.0,
        "large" => 1.0,
        "xlarge" => 2.0,
        size => 2.0 * f64::from(size.strip_suffix("xlarge")?.parse::<u16>().ok()?),
    };
    Some(large * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_multiples() {
        assert_eq!(per_hour("t3.micro"), Some(0.0104));
        assert_eq!(per_hour("m5.4xlarge"), Some(0.768));
        assert_eq!(per_hour("db.r6g.xlarge"), Some(0.45));
        for unknown in [
            "db.serverless",
            "",
            "m5",
            "m5.metal",
            "m5.xxlarge",
            "mac1.large",
            "m5.-1xlarge",
        ] {
            assert_eq!(per_hour(unknown), None, "{unknown}");
        }
    }
}
