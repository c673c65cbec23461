//! A lock that outlives a panic.
//!
//! Enters: a mutex. Leaves: its guard. Never: fails, because a panic while the lock was held leaves a whole value behind: whoever holds one
//! moves complete values.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks.
pub(crate) fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
