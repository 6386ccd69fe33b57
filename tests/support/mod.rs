//! The fakes of the fast tests: what stands in for Pebble, PostgreSQL and Temporal Server, on real sockets.
//!
//! They keep to what the real ones were seen to do; every scenario that runs on them runs on the real ones
//! too (`tests/real`). What `tests/it` is played on, and what counts and measures the charm itself where servers would
//! blur it.

pub(crate) mod address;
pub(crate) mod cloud;
pub(crate) mod container;
pub(crate) mod counterparts;
mod files;
pub(crate) mod pebble;
pub(crate) mod postgres;
mod services;
pub(crate) mod stage;
pub(crate) mod temporal;

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Runtime;

/// All fakes of the test process live on it; the tests themselves are plain threads.
pub(crate) static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
});

/// A test that panicked has said enough: the others may go on.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
