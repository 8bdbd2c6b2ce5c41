#![allow(clippy::unwrap_used)]
use super::*;
use serde_json::json;

fn deployment() -> Deployment {
    let pairs = |pairs: &[(&str, &str)]| {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    };
    Deployment {
        parameters: BTreeMap::new(),
        pseudo_parameters: pairs(&[
            ("AWS::AccountId", "111122223333"),
            ("AWS::Region", "eu-central-1"),
        ]),
        resources: pairs(&[
            ("Ledger", "ledger-table"),
            ("ResultsBucket", "results"),
            ("Topic", "arn:aws:sns:eu-central-1:111122223333:proof"),
            ("RecordsLogGroup", "records-log"),
            ("FunctionLogGroup", "function-log"),
            ("RestoreRole.Arn", "arn:aws:iam::111122223333:role/restore"),
            (
                "FunctionRole.Arn",
                "arn:aws:iam::111122223333:role/function",
            ),
            (
                "ScheduleRole.Arn",
                "arn:aws:iam::111122223333:role/schedule",
            ),
            ("Network.Outputs.VpcId", "vpc-1"),
            ("Network.Outputs.SubnetIds", "subnet-1,subnet-2"),
            ("Network.Outputs.FunctionSecurityGroupId", "sg-function"),
            ("Network.Outputs.DatabaseSecurityGroupId", "sg-database"),
            ("Network.Outputs.MachineSecurityGroupId", "sg-machine"),
            ("Network.Outputs.MachineSubnetIds", "subnet-1"),
            ("Network.Outputs.MachineZones", "eu-central-1a"),
            (
                "VolumeKey.Arn",
                "arn:aws:kms:eu-central-1:111122223333:key/volumes",
            ),
            ("Network.Outputs.DbSubnetGroupName", "isolated"),
            (
                "ResetKey",
                "arn:aws:secretsmanager:eu-central-1:111122223333:secret:reset-Ab12Cd",
            ),
            (
                "UndeliveredEvents.Arn",
                "arn:aws:sqs:eu-central-1:111122223333:undelivered",
            ),
            (
                "ExhaustedRetries.Arn",
                "arn:aws:sqs:eu-central-1:111122223333:exhausted",
            ),
        ]),
    }
}

/// The function's own part of a template, with what a test is about in it.
fn function(properties: &str) -> Result<Function> {
    let text = format!(
        "Parameters:\n  Name: {{ Type: String, Default: proof }}\n  Bundle: {{ Type: String, Default: '' }}\n\
         Conditions:\n  HasBundle: !Not [!Equals [!Ref Bundle, '']]\n\
         Resources:\n  F:\n    Type: AWS::Serverless::Function\n    Properties:\n      Handler: bootstrap\n{properties}"
    );
    Template::parse(&text)?.function("F", &deployment())
}

fn variable(value: &str) -> Result<String> {
    let function = function(&format!(
        "      Environment:\n        Variables:\n          X: {value}\n"
    ))?;
    Ok(function.environment["X"].clone())
}

#[test]
fn the_projects_own_template_gives_all_the_function_needs() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../template.yaml");
    let template = Template::read(&path).unwrap();
    let mut deployment = deployment();
    deployment
        .parameters
        .insert("BackupVaultNames".into(), "central,second".into());
    let function = template
        .function("RestoreProofFunction", &deployment)
        .unwrap();
    let names: Vec<_> = function.environment.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "BACKUP_JOB_VAULT_NAMES",
            "BACKUP_VAULT_NAMES",
            "DATABASE_CA_BUNDLE_URI",
            "DB_SECURITY_GROUP_IDS",
            "DB_SUBNET_GROUP",
            "EC2_SECURITY_GROUP_IDS",
            "EC2_SUBNET_IDS",
            "EC2_VOLUME_KEY_ARN",
            "HOURS_WITHOUT_POINT",
            "IAM_DATABASE_USERS",
            "LEDGER_TABLE",
            "LOG_LEVEL",
            "MAX_CONCURRENT_RESTORES",
            "NAME_PREFIX",
            "NETWORK_CIDR",
            "POLICY_KEY",
            "RECORDS_LOCK",
            "RECORDS_LOG_GROUP",
            "RESET_KEY_SECRET",
            "RESTORE_ROLE_ARN",
            "RESULTS_BUCKET",
            "SSL_CERT_FILE",
            "SUBNET_IDS",
            "TOPIC_ARN",
            "TYPES",
            "UNWATCHED_VAULT_NAMES",
            "VALUES_LEAVE",
            "VPC",
        ]
    );
    assert_eq!(function.environment["POLICY_KEY"], "policy/policy.toml");
    assert_eq!(function.environment["BACKUP_VAULT_NAMES"], "central,second");
    assert_eq!(function.environment["TYPES"], "Aurora,EC2,RDS");
    assert_eq!(function.environment["DB_SUBNET_GROUP"], "isolated");
    assert_eq!(function.environment["EC2_SUBNET_IDS"], "subnet-1");
    assert_eq!(function.environment["EC2_SECURITY_GROUP_IDS"], "sg-machine");
    assert_eq!(
        function.environment["EC2_VOLUME_KEY_ARN"],
        "arn:aws:kms:eu-central-1:111122223333:key/volumes"
    );
    assert_eq!(
        (function.retries, function.timeout),
        (2, Duration::from_secs(900))
    );
    assert!(function.on_failure.unwrap().ends_with(":exhausted"));
    let rules: Vec<_> = function
        .rules
        .iter()
        .map(|rule| rule.name.as_str())
        .collect();
    assert_eq!(rules, ["CopyJob", "RecoveryPoint", "RestoreJob"]);
    assert_eq!(
        function.schedules,
        [
            Schedule {
                name: "ReportWeekly".into(),
                every: Duration::from_secs(7 * 24 * 3600),
                input: json!({ "report": "weekly" }),
            },
            Schedule {
                name: "SweepDue".into(),
                every: Duration::from_secs(60),
                input: json!({ "sweep": "due" }),
            },
            Schedule {
                name: "SweepLost".into(),
                every: Duration::from_secs(3600),
                input: json!({ "sweep": "lost" }),
            },
        ]
    );
    for (name, value) in [("WeeklyReport", "false"), ("DailyReport", "true")] {
        deployment.parameters.insert(name.into(), value.into());
    }
    let function = template.function("RestoreProofFunction", &deployment);
    let schedules = function.unwrap().schedules.into_iter();
    let mut reports = schedules.filter(|schedule| schedule.input.get("report").is_some());
    let daily = reports.next().unwrap();
    assert_eq!(daily.every, Duration::from_secs(24 * 3600));
    assert_eq!(daily.input, json!({ "report": "daily" }));
    assert_eq!(reports.next(), None);
}

#[test]
fn references_and_functions_are_resolved() {
    assert_eq!(variable("!Ref Name").unwrap(), "proof");
    assert_eq!(
        variable("!GetAtt RestoreRole.Arn").unwrap(),
        "arn:aws:iam::111122223333:role/restore"
    );
    assert_eq!(
        variable("!GetAtt [Network, Outputs.SubnetIds]").unwrap(),
        "subnet-1,subnet-2"
    );
    assert_eq!(
        variable("!Sub 's3://${ResultsBucket}/${!Literal}/${Name}'").unwrap(),
        "s3://results/${Literal}/proof"
    );
    assert_eq!(
        variable("!Sub ['${A}-${AWS::Partition}', { A: !Ref Name }]").unwrap(),
        "proof-aws"
    );
    assert_eq!(
        variable("{ 'Fn::Join': [',', [a, !Ref Name]] }").unwrap(),
        "a,proof"
    );
    assert_eq!(
        variable("!Select [1, !Split [',', !GetAtt Network.Outputs.SubnetIds]]").unwrap(),
        "subnet-2"
    );
    assert_eq!(variable("!If [HasBundle, yes-it-has, 'no']").unwrap(), "no");
    assert_eq!(variable("120").unwrap(), "120");
}

#[test]
fn what_is_not_known_is_an_error_that_names_it() {
    let error = |result: Result<String>| format!("{:#}", result.unwrap_err());
    let unknown = error(variable("!Ref Nothing"));
    assert!(
        unknown.contains("variable X") && unknown.contains("nothing here is called `Nothing`"),
        "{unknown}"
    );
    let import = error(variable("!ImportValue other"));
    assert!(import.contains("Fn::ImportValue"), "{import}");
    let source = function("      Events:\n        Q: { Type: SQS, Properties: {} }\n").unwrap_err();
    assert!(
        format!("{source:#}").contains("F.Events.Q: event source Some(\"SQS\")"),
        "{source:#}"
    );
    let cron = "      Events:\n        S: { Type: ScheduleV2, Properties: { ScheduleExpression: 'cron(0 1 1 * ? *)', Input: '{}' } }\n";
    assert!(format!("{:#}", function(cron).unwrap_err()).contains("cron(0 1 1 * ? *)"));
    let missing = Template::parse("Resources: {}")
        .unwrap()
        .function("F", &deployment())
        .unwrap_err();
    assert!(missing.to_string().contains("no function `F`"));
    let mut deployment = deployment();
    deployment.parameters.insert("Typo".into(), "x".into());
    let typo = Template::parse("Resources: {}")
        .unwrap()
        .function("F", &deployment)
        .unwrap_err();
    assert!(typo.to_string().contains("no parameter `Typo`"));
}

#[test]
fn values_left_out_take_lambdas_defaults() {
    let function =
        function("      ReservedConcurrentExecutions: !If [HasBundle, 3, !Ref 'AWS::NoValue']\n")
            .unwrap();
    assert_eq!(
        (function.name.as_str(), function.timeout, function.memory_mb),
        ("F", Duration::from_secs(3), 128)
    );
    assert_eq!((function.retries, function.on_failure), (2, None));
}

#[test]
fn the_projects_own_rules_take_the_states_that_matter_and_no_others() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../template.yaml");
    let template = Template::read(&path).unwrap();
    let mut deployment = deployment();
    deployment
        .parameters
        .insert("BackupVaultNames".into(), "central".into());
    let function = template
        .function("RestoreProofFunction", &deployment)
        .unwrap();
    let matching = |kind: &str, detail: Value| -> Vec<String> {
        let event = json!({
            "source": "aws.backup", "detail-type": kind, "account": "111122223333", "detail": detail,
        });
        let rules = function.rules.iter();
        let matching = rules.filter(|rule| rule.pattern.matches(&event));
        matching.map(|rule| rule.name.clone()).collect()
    };
    let nobody: [&str; 0] = [];
    for state in ["COMPLETED", "FAILED", "PARTIAL"] {
        assert_eq!(
            matching("Copy Job State Change", json!({ "state": state })),
            ["CopyJob"]
        );
    }
    for state in ["CREATED", "RUNNING"] {
        assert_eq!(
            matching("Copy Job State Change", json!({ "state": state })),
            nobody
        );
    }
    for status in ["COMPLETED", "FAILED", "ABORTED"] {
        assert_eq!(
            matching("Restore Job State Change", json!({ "status": status })),
            ["RestoreJob"]
        );
    }
    // A created job has `state` where later events have `status`.
    assert_eq!(
        matching("Restore Job State Change", json!({ "state": "CREATED" })),
        nobody
    );
    let point = |status: &str, vault: &str| json!({ "status": status, "backupVaultName": vault });
    for status in ["COMPLETED", "PARTIAL", "AVAILABLE"] {
        let there = "Recovery Point State Change";
        assert_eq!(matching(there, point(status, "central")), ["RecoveryPoint"]);
        assert_eq!(matching(there, point(status, "elsewhere")), nobody);
    }
    for status in ["CREATING", "DELETING", "EXPIRED", "STOPPED"] {
        let kind = "Recovery Point State Change";
        assert_eq!(matching(kind, point(status, "central")), nobody);
    }
    // Backups count only in the vaults that are named, and without any the rule sleeps.
    let backup = |vault: &str| json!({ "state": "COMPLETED", "backupVaultName": vault });
    assert_eq!(
        matching("Backup Job State Change", backup("central")),
        nobody
    );
    deployment
        .parameters
        .insert("BackupJobVaultNames".into(), "central,second".into());
    let function = template
        .function("RestoreProofFunction", &deployment)
        .unwrap();
    let backups = |vault: &str| {
        let event = json!({
            "source": "aws.backup", "detail-type": "Backup Job State Change", "account": "111122223333",
            "detail": backup(vault),
        });
        function
            .rules
            .iter()
            .any(|rule| rule.pattern.matches(&event))
    };
    assert_eq!(["second", "other"].map(backups), [true, false]);
}

#[test]
fn the_function_listens_to_the_topic_it_is_given() {
    let template = Template::read(Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../template.yaml"
    )))
    .unwrap();
    let mut deployment = deployment();
    deployment
        .parameters
        .insert("BackupVaultNames".into(), "central".into());
    let function = template.function("RestoreProofFunction", &deployment);
    assert!(function.unwrap().subscriptions.is_empty());
    let topic = "arn:aws:sns:eu-central-1:111122223333:vaults";
    let parameter = "VaultNotificationTopicArn".to_owned();
    deployment.parameters.insert(parameter, topic.to_owned());
    let function = template.function("RestoreProofFunction", &deployment);
    let subscriptions = function.unwrap().subscriptions;
    assert_eq!(subscriptions.len(), 1);
    assert_eq!(subscriptions[0].topic_arn, topic);

    let world = crate::World::new(crate::WorldOptions::default());
    let notice = crate::Notice::from(&crate::BackupJob {
        id: "job-1".to_owned(),
        ..crate::BackupJob::default()
    });
    let mut told = world.vault_notification(topic, &notice);
    assert!(subscriptions[0].takes(&told));
    // A message of the function's own, say: it names no job.
    let attributes = &mut told["Records"][0]["Sns"]["MessageAttributes"];
    attributes.as_object_mut().unwrap().remove("Id");
    assert!(!subscriptions[0].takes(&told));
}
