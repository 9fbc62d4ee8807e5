//! Sessions: that cuts, bursts and batches change nothing, and what happens when audio is missing, late, too much or
//! interrupted.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panicking")]

mod common;
mod session_common;

use std::ops::ControlFlow;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use common::{fixture, largest_difference};
use session_common::{TINY_WINDOW, drain, model, partner_of, session, voice, window_samples};
use unils::animate::{AnimateOptions, animate};
use unils::audio::{Conversation, MODEL_RATE, resample};
use unils::device::DeviceKind;
use unils::generator::Sampling;
use unils::model::{Model, ModelFiles};
use unils::motion::{FPS, Motion, MotionMeta, Space};
use unils::session::{Chunk, Controls, Session, SessionLimits, SessionOptions, Timing, Voice, step_all};

/// Everything that a session makes of two whole voices, (participants, frames, channels).
fn run(options: SessionOptions, own: &[f32], partner: &[f32]) -> Vec<f32> {
    let mut session = session(options);
    session.push(Voice::Own, MODEL_RATE, None, own).unwrap();
    session.push(Voice::Partner, MODEL_RATE, None, partner).unwrap();
    session.finish();
    let motion = joined(&drain(&mut session));
    assert!(session.is_done());
    motion
}

/// Chunks one after the other, (participants, frames, channels).
fn joined(chunks: &[Chunk]) -> Vec<f32> {
    let participants = chunks.first().map_or(1, |chunk| chunk.participants);
    let rows = (0..participants).flat_map(|p| chunks.iter().map(move |chunk| chunk.participant(p).unwrap()));
    rows.flatten().copied().collect()
}

fn talk() -> [Vec<f32>; 2] {
    [voice(2.5, 180.0, MODEL_RATE), voice(2.2, 120.0, MODEL_RATE)]
}

#[test]
fn a_session_makes_what_animate_makes() {
    let [own, partner] = talk();
    for (participants, smooth) in [(1, false), (2, false), (2, true)] {
        let options =
            AnimateOptions { seed: 3, smooth, participants: Some(participants), ..AnimateOptions::default() };
        let mut whole = Conversation::from_samples(own.clone(), Some(partner.clone()), MODEL_RATE).unwrap();
        let expected = animate(&model(), &mut whole, &options, &mut |_| ControlFlow::Continue(())).unwrap();
        let options = SessionOptions { participants, seed: 3, smooth, ..SessionOptions::default() };
        assert_eq!(run(options, &own, &partner), expected.values(), "{participants} {smooth}");
    }
}

#[test]
fn cuts_and_bursts_change_nothing() {
    let [own, partner] = talk();
    let options = SessionOptions { participants: 2, smooth: true, ..SessionOptions::default() };
    let expected = run(options.clone(), &own, &partner);
    for (own_cut, partner_cut) in [(1, 640), (7, 7), (160, 1001), (own.len(), 320), (12_800, 100_000)] {
        let mut session = session(options.clone());
        let (mut own_cuts, mut partner_cuts) = (own.chunks(own_cut), partner.chunks(partner_cut));
        let mut chunks = Vec::new();
        loop {
            let cuts = [(Voice::Own, own_cuts.next()), (Voice::Partner, partner_cuts.next())];
            if cuts.iter().all(|(_, samples)| samples.is_none()) {
                break;
            }
            for (voice, samples) in cuts {
                session.push(voice, MODEL_RATE, None, samples.unwrap_or_default()).unwrap();
            }
            chunks.extend(session.step().unwrap());
        }
        session.finish();
        chunks.extend(drain(&mut session));
        let ordered = chunks
            .windows(2)
            .all(|pair| pair[0].start_frame + pair[0].frames() as u64 == pair[1].start_frame);
        assert!(ordered);
        assert_eq!(joined(&chunks), expected, "{own_cut} {partner_cut}");
    }
}

#[test]
fn rates_are_converted_as_for_files_however_they_are_cut() {
    let options = SessionOptions::default();
    for rate in [8000, 22_050, 44_100, 48_000] {
        let [own, partner] = [voice(2.0, 180.0, rate), voice(2.0, 120.0, 16_000)];
        let expected = run(options.clone(), &resample(&own, rate, MODEL_RATE).unwrap(), &partner);
        let mut session = session(options.clone());
        let mut first = 0;
        for samples in own.chunks(rate as usize / 50) {
            let pushed = session.push(Voice::Own, rate, Some(first), samples).unwrap();
            assert_eq!((pushed.late, pushed.filled, pushed.taken), (0, 0, samples.len() as u64));
            assert_eq!(pushed.start_sample, (first * 16_000).div_ceil(u64::from(rate)));
            first += samples.len() as u64;
        }
        session.push(Voice::Partner, 16_000, None, &partner).unwrap();
        session.finish();
        assert_eq!(joined(&drain(&mut session)), expected, "{rate} Hz");
    }
    let mut session = session(options);
    for rate in [7999, 48_001, 0] {
        assert!(session.push(Voice::Own, rate, None, &[0.0]).is_err());
    }
}

#[test]
fn a_batch_makes_what_each_session_makes_alone() {
    let options = |index: u64| {
        let cfg = if index == 2 { 1.0 } else { 1.5 };
        let controls = Controls { sampling: Sampling { cfg, ..Sampling::default() }, ..Controls::default() };
        SessionOptions {
            seed: index,
            participants: 1 + index as usize % 2,
            controls,
            ..SessionOptions::default()
        }
    };
    let voices = |index: u64| [voice(1.7, 150.0 + 20.0 * index as f64, MODEL_RATE), partner_of(index)];
    let shared = Arc::new(model());
    let mut sessions: Vec<Session> =
        (0..4).map(|index| Session::new(Arc::clone(&shared), options(index)).unwrap()).collect();
    for (index, session) in (0..).zip(&mut sessions) {
        let [own, partner] = voices(index);
        session.push(Voice::Own, MODEL_RATE, None, &own).unwrap();
        session.push(Voice::Partner, MODEL_RATE, None, &partner).unwrap();
        session.finish();
    }
    let mut chunks = vec![Vec::new(); sessions.len()];
    loop {
        let mut all: Vec<&mut Session> = sessions.iter_mut().collect();
        let made = step_all(&mut all).unwrap();
        if made.iter().all(Option::is_none) {
            break;
        }
        chunks.iter_mut().zip(made).for_each(|(chunks, made)| chunks.extend(made));
    }
    for (index, chunks) in (0..).zip(&chunks) {
        let [own, partner] = voices(index);
        let alone = run(options(index), &own, &partner);
        let together = joined(chunks);
        assert_eq!(alone.len(), together.len());
        // A matrix product's rounding may depend on its number of rows.
        assert!(largest_difference(&alone, &together) < 1e-4, "{index}");
    }
    let mut other = session(SessionOptions::default());
    assert!(step_all(&mut [&mut sessions[0], &mut other]).is_err());
    assert!(step_all(&mut []).unwrap().is_empty());
}

#[test]
fn a_missing_voice_is_waited_for_as_stated_and_then_silent() {
    let mut session = session(SessionOptions { wait_ms: 100, ..SessionOptions::default() });
    let partner = partner_of(1);
    session.push(Voice::Partner, MODEL_RATE, None, &partner).unwrap();
    assert!(!session.is_due(), "without a clock the own voice is waited for");
    let end = window_samples() as u64;
    session.elapse(end + 1599);
    assert!(!session.is_due());
    session.elapse(end + 1600);
    session.elapse(17);
    let chunk = session.step().unwrap().unwrap();
    assert_eq!((chunk.missing, chunk.frames()), ([end, 0], TINY_WINDOW));
    assert!(chunk.voices.iter().all(|voices| !voices.speaks[0]) && chunk.voices[3].speaks[1]);

    // What comes too late is dropped up to where the window ended, and the rest is taken.
    let pushed = session.push(Voice::Own, 48_000, Some(3 * (end - 160)), &[0.1; 960]).unwrap();
    assert_eq!((pushed.late, pushed.taken, pushed.start_sample), (480, 480, end));
    // A voice without numbers goes on right behind.
    let pushed = session.push(Voice::Own, 48_000, None, &[0.1; 480]).unwrap();
    assert_eq!(pushed.start_sample, end + 160);
}

#[test]
fn nobody_waits_for_a_voice_that_was_flushed_until_it_speaks() {
    let mut session = session(SessionOptions::default());
    session.flush(Voice::Own);
    let partner = voice(4.0, 130.0, MODEL_RATE);
    let window = window_samples();
    session.push(Voice::Partner, MODEL_RATE, None, &partner[..window]).unwrap();
    let chunk = session.step().unwrap().unwrap();
    assert_eq!(chunk.missing, [0, 0], "a pause is not missing");
    // Speech begins where the next window does.
    let pushed = session.push(Voice::Own, MODEL_RATE, None, &[0.2; 640]).unwrap();
    assert_eq!(pushed.start_sample, window as u64);
    session.push(Voice::Partner, MODEL_RATE, None, &partner[window..2 * window]).unwrap();
    assert!(session.step().unwrap().is_none(), "it speaks: the rest of its window is waited for");
    session.flush(Voice::Own);
    let chunk = session.step().unwrap().unwrap();
    assert!(chunk.voices[0].speaks[0] && !chunk.voices[TINY_WINDOW - 1].speaks[0]);
    // Both at rest: time alone drives the face.
    session.flush(Voice::Partner);
    assert!(session.step().unwrap().is_none());
    session.elapse(3 * window as u64);
    assert_eq!(session.step().unwrap().unwrap().start_frame, 2 * TINY_WINDOW as u64);
}

#[test]
fn gaps_are_silence_and_jumps_are_refused() {
    let mut session = session(SessionOptions::default());
    session.push(Voice::Own, 16_000, Some(0), &[0.1; 100]).unwrap();
    let pushed = session.push(Voice::Own, 16_000, Some(250), &[0.1; 100]).unwrap();
    assert_eq!((pushed.filled, pushed.start_sample), (150, 250));
    let pushed = session.push(Voice::Own, 16_000, Some(0), &[0.1; 300]).unwrap();
    assert_eq!((pushed.late, pushed.taken), (300, 0), "what is there already is not taken twice");
    let before = session.end_sample(Voice::Own);
    let error = session.push(Voice::Own, 16_000, Some(u64::MAX), &[0.1; 10]).unwrap_err();
    assert!(error.hint().unwrap().contains("10 s"), "{error}");
    assert!(session.push(Voice::Own, 16_000, None, &[0.1, f32::NAN]).is_err());
    let error = session.push(Voice::Own, 8000, None, &vec![0.0; 8000 * 60]).unwrap_err();
    assert!(error.to_string().contains("at most 60 s"), "{error}");
    assert_eq!(session.end_sample(Voice::Own), before, "nothing is taken of what is refused");
    session.finish();
    assert!(session.push(Voice::Own, 16_000, None, &[0.1]).is_err());
}

/// The largest change of any speaking channel from frame to frame, and how open the mouth is at a frame.
fn mouth(values: &[f32], channels: &[usize], frame: usize) -> f32 {
    channels.iter().map(|&channel| values[frame * Space::Flame108.width() + channel].abs()).sum()
}

#[test]
fn an_interrupted_mouth_closes_within_200_ms_without_a_jump_and_listening_goes_on() {
    let options = SessionOptions { participants: 2, ..SessionOptions::default() };
    let speech = Space::Flame108.speech_indices();
    let window = window_samples();
    let partner = voice(6.0, 130.0, MODEL_RATE);
    let speaking = |interrupt: Option<u64>| {
        let mut session = session(options.clone());
        session.push(Voice::Own, MODEL_RATE, None, &voice(6.0, 190.0, MODEL_RATE)).unwrap();
        let mut frames = vec![Vec::new(); 2];
        let mut result = None;
        for (index, samples) in partner.chunks_exact(window).enumerate() {
            session.push(Voice::Partner, MODEL_RATE, None, samples).unwrap();
            session.elapse(((index + 1) * window) as u64);
            let chunk = session.step().unwrap().unwrap();
            assert_eq!(chunk.start_frame as usize, index * TINY_WINDOW);
            (0..2).for_each(|p| frames[p].extend_from_slice(chunk.participant(p).unwrap()));
            if let (2, Some(at)) = (index, interrupt) {
                let done = session.interrupt(Some(at));
                if let Some(revision) = &done.revision {
                    assert!(revision.is_revision);
                    let first = revision.start_frame as usize * 108;
                    for (p, frames) in frames.iter_mut().enumerate() {
                        frames[first..].copy_from_slice(revision.participant(p).unwrap());
                    }
                }
                result = Some(done);
            }
        }
        (frames, result)
    };
    let (plain, _) = speaking(None);
    // In the middle of a window that is out already, and in one that is still to come.
    for at in [2 * window as u64 + 5000, 3 * window as u64 + 5000] {
        let (cut, done) = speaking(Some(at));
        let done = done.unwrap();
        let from = at.div_ceil(640) as usize;
        let heard = 3 * window as u64;
        assert_eq!(done.end_sample, at.max(heard));
        assert_eq!(done.dropped, 96_000 - at.max(heard));
        assert_eq!(done.revision.is_some(), at < heard);
        // A window that is still to come hears the silence from `at` on, and may differ before it as well.
        let before = from.min(heard as usize / 640) * 108;
        assert!(cut[0][..before] == plain[0][..before], "what was before stays");
        assert!(mouth(&cut[0], &speech, from - 1) > 0.1);
        assert_eq!(mouth(&cut[0], &speech, from + 3), 0.0, "closed after 160 ms");
        let step = |values: &[f32], frame: usize| {
            (mouth(values, &speech, frame) - mouth(values, &speech, frame - 1)).abs()
        };
        let usual = (1..from).map(|frame| step(&plain[0], frame)).fold(0.0, f32::max);
        let open = (1..from).map(|frame| mouth(&plain[0], &speech, frame)).fold(0.0, f32::max);
        for frame in from..from + 24 {
            assert!(step(&cut[0], frame) < usual + 0.36 * open, "frame {frame}");
        }
        let until = heard as usize / 640 * 108;
        assert!(cut[1][..until] == plain[1][..until], "the partner's face is its own");
        if done.revision.is_some() {
            let head = (from + 3) * 108 + Space::Flame108.index("head_x").unwrap();
            assert_eq!(cut[0][head], plain[0][head], "only the mouth is closed");
        }
        assert_eq!(cut[0].len(), plain[0].len(), "frames go on");
    }
}

#[test]
fn controls_act_from_the_next_frame_and_bad_ones_not_at_all() {
    let [own, partner] = talk();
    let whole = |change: Option<Controls>| {
        let mut session = session(SessionOptions::default());
        session.push(Voice::Own, MODEL_RATE, None, &own).unwrap();
        session.push(Voice::Partner, MODEL_RATE, None, &partner).unwrap();
        session.finish();
        let mut values = session.step().unwrap().unwrap().values;
        if let Some(controls) = change {
            session.set_controls(controls).unwrap();
        }
        values.extend(joined(&drain(&mut session)));
        values
    };
    let plain = whole(None);
    let still = whole(Some(Controls { liveliness: 0.0, ..Controls::default() }));
    let window = TINY_WINDOW * 108;
    assert_eq!(plain[..window], still[..window]);
    let [head, jaw] = ["head_x", "jaw"].map(|name| Space::Flame108.index(name).unwrap());
    let at = |values: &[f32], frame: usize, channel: usize| values[frame * 108 + channel];
    assert!(at(&still, 2 * TINY_WINDOW, head).abs() < 1e-2 * at(&plain, 2 * TINY_WINDOW, head).abs());
    assert_eq!(at(&still, 25, jaw), at(&plain, 25, jaw), "the mouth is not touched while it speaks");
    let cooler = Sampling { temperature: 0.3, cfg: 1.0, ..Sampling::default() };
    let cooler = whole(Some(Controls { sampling: cooler, ..Controls::default() }));
    assert_eq!(plain[..window], cooler[..window]);
    assert_ne!(plain[window..], cooler[window..]);

    let mut session = session(SessionOptions::default());
    for bad in [
        Controls { liveliness: f32::NAN, ..Controls::default() },
        Controls { expression: 2.5, ..Controls::default() },
        Controls { mouth_gate: -0.1, ..Controls::default() },
        Controls { sampling: Sampling { temperature: 0.0, ..Sampling::default() }, ..Controls::default() },
    ] {
        assert!(session.set_controls(bad).is_err(), "{bad:?}");
        assert!(
            Session::new(Arc::new(model()), SessionOptions { controls: bad, ..SessionOptions::default() })
                .is_err()
        );
    }
    assert_eq!(*session.controls(), Controls::default());
}

#[test]
fn a_style_may_change_while_the_session_runs() {
    let clip = |value: f32, frames: usize, space: Space| {
        Motion::new(space, FPS, 1, vec![value; frames * space.width()], MotionMeta::new()).unwrap()
    };
    let [own, partner] = talk();
    let mut first =
        session(SessionOptions { style: Some(clip(0.7, 20, Space::Flame108)), ..SessionOptions::default() });
    let mut second = session(SessionOptions::default());
    second.set_style(Some(&clip(0.7, 20, Space::Flame108))).unwrap();
    for session in [&mut first, &mut second] {
        session.push(Voice::Own, MODEL_RATE, None, &own).unwrap();
        session.push(Voice::Partner, MODEL_RATE, None, &partner).unwrap();
    }
    let styled = first.step().unwrap().unwrap();
    assert_eq!(styled, second.step().unwrap().unwrap());
    second.set_style(None).unwrap();
    assert_ne!(first.step().unwrap(), second.step().unwrap());
    assert!(second.set_style(Some(&clip(0.7, 19, Space::Flame108))).is_err());
    assert!(second.set_style(Some(&clip(0.7, 20, Space::Arkit55))).is_err());
}

#[test]
fn a_reset_session_is_a_fresh_one() {
    let [own, partner] = talk();
    let options = SessionOptions { smooth: true, participants: 2, ..SessionOptions::default() };
    let expected = run(options.clone(), &own, &partner);
    let mut session = session(options);
    session.elapse(100_000);
    session.push(Voice::Own, 44_100, None, &partner).unwrap();
    session.set_controls(Controls { liveliness: 0.2, ..Controls::default() }).unwrap();
    drain(&mut session);
    session.interrupt(None);
    session.reset().unwrap();
    session.push(Voice::Own, MODEL_RATE, None, &own).unwrap();
    session.push(Voice::Partner, MODEL_RATE, None, &partner).unwrap();
    session.finish();
    assert_eq!(joined(&drain(&mut session)), expected);
}

#[test]
fn ends_are_exact_and_options_are_checked() {
    for (samples, frames) in [(0, 0), (1, 1), (640, 1), (641, 2), (window_samples(), TINY_WINDOW)] {
        let mut session = session(SessionOptions::default());
        session.push(Voice::Own, MODEL_RATE, None, &vec![0.1; samples]).unwrap();
        session.finish();
        assert_eq!(drain(&mut session).iter().map(Chunk::frames).sum::<usize>(), frames);
        assert!(session.is_done() && session.step().unwrap().is_none());
        session.finish();
    }
    let timing = Timing::of(&model());
    assert_eq!((timing.window_frames, timing.heard_samples()), (TINY_WINDOW, window_samples()));
    assert_eq!(
        session(SessionOptions { smooth: true, ..SessionOptions::default() }).latency_frames(),
        TINY_WINDOW + 4
    );
    let limits = SessionLimits { queue_s: 0, gap_s: 1 };
    assert!(Session::new(Arc::new(model()), SessionOptions { limits, ..SessionOptions::default() }).is_err());
    assert!(
        Session::new(Arc::new(model()), SessionOptions { participants: 3, ..SessionOptions::default() })
            .is_err()
    );
}

#[test]
fn an_audio_free_model_needs_the_clock_of_the_audio_only() {
    let checkpoint = fixture("checkpoints/freegen_tiny.pt");
    let model = Model::open(&ModelFiles { checkpoint, ..ModelFiles::default() }, DeviceKind::Cpu).unwrap();
    let mut session = Session::new(Arc::new(model), SessionOptions::default()).unwrap();
    Voice::ALL.into_iter().for_each(|voice| session.flush(voice));
    session.elapse(2 * window_samples() as u64);
    assert_eq!(drain(&mut session).len(), 2);
}

/// What a model computes when it is first used is computed on the compute threads, and one that waits there may take up
/// another session's window.
#[test]
fn sessions_that_begin_at_once_do_not_wait_for_each_other() {
    let [own, partner] = talk();
    for round in 0..30 {
        let model = Arc::new(model());
        let ready = (0..6).map(|_| {
            let mut session = Session::new(Arc::clone(&model), SessionOptions::default()).unwrap();
            session.push(Voice::Own, MODEL_RATE, None, &own).unwrap();
            session.push(Voice::Partner, MODEL_RATE, None, &partner).unwrap();
            session
        });
        let ready: Vec<Session> = ready.collect();
        let (done, finished) = mpsc::channel();
        for mut session in ready {
            let done = done.clone();
            std::thread::spawn(move || done.send(session.step().unwrap().map(|chunk| chunk.values)));
        }
        let mut made = (0..6).map(|_| {
            finished
                .recv_timeout(Duration::from_secs(60))
                .unwrap_or_else(|error| panic!("round {round}: {error}"))
        });
        let first = made.next().flatten().unwrap();
        assert!(made.all(|motion| motion.as_ref() == Some(&first)));
    }
}

#[test]
fn sessions_may_be_sent_to_a_thread() {
    fn is_send<T: Send>() {}
    is_send::<Session>();
}
