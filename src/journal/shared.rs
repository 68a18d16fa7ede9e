//! A lock whose reader may ask again, and is answered with what it holds already.
//!
//! What is shown of a portfolio is shown by closures that run while the library is held for reading, and what they call
//! may ask for the library again. With a lock that lets writers through first, that waits for a writer that waits for
//! it, and stops everybody. So whoever reads on a thread that reads already is let in at once; a reader that is the first
//! on its thread queues behind the writers, as it should, or these would wait for ever.

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::cell::RefCell;
use std::ops::Deref;

thread_local! {
    /// The locks that this thread holds for reading, once for each time.
    static HELD: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// A value under such a lock.
#[derive(Default, Debug)]
pub(super) struct Shared<T>(RwLock<T>);

/// A value that is being read.
#[derive(Debug)]
pub(crate) struct Reading<'l, T> {
    value: RwLockReadGuard<'l, T>,
    lock: usize,
}

impl<T> Deref for Reading<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Drop for Reading<'_, T> {
    fn drop(&mut self) {
        HELD.with_borrow_mut(|held| {
            if let Some(at) = held.iter().rposition(|lock| *lock == self.lock) {
                held.swap_remove(at);
            }
        });
    }
}

impl<T> Shared<T> {
    /// Puts a value under a lock.
    pub(super) const fn new(value: T) -> Self {
        Self(RwLock::new(value))
    }

    fn identity(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Whether this thread reads the value now: what waits for a writer then waits for ever.
    pub(super) fn is_read_here(&self) -> bool {
        HELD.with_borrow(|held| held.contains(&self.identity()))
    }

    /// Reads the value.
    pub(super) fn read(&self) -> Reading<'_, T> {
        let value = if self.is_read_here() { self.0.read_recursive() } else { self.0.read() };
        let lock = self.identity();
        HELD.with_borrow_mut(|held| held.push(lock));
        Reading { value, lock }
    }

    /// Changes the value, once nobody reads it. Must not be called where this thread reads it.
    pub(super) fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write()
    }

    /// Changes the value, if nobody reads or changes it now.
    pub(super) fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
        self.0.try_write()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    #[test]
    fn who_reads_already_reads_again_though_a_writer_waits() {
        let shared = Shared::new(1);
        let (done, is_done) = mpsc::channel();
        std::thread::scope(|scope| {
            let outer = shared.read();
            scope.spawn(|| *shared.write() = 2);
            // Until the writer waits, others are let in.
            while shared.0.try_read().is_some() {
                std::thread::yield_now();
            }
            assert!(shared.is_read_here());
            let inner = shared.read();
            assert_eq!((*outer, *inner), (1, 1));
            drop((outer, inner));
            assert!(!shared.is_read_here());
            done.send(()).unwrap();
        });
        is_done.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(*shared.read(), 2);
    }

    #[test]
    fn one_lock_is_not_taken_for_another() {
        let (one, other) = (Shared::new(1), Shared::new(2));
        let _reading = one.read();
        assert!(one.is_read_here() && !other.is_read_here());
        *other.write() = 3;
        assert_eq!(*other.read(), 3);
    }
}
