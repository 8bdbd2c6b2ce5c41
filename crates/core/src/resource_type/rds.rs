//! RDS DB instances.

use jiff::SignedDuration;

use super::{ArnShape, Deadlines, DeletionOrder, Facts, MarkedBy};

pub(super) static FACTS: Facts = Facts {
    name: "RDS",
    noun: "database",
    created: ArnShape {
        service: "rds",
        kind: Some("db"),
    },
    marked_by: MarkedBy::Name,
    deletion: DeletionOrder::WholeFirst,
    // RDS restores within minutes to hours whatever the size, since it loads the data afterwards: twice the day that AWS
    // may take for types that copy it all is an end for every one.
    deadlines: Deadlines {
        restored: SignedDuration::from_hours(48),
        ready: SignedDuration::from_hours(6),
        without_progress: SignedDuration::from_hours(3),
    },
};
