//! Ctrl-C.
//!
//! Outside a [`Graceful`] part the first press ends the program at once, after removing unfinished files. Inside
//! one it only asks to stop: the work looks at [`requested`] between its steps; a second press does not wait.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::Context;

static REQUESTED: AtomicBool = AtomicBool::new(false);
static GRACEFUL: AtomicUsize = AtomicUsize::new(0);

/// Listens for Ctrl-C, and where there are such signals, for termination and hang-up.
pub fn listen() -> anyhow::Result<()> {
    ctrlc::set_handler(|| {
        let is_first = !REQUESTED.swap(true, Ordering::SeqCst);
        let mut stderr = std::io::stderr();
        if is_first && GRACEFUL.load(Ordering::SeqCst) > 0 {
            let _ = writeln!(stderr, "\nstopping (press Ctrl-C again to stop at once)");
            return;
        }
        // Held until the process is gone, so that no thread begins another file.
        let _removed = unils::file::remove_unfinished();
        let _ = writeln!(stderr, "\ninterrupted");
        std::process::exit(i32::from(crate::exit::INTERRUPTED));
    })
    .context("cannot listen for Ctrl-C")
}

/// True once Ctrl-C was pressed.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}

/// While it lives, the first Ctrl-C asks to stop instead of ending the program.
#[derive(Debug)]
pub struct Graceful(());

impl Graceful {
    /// Begins a part that looks at [`requested`].
    pub fn begin() -> Self {
        GRACEFUL.fetch_add(1, Ordering::SeqCst);
        Self(())
    }
}

impl Drop for Graceful {
    fn drop(&mut self) {
        GRACEFUL.fetch_sub(1, Ordering::SeqCst);
    }
}
