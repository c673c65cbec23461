//! What is done with a recording before it is given away: cut down to some targets, and made anonymous.
//!
//! Enters: a [`Recording`](crate::snapshot::Recording). Leaves: a smaller one, or one without names, of which the diagnosis is the same.
//! Never: reads or writes anything.

mod kept;
mod narrow;
mod redact;
mod witness;
