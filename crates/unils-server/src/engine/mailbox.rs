//! Commands to the engine thread. Each connection may have a bounded number of them under way ([`Credit`]) and waits
//! for the engine otherwise, which its client feels as a full socket.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::Command;

/// Commands of one connection that may wait for the engine.
const MOST_UNDER_WAY: usize = 64;

/// The engine's queue.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    queue: Mutex<VecDeque<(Command, Option<Credit>)>>,
    arrived: Condvar,
}

/// One place of a connection's bounded share; free again when the command is done.
#[derive(Debug)]
pub(crate) struct Credit(Arc<AtomicUsize>);

impl Drop for Credit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}

/// A connection's share.
#[derive(Debug, Default, Clone)]
pub(crate) struct Share(Arc<AtomicUsize>);

impl Share {
    /// A place, once there is one.
    pub(crate) async fn credit(&self) -> Credit {
        while self.0.load(Ordering::Acquire) >= MOST_UNDER_WAY {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        self.0.fetch_add(1, Ordering::AcqRel);
        Credit(Arc::clone(&self.0))
    }
}

impl Mailbox {
    pub(crate) fn send(&self, command: Command, credit: Option<Credit>) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).push_back((command, credit));
        self.arrived.notify_one();
    }

    /// Waits for commands, at most so long, and takes all that are there.
    pub(super) fn wait(&self, most: Duration) -> VecDeque<(Command, Option<Credit>)> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.is_empty() && !most.is_zero() {
            let waited = self.arrived.wait_timeout(queue, most);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        std::mem::take(&mut *queue)
    }
}
