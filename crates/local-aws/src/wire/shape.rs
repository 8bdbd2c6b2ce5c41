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

/// What members are called on EC2's wire, by the member's name and, where one name has several meanings, that of the
/// member it is in. All others begin with a small letter (Smithy, ec2Query).
const EC2_NAMES: &[(&str, &str)] = &[
    ("Attachments", "attachmentSet"),
    ("Attachments.State", "status"),
    ("BlockDeviceMappings", "blockDeviceMapping"),
    ("Groups", "groupSet"),
    ("Images", "imagesSet"),
    ("Images.OwnerId", "imageOwnerId"),
    ("Images.Public", "isPublic"),
    ("Images.State", "imageState"),
    ("InstanceTypes", "instanceTypeSet"),
    ("Instances", "instancesSet"),
    ("Instances.PublicDnsName", "dnsName"),
    ("Instances.PublicIpAddress", "ipAddress"),
    ("Instances.SecurityGroups", "groupSet"),
    ("Instances.State", "instanceState"),
    ("Instances.StateTransitionReason", "reason"),
    ("Ipv6Addresses", "ipv6AddressesSet"),
    ("NetworkInterfaces", "networkInterfaceSet"),
    ("PrivateIpAddresses", "privateIpAddressesSet"),
    ("ProductCodeId", "productCode"),
    ("ProductCodeType", "type"),
    ("PropagatingVgws", "propagatingVgwSet"),
    ("Reservations", "reservationSet"),
    ("RouteTables", "routeTableSet"),
    ("RouteTables.Associations", "associationSet"),
    ("RouteTables.Routes", "routeSet"),
    ("SecurityGroups", "securityGroupInfo"),
    ("SecurityGroups.Description", "groupDescription"),
    ("Tags", "tagSet"),
    ("TerminatingInstances", "instancesSet"),
    ("UserIdGroupPairs", "groups"),
    ("Volumes", "volumeSet"),
    ("Volumes.State", "status"),
];

/// The entry of a table for a member, or for the member of this structure.
fn entry(table: &'static [(&str, &str)], within: &str, name: &str) -> Option<&'static str> {
    let of_structure = format!("{within}.{name}");
    let find = |wanted: &str| table.iter().find(|(name, _)| *name == wanted);
    let found = find(&of_structure).or_else(|| find(name));
    found.map(|(_, called)| *called)
}

/// Writes the members of EC2's structure `within`.
pub(crate) fn write_ec2(xml: &mut Xml, within: &str, members: &Value) {
    for (name, value) in members.as_object().into_iter().flatten() {
        let mut called = name.clone();
        called[..1].make_ascii_lowercase();
        let called = entry(EC2_NAMES, within, name).unwrap_or(&called);
        match value {
            Value::Null => {}
            Value::Array(elements) => {
                xml.element(called, |xml| {
                    for element in elements {
                        match element.as_str() {
                            Some(text) => drop(xml.text("item", text)),
                            None => drop(xml.element("item", |xml| write_ec2(xml, name, element))),
                        }
                    }
                });
            }
            Value::Object(_) => drop(xml.element(called, |xml| write_ec2(xml, name, value))),
            Value::String(text) => drop(xml.text(called, text)),
            Value::Bool(_) | Value::Number(_) => drop(xml.text(called, value)),
        }
    }
}

/// Writes a member of the query protocol's structure `within`.
pub(crate) fn write_query(xml: &mut Xml, within: &str, name: &str, value: &Value) {
    match value {
        Value::Null => {}
        Value::Array(elements) => {
            let called = entry(QUERY_LISTS, within, name).unwrap_or("member");
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
