//! The storage of a restored DB instance: what the request says of it must fit together, and fit the backup.
//!
//! Limits: RDS user guide, "Amazon RDS DB instance storage", as of 2026.

use super::Request;

/// Settles the storage keys of a request, overrides among them: IOPS of the backup stay only where RDS takes them for
/// the storage that is asked for. Returns what RDS would refuse of the policy's overrides.
pub(super) fn settle(request: &mut Request<'_>) -> Option<String> {
    let engine = request.said("Engine");

    // RestoreDBInstanceFromDBSnapshot: AllocatedStorage "isn't valid for RDS for SQL Server"; what it says of the others
    // is not clear, and the backup's storage is what comes without any.
    if engine.starts_with("sqlserver-") {
        for key in ["AllocatedStorage", "Iops", "StorageType"] {
            if let Some(value) = request.asked(key) {
                return problem(
                    key,
                    value,
                    "; RDS restores SQL Server to the backup's storage only",
                );
            }
            if request.keys.contains_key(key) {
                let reason = "RDS restores SQL Server to the backup's storage only";
                request.set(key, None, reason);
            }
        }
        return None;
    }

    // What the request would say now.
    let kind = request.says("StorageType").unwrap_or_default().to_owned();
    let gib = request.says("AllocatedStorage");
    let gib: Option<u32> = gib.and_then(|gib| gib.parse().ok());
    let takes = |iops: &str| {
        let iops = iops.parse().ok();
        iops.is_some_and(|iops| takes_iops(engine, &kind, gib, iops))
    };
    let iops_of_backup = request.asked("Iops").is_none();
    if iops_of_backup && request.says("Iops").is_some_and(|iops| !takes(iops)) {
        let reason = "RDS does not take it for the storage that is asked for";
        request.set("Iops", None, reason);
    }

    let source_gib: Option<u32> = request.said("AllocatedStorage").parse().ok();
    if let Some(value) = request.asked("AllocatedStorage")
        && let (Some(gib), Some(source_gib)) = (gib, source_gib)
        && gib < source_gib
    {
        return problem(
            "AllocatedStorage",
            value,
            ", less than the backup's; RDS restores to no smaller disk",
        );
    }
    let chosen = ["AllocatedStorage", "StorageType"]
        .into_iter()
        .find_map(|key| Some((key, request.asked(key)?)));
    if let Some((key, value)) = chosen {
        let Some((least, most)) = sizes(&kind) else {
            return match request.asked("StorageType") {
                Some(kind) => problem("StorageType", kind, ", which RDS does not know"),
                None => None,
            };
        };
        if gib.is_some_and(|gib| !(least..=most).contains(&gib)) {
            let limits = format!("; {kind} has from {least} to {most} GiB");
            return problem(key, value, &limits);
        }
    }
    if let Some(iops) = request.asked("Iops").filter(|iops| !takes(iops)) {
        return problem(
            "Iops",
            iops,
            ", which RDS does not take for the type and size of storage that is asked for",
        );
    }
    // Of an io1 or io2 source RDS has them from the backup.
    let provisioned = |kind: &str| matches!(kind, "io1" | "io2");
    if let Some(kind) = request
        .asked("StorageType")
        .filter(|kind| provisioned(kind))
        && !provisioned(request.said("StorageType"))
        && iops_of_backup
    {
        return problem(
            "StorageType",
            kind,
            " without Iops; provisioned storage needs them",
        );
    }
    None
}

fn problem(key: &str, value: &str, why: &str) -> Option<String> {
    Some(format!(
        "the policy's restore keys ask for {key} = {value:?}{why}. Change or remove the rule's storage keys"
    ))
}

/// The least and the most GiB of a storage type; none for one that RDS does not know.
fn sizes(kind: &str) -> Option<(u32, u32)> {
    match kind {
        "gp2" | "gp3" => Some((20, 65_536)),
        "io1" | "io2" => Some((100, 65_536)),
        "standard" => Some((5, 3072)),
        _ => None,
    }
}

/// Whether RDS takes so many IOPS for a storage type and size. gp3 takes none below the size from which it is striped.
fn takes_iops(engine: &str, kind: &str, gib: Option<u32>, iops: u32) -> bool {
    let striped_from = if engine.starts_with("oracle-") {
        200
    } else {
        400
    };
    let (range, most_per_gib) = match kind {
        "gp3" => {
            return gib.is_some_and(|gib| gib >= striped_from) && (12_000..=64_000).contains(&iops);
        }
        "io1" => (1000..=256_000, 50),
        "io2" => (1000..=256_000, 1000),
        _ => return false,
    };
    // At least one for two GiB.
    let fits = |gib: u32| iops.saturating_mul(2) >= gib && iops <= gib.saturating_mul(most_per_gib);
    range.contains(&iops) && gib.is_none_or(fits)
}
