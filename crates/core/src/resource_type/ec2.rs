//! EC2 instances.

use jiff::SignedDuration;

use super::{ArnShape, Deadlines, DeletionOrder, Facts, MarkedBy};

pub(super) static FACTS: Facts = Facts {
    name: "EC2",
    noun: "machine",
    created: ArnShape {
        service: "ec2",
        kind: Some("instance"),
    },
    marked_by: MarkedBy::Subnet,
    deletion: DeletionOrder::WholeFirst,
    // As for a database: the volumes load their data after the restore.
    deadlines: Deadlines {
        restored: SignedDuration::from_hours(48),
        ready: SignedDuration::from_hours(6),
        without_progress: SignedDuration::from_hours(3),
    },
};
