//! The fault suites: every AWS call of every way fails in every manner, the function dies at every call, and random runs do
//! all of it at once; in simulated time, after which the world is inspected.
//!
//! [`paths`] says what is validated, [`harm`] what is done to it, [`run`] runs one scene, [`inspect`] looks at what is left,
//! [`suites`] lists the runs. [`burst`] lets thousands of copies land at once, and [`backlog`] looks what sweeps cost then.
//! [`calls`] counts what one validation and one sweep ask of AWS.

pub mod backlog;
pub mod burst;
pub mod calls;
pub mod harm;
pub mod inspect;
pub mod lambda;
pub mod paths;
pub mod run;
pub mod shop;
pub mod suites;
pub mod time;
pub mod wire;
