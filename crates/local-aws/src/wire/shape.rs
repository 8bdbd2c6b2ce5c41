//! Answers as their services' APIs name them, put on the wire: a value with the members of the output's shape, written
//! by the rules of the protocol. What a list's elements are called is in a table, taken from AWS's API references. A
//! member that is `null` is left out.

use serde_json::Value;

use super::xml::Xml;

/// What the elements of a list are called in the query protocol, by the list's name and, where one name has several
/// meanings, that of the structure it is in. `member` for all others, as the protocol has it (Smithy, awsQuery).
const QUERY_LISTS: &[(&str, &str)] = &[
    ("AvailabilityZones", "AvailabilityZone"),
    ("DBCluster.AssociatedRoles", "DBClusterRole"),
    ("DBCluster.DBClusterMembers", "DBClusterMember"),
    ("DBClusterSnapshots", "DBClusterSnapshot"),
    ("DBClusters", "DBCluster"),
    ("DBInstance.AssociatedRoles", "DBInstanceRole"),
    ("DBInstances", "DBInstance"),
    ("DBParameterGroups", "DBParameterGroup"),
    ("DBSecurityGroups", "DBSecurityGroup"),
    ("DBSnapshots", "DBSnapshot"),
    ("DomainMemberships", "DomainMembership"),
    ("OptionGroupMemberships", "OptionGroupMembership"),
    ("ProcessorFeatures", "ProcessorFeature"),
    (
        "ReadReplicaDBInstanceIdentifiers",
        "ReadReplicaDBInstanceIdentifier",
    ),
    ("ReadReplicaIdentifiers", "ReadReplicaIdentifier"),
    ("Subnets", "Subnet"),
    ("TagList", "Tag"),
    ("VpcSecurityGroups", "VpcSecurityGroupMembership"),
];

/// Writes a member of the query protocol's structure `within`.
pub(crate) fn write_query(xml: &mut Xml, within: &str, name: &str, value: &Value) {
    match value {
        Value::Null => {}
        Value::Array(elements) => {
            let of_structure = format!("{within}.{name}");
            let called = QUERY_LISTS
                .iter()
                .find(|(list, _)| *list == of_structure || *list == name);
            let called = called.map_or("member", |(_, called)| called);
            xml.element(name, |xml| {
                for element in elements {
                    write_query(xml, name, called, element);
                }
            });
        }
        Value::Object(members) => {
            xml.element(name, |xml| {
                for (member, value) in members {
                    write_query(xml, name, member, value);
                }
            });
        }
        Value::String(text) => drop(xml.text(name, text)),
        Value::Bool(_) | Value::Number(_) => drop(xml.text(name, value)),
    }
}
