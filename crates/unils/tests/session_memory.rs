//! That a session's memory does not grow with its length: live bytes of the whole process, counted.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;
mod session_common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};

use session_common::{drain, model, voice};
use unils::device::set_threads;
use unils::session::{Session, SessionOptions, Voice};

/// The system's allocator with a sum of what is held.
struct Counting;

static HELD: AtomicIsize = AtomicIsize::new(0);

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn hours_take_no_more_memory_than_minutes() {
    // Each thread that computes keeps room for its matrix products from its first one on, half a megabyte where that is
    // the second-level cache. A thread that gets its first product late, on a busy machine, is no growth of the session's.
    set_threads(1).unwrap();
    let model = Arc::new(model());
    let before = HELD.load(Ordering::Relaxed);
    let mut session = Session::new(
        Arc::clone(&model),
        SessionOptions { smooth: true, participants: 2, ..SessionOptions::default() },
    )
    .unwrap();
    let (own, partner) = (voice(1.0, 190.0, 44_100), voice(1.0, 120.0, 16_000));
    let mut second = |index: u64| {
        // The own voice rests every third second, and is interrupted now and then.
        if index % 3 == 2 {
            session.flush(Voice::Own);
        } else {
            session.push(Voice::Own, 44_100, None, &own).unwrap();
        }
        session.push(Voice::Partner, 16_000, None, &partner).unwrap();
        session.elapse(index * 16_000);
        drain(&mut session);
        if index % 50 == 7 {
            session.interrupt(None);
        }
        HELD.load(Ordering::Relaxed) - before
    };
    let seconds = if cfg!(debug_assertions) { 60 } else { 600 };
    let early = (0..seconds).map(&mut second).max().unwrap();
    let late = (seconds..3 * seconds).map(&mut second).max().unwrap();
    assert!(early < 5 << 20, "{early} bytes for a session");
    assert!(late <= early + (64 << 10), "{early} bytes, later {late}");
}
