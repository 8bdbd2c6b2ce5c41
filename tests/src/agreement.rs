//! Recovery points and policies by chance, of which the function and `policy explain` must say the same.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::{ACCOUNT, REGION, SOURCE_ACCOUNT, VAULT};

/// A recovery point, the stack and the policy that decide about it, and how people ask.
#[derive(Debug)]
pub struct Case {
    /// The policy file.
    pub policy: String,
    /// Whether its rules are to be made to restore nothing, which no policy file can say yet.
    pub reads_only: bool,
    /// The event that the function gets.
    pub event: Value,
    /// What AWS Backup knows of the recovery point.
    pub arn: String,
    /// ARN of the vault it lies in.
    pub vault_arn: String,
    /// Empty if AWS Backup does not tell.
    pub resource_type: String,
    /// ARN of what was backed up.
    pub source_arn: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Its size, bytes.
    pub size: u64,
    /// The stack's parameter `Types`.
    pub types: Vec<&'static str>,
}

impl Case {
    /// The case of this number: the same one each time.
    pub fn of(number: u64) -> Case {
        let mut chance = fastrand::Rng::with_seed(number);
        let mut of = |most: u32| chance.u32(0..most);
        let (resource_type, service, kind) = match of(10) {
            0 => ("EFS", "elasticfilesystem", "file-system/fs-"),
            1 => ("DynamoDB.FullyManaged", "dynamodb", "table/"),
            2 => ("", "rds", "db:"),
            3 | 4 => ("Aurora", "rds", "cluster:"),
            5 | 6 => ("EC2", "ec2", "instance/i-0123456789abcdef"),
            _ => ("RDS", "rds", "db:"),
        };
        let own = format!("arn:aws:backup:{REGION}:{ACCOUNT}:recovery-point");
        let snapshots = format!("arn:aws:rds:{REGION}:{ACCOUNT}");
        let arn = match (resource_type, of(8)) {
            (_, 0) => format!("{own}:continuous:db-{number:x}"),
            (_, 1) | ("EFS" | "DynamoDB.FullyManaged", _) => {
                format!("{own}:00000000-0000-4000-8000-{number:012x}")
            }
            ("EC2", _) => format!("arn:aws:ec2:{REGION}::image/ami-{number:017x}"),
            ("Aurora", _) | (_, 2) => {
                format!("{snapshots}:cluster-snapshot:awsbackup:copyjob-{number}")
            }
            (_, _) => format!("{snapshots}:snapshot:awsbackup:copyjob-{number}"),
        };
        let (vault_account, vault_region) = match of(12) {
            0 => ("333344445555", REGION),
            1 => (ACCOUNT, "eu-west-1"),
            _ => (ACCOUNT, REGION),
        };
        let vault_arn =
            format!("arn:aws:backup:{vault_region}:{vault_account}:backup-vault:{VAULT}");
        let source_arn = format!(
            "arn:aws:{service}:{REGION}:{SOURCE_ACCOUNT}:{kind}{}",
            ["orders", "crm", "0"][of(3) as usize]
        );
        let mut tags = BTreeMap::new();
        for (key, value) in [("env", ["prod", "test"]), ("app", ["shop", "crm"])] {
            if of(2) == 0 {
                tags.insert(key.to_owned(), value[of(2) as usize].to_owned());
            }
        }
        let size = [1, 100, 900][of(3) as usize] << 30;
        let mut types: Vec<_> = ["Aurora", "EC2", "RDS"].into();
        if of(5) == 0 {
            types.remove(of(3) as usize);
        }
        let event = match of(3) {
            _ if vault_arn != own_vault() => {
                copied(&arn, &vault_arn, resource_type, &source_arn, size)
            }
            0 => copied(&arn, &vault_arn, resource_type, &source_arn, size),
            1 => {
                json!({ "validate": { "recovery_point_arn": arn, "backup_vault_name": VAULT, "request_id": "again" } })
            }
            _ => json!({ "validate": { "recovery_point_arn": arn, "backup_vault_name": VAULT } }),
        };
        Case {
            policy: policy(&mut of),
            reads_only: of(12) == 0,
            event,
            arn,
            vault_arn,
            resource_type: resource_type.to_owned(),
            source_arn,
            tags,
            size,
            types,
        }
    }

    /// The options by which `policy explain` is told what the function looks up, each with its value.
    pub fn options(&self) -> Vec<[String; 2]> {
        let option = |name: &str, value: &str| [name.to_owned(), value.to_owned()];
        let mut options = vec![
            option("--resource-type", &self.resource_type),
            option("--source-arn", &self.source_arn),
            option("--size", &self.size.to_string()),
            option("--account", ACCOUNT),
            option("--region", REGION),
            option("--types", &self.types.join(",")),
        ];
        // An empty tag matches nothing that is asked here, and says that all are known.
        let tags = self
            .tags
            .iter()
            .map(|(key, value)| format!("{key}={value}"));
        let tags: Vec<String> = tags.chain(["none=".to_owned()]).collect();
        options.extend(tags.iter().map(|tag| option("--tag", tag)));
        options
    }
}

fn own_vault() -> String {
    format!("arn:aws:backup:{REGION}:{ACCOUNT}:backup-vault:{VAULT}")
}

fn copied(arn: &str, vault: &str, resource_type: &str, source: &str, size: u64) -> Value {
    json!({
        "version": "0", "id": "1", "detail-type": "Copy Job State Change", "source": "aws.backup",
        "account": SOURCE_ACCOUNT, "time": "2026-11-20T03:41:09Z", "region": REGION, "resources": [],
        "detail": {
            "copyJobId": "job", "backupSizeInBytes": size, "creationDate": "2026-11-20T03:10:00.120Z",
            "resourceArn": source, "resourceType": resource_type, "state": "COMPLETED",
            "sourceBackupVaultArn": format!("arn:aws:backup:{REGION}:{SOURCE_ACCOUNT}:backup-vault:workload"),
            "completionDate": "2026-11-20T03:40:51.004Z", "destinationBackupVaultArn": vault,
            "destinationRecoveryPointArn": arn,
        }
    })
}

/// A policy of one to three rules that anybody might write.
fn policy(of: &mut impl FnMut(u32) -> u32) -> String {
    let mut text = "version = \"chance\"\n".to_owned();
    if of(3) == 0 {
        text += "[limits]\nlargest_size = \"500 GiB\"\n";
    }
    let asked = [
        "resource_type = \"RDS\"",
        "resource_type = \"EC2\"",
        "source_arn = \"*orders\"",
        "account = \"222233334444\"",
        "account = \"999900001111\"",
        "vault = \"cent*\"",
        "tags = { env = \"prod\" }",
        "tags = { app = \"s*\", env = \"?est\" }",
    ];
    let mut used = Vec::new();
    for number in 0..=of(3) {
        let matching = match of(4) {
            0 => String::new(),
            _ => asked[of(8) as usize].to_owned(),
        };
        // A rule behind one that matches as much is a mistake.
        if used.contains(&matching) || used.contains(&String::new()) {
            continue;
        }
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "[[rules]]\nname = \"rule {number}\"\nmatch = {{ {matching} }}\nfrequency = \"every-copy\""
        );
        if of(3) == 0 {
            text += "sample = \"50%\"\n";
        }
        used.push(matching);
    }
    text
}
