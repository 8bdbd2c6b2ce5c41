//! An AWS small enough for one machine, for the demo and the tests.
//!
//! One in-memory [`World`] plays exactly the operations Restore Proof uses, in their real wire
//! protocols, and answers anything else with an error that names the operation. It can be plugged
//! into the AWS SDK as its HTTP client in the same process ([`World::http_client`]) or served on
//! loopback ([`serve`]). A restore restores something real: a recovery point with a database dump
//! becomes a running PostgreSQL or MariaDB server ([`engine`]), and one of a machine an HTTP server
//! at a loopback address of its own ([`Machine`]).
//!
//! Time is the world's clock ([`Clock`]): restores, deletions and tokens follow it, so that tests
//! can move it ahead. Events leave through [`World::set_event_sink`], Lambda invocations through
//! [`World::set_invoke_sink`].

// An answer with many members is one `json!`.
#![recursion_limit = "256"]

pub mod alarm;
pub mod bystander;
pub mod engine;
pub mod event_bus;
pub mod process;
pub mod runtime_api;
pub mod schedule;
pub mod template;

mod connector;
mod fault;
mod machine;
mod recorder;
mod server;
mod service;
mod wire;
mod world;

pub use fault::{Attempt, Fault, FaultKind, Faults, Judge, Times, When};
pub use server::{Server, serve};
pub use world::behaviour::{
    ClusterBehaviour, EventDelivery, InstanceBehaviour, PasswordReset, Refusal, RestoreBehaviour,
    RestoreOutcome, StatusPhase, WriterBehaviour,
};
pub use world::events::Notice;
pub use world::inspect::{
    Call, DeletedBy, Deletion, LogEvent, Message, ObjectVersion, Thing, ThingKind,
};
pub use world::seed::{
    Attachment, BackupJob, Bucket, CopyJob, DbCluster, DbInstance, DbSubnetGroup, Ec2Instance,
    EgressRule, ImageDevice, Index, KeyAttribute, Machine, NetworkInterface, RecoveryPoint,
    RestoreJob, Route, RouteTable, Secret, SecurityGroup, ServerlessV2Range, SourceCluster,
    SourceDatabase, Subnet, Table, Vault, Volume, WaysIn, WebBehaviour,
};
pub use world::seed_file::{SeedFile, SeedObject};
pub use world::{Clock, EventSink, InvokeSink, StartRestore, World, WorldOptions, system_clock};
