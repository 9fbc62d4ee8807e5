//! What goes wrong outside stays there: stalled clients, cut connections, garbage, clocks that jump, thousands that come
//! and go. Others notice nothing, and nothing is left behind.
//!
//! `UNILS_SOAK_S=3600 cargo test --release --workspace --test robust` runs the soak for an hour instead of seconds,
//! `UNILS_CONNECTS=100000` lets that many come and go. With `-- --nocapture` both say what they saw.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panicking")]

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{
    WINDOW_SAMPLES, connect, message, motion, options, server, timeless, try_connect, until, voice,
};
use unils::session::Voice;
use unils_server::client::{Client, ClientError, Received};
use unils_server::protocol::{AudioFrame, ClientMessage, FaultCode, ServerMessage, Start, Wire};
use unils_server::{Server, ServerOptions};

/// Sends one window of both voices and waits for its motion: how long that took.
fn round(client: &mut Client, samples: &[f32]) -> Duration {
    let began = Instant::now();
    for side in Voice::ALL {
        client.send_audio(side, 16_000, None, samples).unwrap();
    }
    motion(client);
    began.elapsed()
}

/// Runs a client in a steady beat while `trouble` goes on, and sees that it hardly waits longer than alone.
fn unhurt_by(server: &Server, trouble: impl FnOnce()) {
    let samples = voice(0.8, 150.0, 16_000);
    let (mut client, _) = connect(server, timeless());
    let alone = (0..20).map(|_| round(&mut client, &samples)).max().unwrap_or_default();
    let is_over = AtomicBool::new(false);
    let longest = std::thread::scope(|scope| {
        let beat = scope.spawn(|| {
            let mut longest = Duration::ZERO;
            while !is_over.load(Ordering::Acquire) {
                longest = longest.max(round(&mut client, &samples));
                std::thread::sleep(Duration::from_millis(10));
            }
            longest
        });
        // However the trouble ends, the beat ends with it.
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(trouble));
        is_over.store(true, Ordering::Release);
        let longest = beat.join().unwrap();
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        longest
    });
    // Room for a machine that is busy with other work as well: what is held up by a client takes many seconds.
    assert!(
        longest < Duration::from_secs(4).max(10 * alone),
        "alone {alone:?}, beside the trouble {longest:?}"
    );
}

/// Windows by which the sockets of a client that does not read must be full, some 25 MB, and its motion dropped.
const WINDOWS: u64 = 500;
/// Windows that are made after that. Not many: a client that takes nothing for 15 s is let go, also on a busy machine.
const MORE_WINDOWS: u64 = 20;

#[test]
fn a_client_that_does_not_read_hurts_nobody() {
    let server = server(options());
    let samples = voice(0.8, 150.0, 16_000);
    unhurt_by(&server, || {
        let start = Start { participants: Some(2), wire: Wire::Json, ..timeless() };
        let (mut stalled, _) = connect(&server, start);
        // More motion than sockets and boxes hold. As fast as it is made, or the audio would pile up.
        let made = || server.metrics().frames_total.load(Ordering::Relaxed);
        let dropped = || server.metrics().frames_dropped_total.load(Ordering::Relaxed);
        let begun = made();
        let (mut windows, mut end) = (0, WINDOWS);
        while windows < end {
            until("it is made", || made() + 40 * 30 >= begun + 40 * windows);
            // Numbered: there is nothing to answer, and so no answer that piles up.
            let first = Some(windows * WINDOW_SAMPLES as u64);
            for side in Voice::ALL {
                stalled.send_audio(side, 16_000, first, &samples).unwrap();
            }
            windows += 1;
            if end == WINDOWS && dropped() > 0 {
                end = windows + MORE_WINDOWS;
            }
        }
        until("its motion is dropped", || dropped() > 0);
        // When it reads again it gets the newest that was kept, in order.
        let mut last = 0;
        while last != (windows - 1) * 20 {
            if let Received::Message(ServerMessage::Motion(motion)) = stalled.receive().unwrap() {
                assert!(motion.start_frame >= last);
                last = motion.start_frame;
            }
        }
    });
}

#[test]
fn garbage_ends_its_own_connection_only() {
    let server = server(options());
    unhurt_by(&server, || {
        for _ in 0..20 {
            let (mut wild, _) = connect(&server, timeless());
            let ended = (0..100_u32).any(|index| {
                let bytes: Vec<u8> = (0..index % 60).map(|byte| (index * 31 + byte * 7) as u8).collect();
                wild.send_bytes(bytes).is_err()
            });
            let fault = loop {
                match wild.receive() {
                    Ok(Received::Message(ServerMessage::Error(fault))) if fault.fatal => {
                        break Some(fault.code);
                    }
                    Ok(_) => {}
                    Err(_) => break None,
                }
            };
            // A reset of the connection may come before the reason is read.
            assert!(ended || fault.is_none_or(|code| code == FaultCode::BadFrame), "{fault:?}");
        }
    });
    assert!(server.metrics().bad_messages_total.load(Ordering::Relaxed) >= 20 * 16);
    until("the connections are gone", || server.metrics().connections.load(Ordering::Relaxed) == 0);
}

#[test]
fn floods_are_stopped() {
    let server = server(ServerOptions { max_rate: 50, ..options() });
    unhurt_by(&server, || {
        let (mut flood, _) = connect(&server, timeless());
        for id in 0..2000 {
            if flood.send(&ClientMessage::Ping { id }).is_err() {
                break;
            }
        }
        let fault = loop {
            match flood.receive() {
                Ok(Received::Message(ServerMessage::Error(fault))) => break Some(fault.code),
                Ok(_) => {}
                Err(_) => break None,
            }
        };
        assert!(fault.is_none_or(|code| code == FaultCode::Rate), "{fault:?}");
        until("it is gone", || server.metrics().connections.load(Ordering::Relaxed) == 1);
    });
}

#[test]
fn clocks_that_jump_are_told_and_the_session_goes_on() {
    let server = server(options());
    let (mut client, _) = connect(&server, timeless());
    let samples = voice(0.8, 150.0, 16_000);
    client.send_audio(Voice::Own, 16_000, Some(0), &samples).unwrap();
    for first in [1 << 40, u64::MAX - 5] {
        client.send_audio(Voice::Own, 16_000, Some(first), &samples).unwrap();
        let fault = message(&mut client, |message| match message {
            ServerMessage::Error(fault) => Some(fault),
            _ => None,
        });
        assert_eq!((fault.code, fault.fatal), (FaultCode::Audio, false));
    }
    // Back in time: there already.
    client.send_audio(Voice::Own, 16_000, Some(0), &samples).unwrap();
    let placed = message(&mut client, |message| match message {
        ServerMessage::Placed(placed) => Some(placed),
        _ => None,
    });
    assert_eq!((placed.late, placed.taken), (samples.len() as u64, 0));
    client.send_audio(Voice::Partner, 16_000, Some(0), &samples).unwrap();
    assert_eq!(motion(&mut client).start_frame, 0);
    // More than may wait is refused, and what was there stays.
    let much = AudioFrame { voice: Voice::Own, rate: 8000, first: None, samples: vec![0.1; 8000 * 14] };
    let refused = (0..6).any(|_| {
        client.send_bytes(much.to_pcm16_bytes()).unwrap();
        message(&mut client, |message| match message {
            ServerMessage::Error(fault) => Some(fault.code == FaultCode::Audio),
            ServerMessage::Placed(_) => Some(false),
            _ => None,
        })
    });
    assert!(refused);
}

#[test]
fn thousands_come_and_go_and_nothing_is_left() {
    let server = server(ServerOptions { grace: Duration::from_millis(50), max_sessions: 64, ..options() });
    let wanted = std::env::var("UNILS_CONNECTS").ok().and_then(|text| text.parse().ok());
    let rounds = wanted.unwrap_or(if cfg!(debug_assertions) { 200 } else { 10_000 });
    let memory = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
        line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap_or(0)
    };
    let come_and_go = |count: usize| {
        for index in 0..count {
            match try_connect(&server, timeless()) {
                Ok((mut client, _)) => {
                    client.send_audio(Voice::Own, 16_000, None, &[0.1; 640]).unwrap();
                    if index % 2 == 0 {
                        client.close();
                    }
                }
                Err(ClientError::Server(fault)) => assert_eq!(fault.code, FaultCode::Overloaded),
                Err(other) => panic!("{other}"),
            }
        }
    };
    unhurt_by(&server, || {
        let began = Instant::now();
        come_and_go(rounds / 4);
        let early = memory();
        come_and_go(rounds - rounds / 4);
        let late = memory();
        println!(
            "{rounds} connections in {:?}; {early} kB after a quarter, {late} kB after all",
            began.elapsed()
        );
        assert!(late < early + 40_000, "{early} kB, then {late} kB");
    });
    until("all sessions end", || server.metrics().sessions.load(Ordering::Relaxed) == 0);
    until("all connections end", || server.metrics().connections.load(Ordering::Relaxed) == 0);
}

#[test]
fn many_live_sessions_hold_for_a_while() {
    let seconds = std::env::var("UNILS_SOAK_S").ok().and_then(|text| text.parse().ok()).unwrap_or(6_u64);
    let server = server(options());
    let partner = voice(1.0, 120.0, 16_000);
    let until_when = Instant::now() + Duration::from_secs(seconds);
    std::thread::scope(|scope| {
        for index in 0..6_u64 {
            let (server, partner) = (&server, &partner);
            scope.spawn(move || {
                let (mut client, _) = connect(server, Start { seed: Some(index), ..Start::default() });
                client.send(&ClientMessage::Flush { voice: unils_server::protocol::VoiceName::Own }).unwrap();
                client.wait_at_most(Some(Duration::from_millis(1))).unwrap();
                let began = Instant::now();
                let (mut packets, mut next) = (0_u64, 0);
                while Instant::now() < until_when {
                    let due = began.elapsed().as_millis() as u64 / 20;
                    while packets < due {
                        let at = (packets % 50) as usize * 320;
                        client.send_audio(Voice::Partner, 16_000, None, &partner[at..at + 320]).unwrap();
                        if packets % 170 == 50 {
                            client.send_audio(Voice::Own, 16_000, None, partner).unwrap();
                        }
                        if packets % 170 == 80 {
                            client.send(&ClientMessage::Interrupt { sample: None }).unwrap();
                        }
                        packets += 1;
                    }
                    match client.receive() {
                        Ok(Received::Motion(chunk)) if !chunk.is_revision => {
                            assert_eq!(chunk.start_frame, next, "no frame is lost or doubled");
                            next += chunk.frames() as u64;
                        }
                        Ok(Received::Message(ServerMessage::Error(fault))) => panic!("{fault:?}"),
                        Ok(_) | Err(ClientError::Timeout) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
                // Motion keeps up with the sound: at most two windows and the wait behind.
                let spoken = packets * 320;
                assert!(
                    next * 640 + 3 * WINDOW_SAMPLES as u64 >= spoken,
                    "{next} frames of {spoken} samples"
                );
                client.close();
            });
        }
    });
    assert_eq!(server.metrics().frames_dropped_total.load(Ordering::Relaxed), 0);
    until("all sessions end", || server.metrics().sessions.load(Ordering::Relaxed) == 0);
}
