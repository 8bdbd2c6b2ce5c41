//! Amazon Resource Names, as far as backups need them.

use std::fmt;
use std::str::FromStr;

/// An ARN in its parts: `arn:partition:service:region:account:resource`.
///
/// Region and account may be empty (snapshots and images of EC2 carry no account). The resource keeps its
/// own colons: `arn:aws:rds:eu-central-1:111122223333:snapshot:awsbackup:copyjob-1` has the resource
/// `snapshot:awsbackup:copyjob-1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arn {
    /// `aws`, `aws-cn`, `aws-us-gov`, …
    pub partition: String,
    /// For example `rds`.
    pub service: String,
    /// For example `eu-central-1`; may be empty.
    pub region: String,
    /// 12 digits; may be empty.
    pub account: String,
    /// All that follows, colons and slashes included; never empty.
    pub resource: String,
}

/// What is said of text that is no ARN.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an ARN (arn:partition:service:region:account:resource)")]
pub struct NotAnArn(String);

impl FromStr for Arn {
    type Err = NotAnArn;

    fn from_str(text: &str) -> Result<Arn, NotAnArn> {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        match parts[..] {
            ["arn", partition, service, region, account, resource]
                if !partition.is_empty() && !service.is_empty() && !resource.is_empty() =>
            {
                Ok(Arn {
                    partition: partition.to_owned(),
                    service: service.to_owned(),
                    region: region.to_owned(),
                    account: account.to_owned(),
                    resource: resource.to_owned(),
                })
            }
            _ => Err(NotAnArn(text.chars().take(200).collect())),
        }
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Arn {
            partition,
            service,
            region,
            account,
            resource,
        } = self;
        write!(f, "arn:{partition}:{service}:{region}:{account}:{resource}")
    }
}

impl Arn {
    /// The resource without its type: `db:orders` → `orders`, `volume/vol-1` → `vol-1`.
    pub fn name(&self) -> &str {
        self.resource
            .split_once([':', '/'])
            .map_or(&self.resource, |(_, name)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colons_of_the_resource_stay() {
        let text = "arn:aws:rds:us-west-2:111122223333:snapshot:awsbackup:copyjob-1a";
        let arn: Arn = text.parse().expect("a well-formed ARN");
        assert_eq!(arn.resource, "snapshot:awsbackup:copyjob-1a");
        assert_eq!(arn.name(), "awsbackup:copyjob-1a");
        assert_eq!(arn.to_string(), text);
    }

    #[test]
    fn snapshots_and_images_of_ec2_have_no_account() {
        for (text, name) in [
            ("arn:aws:ec2:us-west-2::snapshot/snap-1", "snap-1"),
            ("arn:aws:ec2:us-west-2::image/ami-1", "ami-1"),
        ] {
            let arn: Arn = text.parse().expect("an ARN");
            assert_eq!((arn.account.as_str(), arn.name()), ("", name));
            assert_eq!(arn.to_string(), text);
        }
    }

    #[test]
    fn other_text_is_refused() {
        for text in ["", "arn", "arn:aws:rds:us-west-2:1", "{}", "arn:aws:rds:::"] {
            assert!(text.parse::<Arn>().is_err(), "{text}");
        }
    }
}
