//! Detectors on signals with known answers: cues, nods, rises, blinks, jitter, frozen stretches, seams, curves.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod metrics_common;

use std::f64::consts::TAU;

use metrics_common::{Noise, Speech, add_bump, drift};
use unils::face::{BlendshapeRig, Face, Mesh, Part, Region, Shape};
use unils::metrics::cues::{Contour, CueKind, find_cues};
use unils::metrics::curves::Curves;
use unils::metrics::gestures::{NodOptions, RiseOptions, find_nods, find_rises};
use unils::metrics::liveliness::{
    BlinkOptions, SeamMeasure, StillnessOptions, fast_power_share, find_blinks, liveliness, seam, spread,
    stillness, summarise_blinks,
};
use unils::metrics::voice::Voice;
use unils::motion::{FPS, Motion, MotionMeta, Space};

fn cues_of(speech: &Speech) -> Vec<(f64, CueKind)> {
    let cues = find_cues(&Voice::analyse(&speech.audio).unwrap());
    assert!(cues.iter().all(|cue| cue.known_s >= cue.time_s && cue.known_s <= cue.time_s + 0.201));
    cues.iter().map(|cue| (cue.time_s, cue.kind)).collect()
}

#[test]
fn pauses_are_cues_with_their_final_contour() {
    let mut speech = Speech::new(0.001);
    let mut ends = Vec::new();
    speech.silence(1.2);
    for (from, to) in [(150.0, 150.0), (150.0, 105.0), (120.0, 180.0), (160.0, 110.0), (130.0, 190.0)] {
        speech.voice(1.0, 150.0, from).voice(0.3, from, to);
        ends.push(speech.seconds());
        speech.silence(1.5);
    }
    let cues = cues_of(&speech);
    let pauses: Vec<_> = cues.iter().filter(|(_, kind)| *kind != CueKind::LowPitch).collect();
    assert_eq!(pauses.len(), ends.len(), "{cues:?}");
    let contours = [Contour::Level, Contour::Fall, Contour::Rise, Contour::Fall, Contour::Rise];
    for ((&&(time, kind), end), contour) in pauses.iter().zip(ends).zip(contours) {
        assert!((time - end).abs() < 0.06, "{time}, speech ended at {end}");
        assert_eq!(kind, CueKind::Pause(contour), "at {end}: {cues:?}");
    }
}

#[test]
fn short_speech_and_short_gaps_are_no_cues() {
    let mut speech = Speech::new(0.001);
    speech.silence(1.5);
    for _ in 0..6 {
        speech.voice(0.5, 150.0, 150.0).silence(1.0); // "mm-hm": less than 700 ms
    }
    assert_eq!(cues_of(&speech), []);
    speech.voice(0.5, 150.0, 150.0).silence(0.12).voice(0.5, 150.0, 150.0).silence(1.0);
    let cues = cues_of(&speech);
    assert_eq!(
        cues.len(),
        1,
        "a gap of 120 ms is no pause, and both halves together are long enough: {cues:?}"
    );
    assert!(cues_of(Speech::new(0.01).silence(5.0)).is_empty());
}

#[test]
fn a_low_pitch_region_within_speech_is_a_cue() {
    let mut speech = Speech::new(0.001);
    speech
        .silence(1.2)
        .voice(3.0, 150.0, 170.0)
        .voice(0.25, 110.0, 110.0)
        .voice(2.0, 160.0, 160.0)
        .silence(1.0);
    let cues = cues_of(&speech);
    let low = cues.iter().find(|(time, _)| (4.2..4.6).contains(time));
    assert_eq!(low.map(|cue| cue.1), Some(CueKind::LowPitch), "{cues:?}");
    // Amplification does not change what is heard.
    let quiet: Vec<f32> = speech.audio.iter().map(|x| 0.3 * x).collect();
    let again = find_cues(&Voice::analyse(&quiet).unwrap());
    assert_eq!(
        again.iter().map(|cue| cue.kind).collect::<Vec<_>>(),
        cues.iter().map(|cue| cue.1).collect::<Vec<_>>()
    );
}

#[test]
fn cues_do_not_know_the_future() {
    let mut speech = Speech::new(0.001);
    speech.silence(1.0);
    for i in 0..6 {
        speech.voice(1.3, 150.0, 110.0 + 20.0 * f64::from(i)).silence(0.7);
    }
    let whole = find_cues(&Voice::analyse(&speech.audio).unwrap());
    assert!(whole.len() >= 6);
    for cue in &whole {
        // 100 ms more than what must be known: the filter of the pitch's sample rate looks some samples ahead.
        let heard = ((cue.known_s + 0.1) * 16_000.0) as usize;
        let so_far = find_cues(&Voice::analyse(&speech.audio[..heard.min(speech.audio.len())]).unwrap());
        assert!(so_far.contains(cue), "{cue:?} is not in {so_far:?}");
    }
}

#[test]
fn planted_nods_are_found_at_their_time() {
    let mut noise = Noise(3);
    let mut pitch = drift(3000, 0.02, 1);
    let starts: Vec<f64> = (0..28).map(|i| 40.0 + 105.0 * f64::from(i)).collect();
    for (index, &start) in starts.iter().enumerate() {
        let length = 8.0 + (index % 5) as f64 * 3.0; // 0.3 to 0.8 s
        add_bump(&mut pitch, start, length, 0.05 + 0.02 * (index % 3) as f64);
        if index % 4 == 0 {
            add_bump(&mut pitch, start + length, length, 0.06);
        }
    }
    pitch.iter_mut().for_each(|value| *value += (0.001 * noise.normal()) as f32);
    let nods = find_nods(&pitch, FPS, &NodOptions::default()).unwrap();
    assert_eq!(nods.len(), starts.len(), "{nods:?}");
    for (index, (nod, start)) in nods.iter().zip(&starts).enumerate() {
        assert!((nod.start_s * FPS - start).abs() <= 5.0, "{nod:?}, planted at frame {start}");
        assert_eq!(nod.cycles, if index % 4 == 0 { 2 } else { 1 }, "{nod:?}");
    }
}

#[test]
fn looking_down_drifting_and_jitter_are_no_nods() {
    let options = NodOptions::default();
    let step: Vec<f32> = (0..200).map(|t| 0.15 / (1.0 + (-(t as f32 - 100.0) / 3.0).exp())).collect();
    assert!(find_nods(&step, FPS, &options).unwrap().is_empty());
    assert!(find_nods(&drift(3000, 0.08, 2), FPS, &options).unwrap().is_empty());
    let mut noise = Noise(5);
    let jitter: Vec<f32> = (0..3000).map(|_| (0.004 * noise.normal()) as f32).collect();
    assert!(find_nods(&jitter, FPS, &options).unwrap().is_empty());
    // Down in a quarter of a second, up again in six.
    let slow = |t: f32| 0.1 * (t / 6.0).clamp(0.0, 1.0) * (1.0 - (t - 6.0) / 150.0).clamp(0.0, 1.0);
    let sinking: Vec<f32> = (0..300).map(|t| slow(t as f32 - 50.0)).collect();
    assert!(find_nods(&sinking, FPS, &options).unwrap().is_empty());
    // Up and down again is none either: a nod goes down first.
    let mut up = vec![0.0; 200];
    add_bump(&mut up, 100.0, 12.0, -0.1);
    assert!(find_nods(&up, FPS, &options).unwrap().is_empty());
}

#[test]
fn nods_do_not_depend_on_the_frame_rate_or_the_rest_pose() {
    let at = |fps: f64, rest: f32| {
        let mut pitch = vec![rest; (20.0 * fps) as usize];
        for second in [3.0, 9.0, 15.0] {
            add_bump(&mut pitch, second * fps, 0.5 * fps, 0.08);
        }
        find_nods(&pitch, fps, &NodOptions::default()).unwrap()
    };
    for (fps, rest) in [(25.0, 0.0), (25.0, 0.4), (30.0, -0.2), (60.0, 0.0)] {
        let nods = at(fps, rest);
        assert_eq!(nods.len(), 3, "{fps}");
        for (nod, second) in nods.iter().zip([3.0, 9.0, 15.0]) {
            assert!(
                (nod.start_s - second).abs() < 0.09 && (nod.end_s - nod.start_s - 0.5).abs() < 0.17,
                "{nod:?}"
            );
        }
    }
}

#[test]
fn rises_are_counted_once() {
    let mut brow = vec![0.05; 500];
    for start in [100, 250, 400] {
        for (t, value) in brow[start..start + 60].iter_mut().enumerate() {
            *value += 0.4 * (t as f32 / 5.0).min(1.0).min((60 - t) as f32 / 20.0);
        }
    }
    let rises = find_rises(&brow, FPS, &RiseOptions::default()).unwrap();
    let starts: Vec<f64> = rises.iter().map(|rise| rise.start_s * FPS).collect();
    assert_eq!(starts.len(), 3, "{rises:?}");
    assert!(starts.iter().zip([100.0, 250.0, 400.0]).all(|(found, planted)| (found - planted).abs() <= 2.0));
    let slow: Vec<f32> = (0..500).map(|t| t as f32 / 500.0).collect();
    assert!(find_rises(&slow, FPS, &RiseOptions::default()).unwrap().is_empty());
}

#[test]
fn planted_blinks_are_found_with_their_shape() {
    // 18 a minute for five minutes; a raised cosine of 8 frames is half as high for 4 frames: 160 ms.
    let mut lids: Vec<f32> = drift(7500, 0.04, 4).iter().map(|x| 0.12 + x).collect();
    let mut noise = Noise(11);
    for blink in 0..90 {
        let (middle, height) = (60.3 + 83.0 * f64::from(blink), if blink % 3 == 0 { 0.6 } else { 0.85 });
        for (t, value) in lids.iter_mut().enumerate() {
            let at = (t as f64 - middle) / 8.0;
            if at.abs() < 0.5 {
                *value += (height * 0.5 * (1.0 + (TAU * at).cos())) as f32;
            }
        }
    }
    lids.iter_mut().for_each(|value| *value += (0.01 * noise.normal()) as f32);
    // Two seconds of closed eyes are no blink.
    lids[7440..7490].fill(0.95);
    let options = BlinkOptions::default();
    let blinks = find_blinks(&lids, FPS, &options).unwrap();
    let summary = summarise_blinks(&blinks, lids.len(), FPS, &options).unwrap();
    assert_eq!(summary.count, 89, "the last one is among the closed eyes");
    assert!((summary.per_minute - 17.8).abs() < 1e-9);
    assert!((summary.duration_s.unwrap() - 0.16).abs() < 0.012, "{summary:?}");
    assert!((summary.full_share.unwrap() - 2.0 / 3.0).abs() < 0.02, "{summary:?}");
    assert!((summary.peak.unwrap() - 0.87).abs() < 0.05, "{summary:?}");
    for (index, blink) in blinks.iter().enumerate() {
        assert!((blink.time_s * FPS - 60.3 - 83.0 * index as f64).abs() < 1.0, "{blink:?}");
    }
    assert!(find_blinks(&vec![0.9; 500], FPS, &options).unwrap().is_empty());
    // Lids that sink and rise over more than a second, 0.6 s at half height.
    let mut tired = vec![0.1; 200];
    add_bump(&mut tired, 100.0, 22.0, 0.85);
    assert!(find_blinks(&tired, FPS, &options).unwrap().is_empty());
    assert_eq!(summarise_blinks(&[], 100, FPS, &options).unwrap().peak, None);
}

#[test]
fn fast_power_is_the_share_of_the_planted_jitter() {
    let wave = |hz: f64, size: f64| -> Vec<f32> {
        (0..1500).map(|t| (size * (TAU * hz * t as f64 / FPS).sin()) as f32).collect()
    };
    let sum = |a: &[f32], b: &[f32]| -> Vec<f32> { a.iter().zip(b).map(|(a, b)| a + b).collect() };
    let share = |curve: &[f32]| fast_power_share(&[curve], FPS, 3.5).unwrap().unwrap();
    assert!(share(&wave(1.0, 0.1)) < 1e-3 && share(&wave(6.0, 0.1)) > 0.999);
    // Velocity power goes with the square of what a first difference makes of a wave: 2 sin(pi f / fps).
    let gain = |hz: f64| (std::f64::consts::PI * hz / FPS).sin().powi(2);
    let expected = 0.01 * gain(6.0) / (0.01 * gain(6.0) + gain(1.0));
    let found = share(&sum(&wave(1.0, 0.1), &wave(6.0, 0.01)));
    assert!((found / expected - 1.0).abs() < 0.02, "{found}, expected {expected}");
    assert_eq!(fast_power_share(&[&[0.5; 300]], FPS, 3.5).unwrap(), None);
    assert_eq!(fast_power_share(&[&wave(1.0, 0.1)[..90]], FPS, 3.5).unwrap(), None);
    assert!(fast_power_share(&[&[0.0; 300]], FPS, 12.6).is_err());
    let tilted = spread(&[&wave(1.0, 0.1), &[0.0; 1500]]).unwrap().unwrap();
    assert!((tilted - 0.05).abs() < 1e-4, "{tilted}");
}

#[test]
fn frozen_stretches_are_found_although_the_face_blinks() {
    let (jaw, blink) =
        (Space::Arkit55.index("jawOpen").unwrap(), Space::Arkit55.index("eyeBlinkLeft").unwrap());
    let mut motion = vec![0.0; 1500 * 55];
    let head = drift(1500, 0.05, 6);
    for (t, row) in motion.chunks_exact_mut(55).enumerate() {
        row[blink] = if t % 80 < 4 { 1.0 } else { 0.0 };
        // Frozen from 20 s to 40 s.
        if !(500..1000).contains(&t) {
            row[53] = head[t];
            row[jaw] = 0.2 + 0.2 * (t as f32 * 0.9).sin();
        } else {
            row[53] = head[500];
            row[jaw] = 0.2;
        }
    }
    let found = stillness(&motion, Space::Arkit55, FPS, &StillnessOptions::default()).unwrap();
    // 56 stretches start at 0 .. 55 s; those of 20 to 35 s lie inside.
    assert!((found.frozen_share.unwrap() - 16.0 / 56.0).abs() < 1e-9, "{found:?}");
    assert!((found.still_share.unwrap() - 499.0 / 1499.0).abs() < 0.03, "{found:?}");
    let short = stillness(&motion[..100 * 55], Space::Arkit55, FPS, &StillnessOptions::default()).unwrap();
    assert_eq!(short.frozen_share, None);
}

#[test]
fn planted_seams_show_at_their_window_and_nowhere_else() {
    let mut noise = Noise(17);
    let width = 3;
    let smooth: Vec<f32> = (0..4000 * width)
        .map(|i| {
            let (t, c) = ((i / width) as f64, (i % width) as f64);
            let scale = 10.0_f64.powf(c - 1.0); // channels of very different size
            (scale * ((0.2 * t + c).sin() + 0.05 * noise.normal())) as f32
        })
        .collect();
    let acceleration = |motion: &[f32], window, first| {
        seam(motion, width, window, first, SeamMeasure::Acceleration).unwrap().unwrap()
    };
    for window in [4, 8, 100] {
        let score = acceleration(&smooth, window, 0);
        assert!((0.9..1.1).contains(&score), "no seam at {window}: {score}");
    }
    let mut broken = smooth.clone();
    for (i, value) in broken.iter_mut().enumerate() {
        let scale = 10.0_f32.powi((i % width) as i32 - 1);
        *value += scale * 0.3 * ((i / width / 8) % 2) as f32; // every 8 frames up or down
    }
    let score = acceleration(&broken, 8, 0);
    assert!(score > 2.0, "{score}");
    assert!(acceleration(&broken, 8, 4) < 0.6, "borders looked for in the middle of windows");
    // The recording starts two frames before a window.
    assert!((acceleration(&broken[6 * width..], 8, 2) / score - 1.0).abs() < 0.01);
    // A size per channel does not matter.
    let scaled: Vec<f32> = broken.iter().enumerate().map(|(i, x)| x * [1.0, 8.0, 0.5][i % 3]).collect();
    assert!((acceleration(&scaled, 8, 0) / score - 1.0).abs() < 1e-5);
    let velocity = seam(&broken, width, 2, 0, SeamMeasure::Velocity).unwrap().unwrap();
    assert!(velocity > 1.05, "{velocity}");
    assert!(seam(&broken, width, 2, 0, SeamMeasure::Acceleration).is_err());
    assert_eq!(seam(&[1.0; 300], 3, 4, 0, SeamMeasure::Acceleration).unwrap(), None);
}

/// A face of ten vertices whose lips, lids, brows and mouth corners move with ARKit's shapes.
fn face() -> BlendshapeRig {
    let positions = vec![
        [0.0, -0.030, 0.1],  // 0 upper inner lip
        [0.0, -0.031, 0.1],  // 1 lower inner lip
        [0.025, -0.03, 0.1], // 2, 3 corners
        [-0.025, -0.03, 0.1],
        [0.03, 0.045, 0.1], // 4, 5 left lids
        [0.03, 0.035, 0.1],
        [-0.03, 0.045, 0.1], // 6, 7 right lids
        [-0.03, 0.035, 0.1],
        [0.03, 0.06, 0.1], // 8, 9 brows
        [-0.03, 0.06, 0.1],
    ];
    let regions: [(Region, Vec<u32>); 5] = [
        (Region::UpperInnerLip, vec![0]),
        (Region::LowerInnerLip, vec![1]),
        (Region::Lips, vec![0, 1, 2, 3]),
        (Region::Lids, vec![4, 5, 6, 7]),
        (Region::UpperFace, vec![4, 5, 6, 7, 8, 9]),
    ];
    let mesh = Mesh {
        positions,
        triangles: vec![[0, 1, 2]],
        parts: vec![Part { name: "face".into(), triangles: 0..1, material: Default::default() }],
        regions: regions.into_iter().map(|(region, list)| (region.name().to_owned(), list)).collect(),
        ..Mesh::default()
    };
    let shape = |name: &str, moved: &[(u32, [f32; 3])]| Shape {
        name: name.into(),
        vertices: moved.iter().map(|(vertex, _)| *vertex).collect(),
        deltas: moved.iter().map(|(_, delta)| *delta).collect(),
    };
    let shapes = vec![
        shape("jawOpen", &[(1, [0.0, -0.022, 0.0])]),
        shape("mouthClose", &[(1, [0.0, 0.022, 0.0])]),
        shape("eyeBlinkLeft", &[(4, [0.0, -0.01, 0.0])]),
        shape("eyeBlinkRight", &[(6, [0.0, -0.01, 0.0])]),
        shape("browInnerUp", &[(8, [0.0, 0.006, 0.0]), (9, [0.0, 0.006, 0.0])]),
        shape("mouthSmileLeft", &[(2, [0.0085, 0.0085, 0.0])]),
        shape("mouthSmileRight", &[(3, [-0.0085, 0.0085, 0.0])]),
    ];
    BlendshapeRig::new(mesh, shapes, [0.0; 3], vec![], vec![], "face").unwrap()
}

#[test]
fn vertices_and_channels_give_the_same_curves() {
    let names =
        ["jawOpen", "mouthClose", "eyeBlinkLeft", "eyeBlinkRight", "mouthSmileLeft", "mouthSmileRight"];
    let mut values = vec![0.0; 40 * 55];
    for (t, row) in values.chunks_exact_mut(55).enumerate() {
        for (index, name) in names.into_iter().enumerate() {
            row[Space::Arkit55.index(name).unwrap()] = 0.5 + 0.5 * ((t * (index + 2)) as f32 * 0.3).sin();
        }
        row[Space::Arkit55.index("jawOpen").unwrap()] += 1.0; // never closed, so that nothing is cut off
        for (axis, value) in row[52..].iter_mut().enumerate() {
            *value = 0.4 * ((t + 7 * axis) as f32 * 0.2).sin();
        }
    }
    let motion = Motion::new(Space::Arkit55, FPS, 1, values.clone(), MotionMeta::new()).unwrap();
    let asked = Curves::of_channels(&motion, 0).unwrap();
    let seen = Curves::of_face(&motion, 0, &face()).unwrap();
    for (a, b, tolerance) in [
        (&asked.mouth_opening, &seen.mouth_opening, 1e-4),
        (&asked.blink, &seen.blink, 1e-4),
        (&asked.smile, &seen.smile, 3e-3),
        (&asked.head_pitch, &seen.head_pitch, 0.0),
    ] {
        assert_eq!(a.len(), 40);
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() <= tolerance), "{a:?}\n{b:?}");
    }
    // Without labels of the inner lips their middle is measured; without any label there is no curve.
    let mut mesh = Face::mesh(&face()).clone();
    mesh.regions.retain(|name, _| !name.contains("inner"));
    let unlabelled = face().with_mesh(mesh.clone(), "face").unwrap();
    let lips = Curves::of_face(&motion, 0, &unlabelled).unwrap();
    assert!(lips.mouth_opening.iter().zip(&asked.mouth_opening).all(|(a, b)| (a - b).abs() < 1e-4));
    mesh.regions.clear();
    let bare = Curves::of_face(&motion, 0, &face().with_mesh(mesh, "face").unwrap()).unwrap();
    assert!(bare.mouth_opening.is_empty() && bare.brow_raise.is_empty() && bare.blink.is_empty());
    assert_eq!(bare.head_yaw, seen.head_yaw);
    // Angles come back as they went in.
    for (t, row) in values.chunks_exact(55).enumerate() {
        let found = [seen.head_yaw[t], seen.head_pitch[t], seen.head_roll[t]];
        assert!(
            found.iter().zip(&row[52..]).all(|(a, b)| (a - b).abs() < 1e-5),
            "{found:?} {:?}",
            &row[52..]
        );
    }
    let mut raised = vec![0.0; 2 * 55];
    raised[55 + Space::Arkit55.index("browInnerUp").unwrap()] = 0.8;
    raised[55 + Space::Arkit55.index("eyeBlinkLeft").unwrap()] = 1.0;
    let motion = Motion::new(Space::Arkit55, FPS, 1, raised, MotionMeta::new()).unwrap();
    let seen = Curves::of_face(&motion, 0, &face()).unwrap();
    assert!(
        seen.brow_raise[0].abs() < 1e-6 && (seen.brow_raise[1] - 0.8).abs() < 1e-4,
        "{:?}",
        seen.brow_raise
    );
}

#[test]
fn flame_motion_nods_about_its_x_axis() {
    let mut values = vec![0.0; 100 * 108];
    let mut pitch = vec![0.0; 100];
    add_bump(&mut pitch, 50.0, 12.0, 0.1);
    values.iter_mut().skip(100).step_by(108).zip(&pitch).for_each(|(value, pitch)| *value = *pitch);
    let motion = Motion::new(Space::Flame108, FPS, 1, values, MotionMeta::new()).unwrap();
    let curves = Curves::of_channels(&motion, 0).unwrap();
    assert_eq!(find_nods(&curves.head_pitch, FPS, &NodOptions::default()).unwrap().len(), 1);
    assert!(curves.blink.is_empty());
    let live = liveliness(&motion, 0, &curves, Some(4)).unwrap();
    assert!(live.blinks.is_none() && live.seam.is_some());
    assert!(Curves::of_face(&motion, 0, &face()).is_err(), "a face of another space");
    assert!(Curves::of_channels(&motion, 1).is_err());
}

#[test]
fn bad_input_is_refused() {
    let bad = [0.0, f32::NAN, 0.0];
    assert!(find_nods(&bad, FPS, &NodOptions::default()).is_err());
    assert!(find_rises(&bad, FPS, &RiseOptions::default()).is_err());
    assert!(find_blinks(&bad, FPS, &BlinkOptions::default()).is_err());
    assert!(spread(&[&bad]).is_err() && spread(&[&[0.0], &[0.0; 2]]).is_err());
    assert!(seam(&bad, 1, 4, 0, SeamMeasure::Velocity).is_err());
    assert!(seam(&[0.0; 5], 2, 4, 0, SeamMeasure::Velocity).is_err());
    assert!(stillness(&[0.0; 54], Space::Arkit55, FPS, &StillnessOptions::default()).is_err());
    for fps in [0.0, -1.0, f64::NAN] {
        assert!(find_nods(&[0.0; 9], fps, &NodOptions::default()).is_err());
        assert!(find_blinks(&[0.0; 9], fps, &BlinkOptions::default()).is_err());
    }
    assert!(find_nods(&[0.0; 9], FPS, &NodOptions { cycle_s: (1.0, 0.5), ..NodOptions::default() }).is_err());
    assert!(find_nods(&[], FPS, &NodOptions::default()).unwrap().is_empty());
    assert!(find_blinks(&[], FPS, &BlinkOptions::default()).unwrap().is_empty());
}
