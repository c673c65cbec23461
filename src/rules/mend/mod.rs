//! Mends that several rules give: the commands and the advice, said once.
//!
//! Enters: what a rule found. Leaves: steps for a fix. Never: asks a rule's question.

pub mod backend_config;
pub mod firewall_commands;
pub mod neg_errors;
pub mod user_check;
