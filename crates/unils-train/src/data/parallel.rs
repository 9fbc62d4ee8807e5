//! Runs independent pieces of work on named threads and hands the results to one of them, the caller's.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread::Builder;

use unils::{Error, Result};

/// Results that may wait for the caller, a thread.
const WAITING: usize = 2;

/// Does `work(0)` to `work(count - 1)` on `threads` threads (all cores if 0) and gives each result with its number to
/// `take`, in the order in which they finish. The first error of `take` stops the rest.
pub(super) fn for_each<T: Send>(
    count: usize,
    threads: usize,
    name: &str,
    work: impl Fn(usize) -> T + Sync,
    mut take: impl FnMut(usize, T) -> Result<()>,
) -> Result<()> {
    let threads = thread_count(threads).min(count.max(1));
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let (sender, results) = sync_channel(threads * WAITING);
        for thread in 0..threads {
            let (sender, next, stop, work) = (sender.clone(), &next, &stop, &work);
            let run = move || {
                while !stop.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count || sender.send((number, work(number))).is_err() {
                        break;
                    }
                }
            };
            Builder::new().name(format!("{name} {thread}")).spawn_scoped(scope, run).map_err(no_thread)?;
        }
        drop(sender);
        let taken = results.iter().try_for_each(|(number, result)| take(number, result));
        stop.store(true, Ordering::Relaxed);
        // Threads that wait to send see that nobody takes any more.
        drop(results);
        taken
    })
}

/// That many threads; all cores if 0.
pub(super) fn thread_count(threads: usize) -> usize {
    match threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    }
}

pub(super) fn no_thread(error: std::io::Error) -> Error {
    Error::argument("threads", format!("the system does not start one more: {error}"))
        .with_hint("use fewer threads")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_done_once_and_errors_stop() {
        for threads in [0, 1, 3, 40] {
            let mut seen = vec![0; 100];
            for_each(
                100,
                threads,
                "test",
                |number| number * 2,
                |number, result| {
                    assert_eq!(result, number * 2);
                    seen[number] += 1;
                    Ok(())
                },
            )
            .unwrap();
            assert!(seen.iter().all(|&times| times == 1));
        }
        let done = AtomicUsize::new(0);
        let work = |_| done.fetch_add(1, Ordering::Relaxed);
        let stopped = for_each(100_000, 2, "test", work, |_, _| Err(Error::Interrupted));
        assert!(matches!(stopped, Err(Error::Interrupted)));
        assert!(done.load(Ordering::Relaxed) < 1000);
        for_each(0, 2, "test", |_| (), |_, ()| Err(Error::Interrupted)).unwrap();
    }
}
