//! Out of the program: the status of the custom resource, events, metrics, text.
//!
//! Enters: a [`crate::diagnose::Diagnosis`]. Leaves: what users read. Never: judges, or changes what was found.

pub mod events;
pub mod metrics;
pub mod owned;
pub mod status;
pub mod text;
