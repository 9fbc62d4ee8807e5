//! Decoded recordings kept in memory, the least recently used going first.

use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;

use super::store::Recording;

/// Recordings by number, up to a number of bytes.
#[derive(Debug)]
pub(super) struct Cache {
    budget: usize,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    recordings: LruCache<usize, Arc<Recording>>,
    bytes: usize,
    hits: u64,
    misses: u64,
}

impl Cache {
    pub(super) fn new(budget: usize) -> Self {
        let held = Held { recordings: LruCache::unbounded(), bytes: 0, hits: 0, misses: 0 };
        Self { budget, held: Mutex::new(held) }
    }

    pub(super) fn get(&self, number: usize) -> Option<Arc<Recording>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let found = held.recordings.get(&number).cloned();
        if found.is_some() {
            held.hits += 1;
        } else {
            held.misses += 1;
        }
        found
    }

    /// Keeps a recording, unless it alone is larger than all that may be kept.
    pub(super) fn put(&self, number: usize, recording: &Arc<Recording>) {
        let bytes = recording.bytes();
        if bytes > self.budget {
            return;
        }
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        // A second thread may have read it too: no other recording has to go for that.
        if let Some(replaced) = held.recordings.pop(&number) {
            held.bytes -= replaced.bytes();
        }
        while held.bytes > self.budget - bytes {
            let Some((_, oldest)) = held.recordings.pop_lru() else { break };
            held.bytes -= oldest.bytes();
        }
        held.recordings.put(number, Arc::clone(recording));
        held.bytes += bytes;
    }

    /// Bytes kept, and how often a recording was there and was not.
    pub(super) fn usage(&self) -> (usize, u64, u64) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        (held.bytes, held.hits, held.misses)
    }
}

#[cfg(test)]
mod tests {
    use unils::motion::Space;

    use super::super::store::Track;
    use super::*;

    fn recording(frames: usize) -> Arc<Recording> {
        Arc::new(Recording::new("a", Space::Arkit55, vec![Track::new("a", vec![0.0; frames * 55])]))
    }

    #[test]
    fn the_budget_holds_and_the_oldest_goes() {
        let one = recording(10).bytes();
        let cache = Cache::new(3 * one);
        (0..3).for_each(|number| cache.put(number, &recording(10)));
        assert!(cache.get(0).is_some());
        cache.put(3, &recording(10));
        assert!(cache.get(1).is_none() && cache.get(0).is_some());
        assert_eq!(cache.usage().0, 3 * one);
        // The same again, by a second thread that read it too.
        cache.put(3, &recording(10));
        assert_eq!(cache.usage().0, 3 * one);
        cache.put(4, &recording(20));
        assert_eq!(cache.usage().0, 3 * one);
        cache.put(5, &recording(31));
        assert!(cache.get(5).is_none());
        let none = Cache::new(0);
        none.put(0, &recording(1));
        assert_eq!(none.usage(), (0, 0, 0));
    }
}
