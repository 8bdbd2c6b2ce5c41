//! Instance types: what EC2 says of them, and which images they take.
//!
//! Source: EC2 user guide, "Amazon EC2 instance type naming conventions", "Instances built on the AWS Nitro System" and
//! "Requirements for EC2 instance types with UEFI boot mode".

use super::metadata::ec2_error;

/// Families of the Xen system: they boot by BIOS alone.
const XEN: [&str; 24] = [
    "c1", "c3", "c4", "cc2", "d2", "f1", "g2", "g3", "g3s", "h1", "i2", "i3", "m1", "m2", "m3",
    "m4", "p2", "p3", "r3", "r4", "t1", "t2", "x1", "x1e",
];

/// An instance type.
pub(crate) struct InstanceType {
    /// `x86_64` or `arm64`.
    pub architecture: &'static str,
    /// `legacy-bios`, `uefi`, or both.
    pub boot_modes: &'static [&'static str],
}

/// The instance type of this name; none if it looks like none.
pub(crate) fn of(name: &str) -> Option<InstanceType> {
    let (family, size) = name.split_once('.')?;
    let is_size = matches!(
        size,
        "nano" | "micro" | "small" | "medium" | "large" | "metal"
    ) || size
        .strip_suffix("xlarge")
        .is_some_and(|count| count.is_empty() || count.bytes().all(|b| b.is_ascii_digit()))
        || size.starts_with("metal-");
    // A type of Graviton has a `g` behind its generation (`t4g`, `c7gn`); `g5g` too, and `a1` is one.
    let options = family.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    let generation = options.trim_start_matches(|c: char| c.is_ascii_digit());
    if !is_size || options == family || options == generation {
        return None;
    }
    let (architecture, boot_modes): (_, &[&str]) = match family {
        _ if family == "a1" || generation.starts_with('g') => ("arm64", &["uefi"]),
        _ if XEN.contains(&family) => ("x86_64", &["legacy-bios"]),
        _ => ("x86_64", &["legacy-bios", "uefi"]),
    };
    Some(InstanceType {
        architecture,
        boot_modes,
    })
}

/// Refuses an instance type that cannot start an image.
pub(super) fn check(name: &str, architecture: &str, boot_mode: Option<&str>) -> Result<(), String> {
    let Some(kind) = of(name) else {
        return Err(ec2_error(
            &format!("Invalid value '{name}' for InstanceType."),
            "InvalidParameterValue",
        ));
    };
    let of_type = kind.architecture;
    if of_type != architecture {
        return Err(ec2_error(
            &format!(
                "The architecture '{of_type}' of the specified instance type does not match the architecture \
                 '{architecture}' of the specified AMI. Specify an instance type and an AMI that have matching \
                 architectures, and try again."
            ),
            "InvalidParameterValue",
        ));
    }
    if boot_mode == Some("uefi") && !kind.boot_modes.contains(&"uefi") {
        // Words: RhinoSecurityLabs/cloudgoat #247.
        return Err(ec2_error(
            &format!(
                "The {name} instance type does not support an AMI with a boot mode of UEFI. Only instance types built on the \
                 Nitro System support UEFI. Specify an instance type that supports UEFI, and try again."
            ),
            "InvalidParameterValue",
        ));
    }
    Ok(())
}
