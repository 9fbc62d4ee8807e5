//! Sessions of a block-causal model, with random weights of the sizes that ship: windows of 80 ms that hear 80 ms ahead.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod common;
mod session_common;

use std::sync::{Arc, OnceLock};

use common::largest_difference;
use session_common::{drain, voice};
use unils::device::DeviceKind;
use unils::model::{Model, ModelConfig};
use unils::motion::{Group, Space};
use unils::session::{Controls, Session, SessionOptions, Timing, Voice, step_all};

const RATE: u32 = 16_000;
const WIDTH: usize = 55;

fn model() -> Arc<Model> {
    static MODEL: OnceLock<Arc<Model>> = OnceLock::new();
    let make = || {
        let config = ModelConfig::preset("live").unwrap();
        Arc::new(Model::random(&config, 1, DeviceKind::Cpu).unwrap())
    };
    Arc::clone(MODEL.get_or_init(make))
}

fn options(seed: u64) -> SessionOptions {
    let controls = Controls { sampling: model().config().sampling, ..Controls::default() };
    SessionOptions { seed, controls, ..SessionOptions::default() }
}

fn session(options: SessionOptions) -> Session {
    Session::new(model(), options).unwrap()
}

fn values(session: &mut Session) -> Vec<f32> {
    drain(session).into_iter().flat_map(|chunk| chunk.values).collect()
}

/// What a session makes of two whole voices.
fn whole(options: SessionOptions, own: &[f32], partner: &[f32]) -> Vec<f32> {
    let mut session = session(options);
    session.push(Voice::Own, RATE, None, own).unwrap();
    session.push(Voice::Partner, RATE, None, partner).unwrap();
    session.finish();
    values(&mut session)
}

#[test]
fn cuts_change_nothing_and_motion_comes_as_soon_as_stated() {
    let timing = Timing::of(&model());
    assert_eq!((timing.window_frames, timing.look_ahead_frames), (2, 2));
    let (own, partner) = (voice(1.3, 190.0, RATE), voice(1.1, 120.0, RATE));
    let expected = whole(options(5), &own, &partner);
    assert_eq!(expected.len(), 33 * WIDTH);
    for (own_cut, partner_cut) in [(320, 320), (7, 1001), (own.len(), 160)] {
        let mut session = session(options(5));
        let (mut own_cuts, mut partner_cuts) = (own.chunks(own_cut), partner.chunks(partner_cut));
        let mut made = Vec::new();
        loop {
            let cuts = [(Voice::Own, own_cuts.next()), (Voice::Partner, partner_cuts.next())];
            if cuts.iter().all(|(_, samples)| samples.is_none()) {
                break;
            }
            for (voice, samples) in cuts {
                session.push(voice, RATE, None, samples.unwrap_or_default()).unwrap();
            }
            made.extend(values(&mut session));
            // Every window whose sound and look-ahead are there is out.
            let there = Voice::ALL.map(|voice| session.end_sample(voice)).into_iter().min().unwrap();
            let due = (there / 640).saturating_sub(2) / 2 * 2;
            assert_eq!(session.next_frame(), due);
        }
        session.finish();
        made.extend(values(&mut session));
        assert!(made == expected, "{own_cut} {partner_cut}");
    }
}

#[test]
fn many_sessions_are_one_batch_wherever_they_stand() {
    let voices = |index: usize| {
        let seconds = 0.6 + 0.17 * index as f64;
        [voice(seconds, 150.0 + 20.0 * index as f64, RATE), voice(seconds, 110.0, RATE)]
    };
    let begin = |index: usize| SessionOptions { participants: 1 + index % 2, ..options(index as u64) };
    let mut sessions: Vec<Session> = (0..5).map(|index| session(begin(index))).collect();
    let mut made = vec![Vec::new(); sessions.len()];
    for (index, session) in sessions.iter_mut().enumerate() {
        let [own, partner] = voices(index);
        session.push(Voice::Own, RATE, None, &own).unwrap();
        session.push(Voice::Partner, RATE, None, &partner).unwrap();
        session.finish();
        // They do not begin together.
        (0..index).for_each(|_| made[index].extend(session.step().unwrap()));
    }
    loop {
        let mut all: Vec<&mut Session> = sessions.iter_mut().collect();
        let chunks = step_all(&mut all).unwrap();
        if chunks.iter().all(Option::is_none) {
            break;
        }
        made.iter_mut().zip(chunks).for_each(|(made, chunk)| made.extend(chunk));
    }
    for (index, made) in made.iter().enumerate() {
        let mut alone = session(begin(index));
        let [own, partner] = voices(index);
        alone.push(Voice::Own, RATE, None, &own).unwrap();
        alone.push(Voice::Partner, RATE, None, &partner).unwrap();
        alone.finish();
        for (expected, chunk) in drain(&mut alone).iter().zip(made) {
            assert_eq!((expected.start_frame, &expected.voices), (chunk.start_frame, &chunk.voices));
            // A matrix product's rounding may depend on its number of rows.
            assert!(largest_difference(&expected.values, &chunk.values) < 1e-3, "{index}");
        }
    }
}

#[test]
fn the_mouth_has_its_temperature_while_it_speaks() {
    let partner = voice(3.0, 120.0, RATE);
    let silence = 16_000;
    let own = [vec![0.0; silence], voice(2.0, 190.0, RATE)].concat();
    let at = |mouth_temperature| {
        let mut options = options(4);
        options.controls.sampling.mouth_temperature = mouth_temperature;
        whole(options, &own, &partner)
    };
    let (cold, warm) = (at(0.2), at(1.0));
    // The first window that hears the voice 80 ms ahead begins 120 ms before it.
    let speaks = (silence / 640 - 3) * WIDTH;
    assert!(cold[..speaks] == warm[..speaks]);
    assert!(largest_difference(&cold[speaks..], &warm[speaks..]) > 1e-2);
}

#[test]
fn gains_scale_blinks_and_the_head_and_nothing_else() {
    let (own, partner) = (voice(2.0, 190.0, RATE), voice(2.0, 120.0, RATE));
    let with = |blink_gain: f32, head_gain: f32| {
        let mut config = ModelConfig::preset("live").unwrap();
        let causal = config.generator.as_mut().unwrap().causal.as_mut().unwrap();
        (causal.blink_gain, causal.head_gain) = (blink_gain, head_gain);
        let model = Arc::new(Model::random(&config, 1, DeviceKind::Cpu).unwrap());
        let mut session = Session::new(model, options(4)).unwrap();
        session.push(Voice::Own, RATE, None, &own).unwrap();
        session.push(Voice::Partner, RATE, None, &partner).unwrap();
        session.finish();
        values(&mut session)
    };
    let (plain, scaled) = (with(1.0, 1.0), with(0.5, 2.0));
    let lids = Space::Arkit55.blink_indices();
    let head = Space::Arkit55.group_indices(Group::Head);
    let mut moved = [false; 2];
    for (plain, scaled) in plain.chunks_exact(WIDTH).zip(scaled.chunks_exact(WIDTH)) {
        for (channel, (&plain, &scaled)) in plain.iter().zip(scaled).enumerate() {
            if lids.contains(&channel) {
                // What would be more than shut is shut.
                assert!((scaled - 0.5 * plain).abs() < 1e-5 || plain == 1.0, "{channel}: {plain} {scaled}");
                moved[0] |= scaled != plain;
            } else if head.contains(&channel) {
                assert!((scaled - 2.0 * plain).abs() < 1e-5, "{channel}: {plain} {scaled}");
                moved[1] |= scaled != plain;
            } else {
                assert_eq!(scaled, plain, "{channel}");
            }
        }
    }
    assert_eq!(moved, [true; 2]);
}

#[test]
fn a_partner_in_the_own_microphone_does_not_speak_for_oneself() {
    let partner = voice(4.0, 120.0, RATE);
    let leak = [vec![0.0; 480], partner.iter().map(|sample| 0.1 * sample).collect()].concat();
    let speaks = |partner: &[f32]| {
        let mut session = session(options(6));
        session.push(Voice::Own, RATE, None, &leak).unwrap();
        session.push(Voice::Partner, RATE, None, partner).unwrap();
        session.finish();
        drain(&mut session)
            .into_iter()
            .flat_map(|chunk| chunk.voices)
            .skip(50)
            .map(|voices| voices.speaks)
            .collect::<Vec<_>>()
    };
    // Without the partner's track nobody can tell.
    let alone = speaks(&[]);
    assert!(alone.iter().any(|[own, _]| *own));
    let both = speaks(&partner);
    assert!(both.iter().any(|[_, partner]| *partner) && both.iter().all(|[own, _]| !own), "{both:?}");
}

#[test]
fn listening_needs_no_own_voice_and_an_interruption_closes_the_mouth() {
    let mut session = session(options(2));
    session.flush(Voice::Own);
    let partner = voice(4.0, 120.0, RATE);
    let mut packets = partner.chunks(320);
    let mut listen = |session: &mut Session, count: usize| {
        let mut made = Vec::new();
        for samples in packets.by_ref().take(count) {
            session.push(Voice::Partner, RATE, None, samples).unwrap();
            made.extend(values(session));
        }
        made
    };
    assert_eq!(listen(&mut session, 50).len(), 22 * WIDTH, "a second of sound, 80 ms ahead, whole windows");
    let pushed = session.push(Voice::Own, RATE, None, &voice(10.0, 190.0, RATE)).unwrap();
    assert_eq!(pushed.start_sample, 24 * 640, "it begins behind what was listened to");
    let spoken = listen(&mut session, 40);
    assert!(session.next_frame() >= 40);
    let at = session.next_frame() * 640 - 1000;
    let done = session.interrupt(Some(at));
    assert!(done.dropped > 100_000 && session.waiting(Voice::Own) <= 2 * 640);
    let revision = done.revision.unwrap();
    assert_eq!(revision.start_frame, at.div_ceil(640));
    let after = listen(&mut session, 40);
    let speech = Space::Arkit55.speech_indices();
    let closed = at.div_ceil(640) + 3 - (session.next_frame() - (after.len() / WIDTH) as u64);
    let frame = &after[closed as usize * WIDTH..][..WIDTH];
    assert!(speech.iter().all(|&channel| frame[channel] == 0.0), "closed after 160 ms");
    assert!(!spoken.is_empty() && after.len() >= 18 * WIDTH, "listening goes on");
}

#[test]
fn a_reset_session_is_a_fresh_one() {
    let (own, partner) = (voice(0.7, 190.0, RATE), voice(0.7, 120.0, RATE));
    let expected = whole(options(9), &own, &partner);
    let mut session = session(options(9));
    session.push(Voice::Own, RATE, None, &partner).unwrap();
    session.push(Voice::Partner, RATE, None, &partner).unwrap();
    drain(&mut session);
    session.interrupt(None);
    session.reset().unwrap();
    session.push(Voice::Own, RATE, None, &own).unwrap();
    session.push(Voice::Partner, RATE, None, &partner).unwrap();
    session.finish();
    assert!(values(&mut session) == expected);
}
