//! What Ctrl-C leaves behind: a process of its own, for the registry of unfinished files belongs to the process.

mod scratch;

use std::io::Write;
use std::sync::mpsc;
use std::time::Duration;

use scratch::Scratch;
use unils::Error;
use unils::file::{AtomicFile, remove_unfinished};

#[test]
fn an_interrupted_program_leaves_no_half_written_file() {
    let folder = Scratch::new("unfinished_files");
    let entries = || std::fs::read_dir(folder.folder()).unwrap().count();
    std::fs::write(folder.path("old.npz"), "old").unwrap();
    let mut done = AtomicFile::create(folder.path("done.csv")).unwrap();
    done.write_all(b"done").unwrap();
    done.commit().unwrap();
    let mut first = AtomicFile::create(folder.path("old.npz")).unwrap();
    let second = AtomicFile::create(folder.path("new.npz")).unwrap();
    first.write_all(&vec![1; 1 << 20]).unwrap();
    assert_eq!(entries(), 4);

    let removed = remove_unfinished();
    assert_eq!(removed.count(), 2);
    assert_eq!(entries(), 2);

    // While the handler is on its way out, nothing new is begun.
    let (send, receive) = mpsc::channel();
    let path = folder.path("late.npz");
    let worker = std::thread::spawn(move || send.send(AtomicFile::create(path)).unwrap());
    assert!(receive.recv_timeout(Duration::from_millis(200)).is_err());
    assert_eq!(entries(), 2);
    drop(removed);
    drop(receive.recv().unwrap().unwrap());
    worker.join().unwrap();

    assert!(matches!(first.commit(), Err(Error::Interrupted)));
    drop(second);
    assert_eq!(entries(), 2);
    assert_eq!(std::fs::read(folder.path("old.npz")).unwrap(), b"old");
    assert_eq!(remove_unfinished().count(), 0);
}
