//! What waits to be sent to one client. Bounded: of motion the oldest goes first when a client does not keep up, since
//! what is late is of no use; messages are never dropped, but a client that lets them pile up is given up.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use unils::session::Chunk;

use crate::protocol::ServerMessage;

/// Frames of motion that wait at most: 10 s.
const MOST_FRAMES: usize = 250;
/// Messages that wait at most.
const MOST_MESSAGES: usize = 256;

/// One thing to send.
#[derive(Debug)]
pub(crate) enum Out {
    Motion(Chunk),
    Message(ServerMessage),
}

#[derive(Debug, Default)]
struct Waiting {
    queue: VecDeque<Out>,
    frames: usize,
    messages: usize,
    dropped_frames: u64,
    /// The engine has nothing more for this client.
    is_closed: bool,
}

/// The queue between the engine and one connection.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: Mutex<Waiting>,
    changed: Notify,
}

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing in here can be left half done by a panic.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts frames in; drops the oldest that wait if there are too many.
    pub(crate) fn motion(&self, chunk: Chunk) -> u64 {
        let mut waiting = self.lock();
        let mut dropped = 0;
        waiting.frames += chunk.frames();
        waiting.queue.push_back(Out::Motion(chunk));
        while waiting.frames > MOST_FRAMES {
            let oldest = waiting.queue.iter().position(|out| matches!(out, Out::Motion(_)));
            let Some(Out::Motion(chunk)) = oldest.and_then(|index| waiting.queue.remove(index)) else {
                break;
            };
            waiting.frames -= chunk.frames();
            dropped += chunk.frames() as u64;
        }
        waiting.dropped_frames += dropped;
        drop(waiting);
        self.changed.notify_one();
        dropped
    }

    /// Puts a message in; false if too many wait.
    pub(crate) fn message(&self, message: ServerMessage) -> bool {
        let mut waiting = self.lock();
        let has_room = waiting.messages < MOST_MESSAGES;
        if has_room {
            waiting.messages += 1;
            waiting.queue.push_back(Out::Message(message));
        }
        drop(waiting);
        self.changed.notify_one();
        has_room
    }

    /// Says that nothing more comes.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_one();
    }

    /// Frames dropped since the start.
    pub(crate) fn dropped_frames(&self) -> u64 {
        self.lock().dropped_frames
    }

    /// The next thing to send, waiting for it; `None` after the last.
    pub(crate) async fn next(&self) -> Option<Out> {
        loop {
            {
                let mut waiting = self.lock();
                match waiting.queue.pop_front() {
                    Some(out) => {
                        match &out {
                            Out::Motion(chunk) => waiting.frames -= chunk.frames(),
                            Out::Message(_) => waiting.messages -= 1,
                        }
                        return Some(out);
                    }
                    None if waiting.is_closed => return None,
                    None => {}
                }
            }
            self.changed.notified().await;
        }
    }

    /// Moves the motion that was not sent into the box of a new connection. Messages answered the old one and stay, so
    /// that it is still told why it ends.
    pub(crate) fn hand_over(&self, to: &Self) {
        let mut left = self.lock();
        let queue = std::mem::take(&mut left.queue);
        left.frames = 0;
        to.lock().dropped_frames += left.dropped_frames;
        for out in queue {
            match out {
                Out::Motion(chunk) => {
                    to.motion(chunk);
                }
                Out::Message(_) => left.queue.push_back(out),
            }
        }
        drop(left);
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use unils::session::Voices;

    use super::*;

    fn chunk(start_frame: u64, frames: usize) -> Chunk {
        Chunk { start_frame, participants: 1, voices: vec![Voices::default(); frames], ..Chunk::default() }
    }

    #[test]
    fn the_oldest_motion_goes_first_and_messages_stay() {
        let outbox = Outbox::default();
        assert!(outbox.message(ServerMessage::Reset {}));
        let dropped: u64 = (0..20).map(|index| outbox.motion(chunk(index * 20, 20))).sum();
        assert_eq!((dropped, outbox.dropped_frames()), (160, 160));
        let queue = &outbox.lock().queue;
        assert!(matches!(&queue[0], Out::Message(_)));
        assert!(matches!(&queue[1], Out::Motion(chunk) if chunk.start_frame == 160));
    }

    #[test]
    fn motion_is_handed_over_and_messages_are_not() {
        let (old, new) = (Outbox::default(), Outbox::default());
        old.motion(chunk(0, 250));
        old.motion(chunk(250, 20));
        assert!(old.message(ServerMessage::Reset {}));
        old.hand_over(&new);
        assert_eq!(new.dropped_frames(), 250, "what was dropped counts on");
        let waiting = |outbox: &Outbox| {
            let waiting = outbox.lock();
            (waiting.queue.len(), waiting.frames, waiting.messages, waiting.is_closed)
        };
        assert_eq!(waiting(&new), (1, 20, 0, false));
        assert_eq!(waiting(&old), (1, 0, 1, true));
    }

    #[test]
    fn messages_that_pile_up_are_told() {
        let outbox = Outbox::default();
        let taken = (0..300).filter(|_| outbox.message(ServerMessage::Reset {})).count();
        assert_eq!(taken, MOST_MESSAGES);
    }
}
