//! Evaluation: known answers on a small corpus, resuming, missing inputs, and systems of all kinds. One file, because
//! all of them score the same made corpus.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod data_support;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use burn::tensor::{Tensor, TensorData};
use data_support::{Folder, noise};
use unils::device::DeviceKind;
use unils::face::flame::{Flame, FlameFace};
use unils::metrics::bootstrap::BootstrapOptions;
use unils::metrics::paper;
use unils::metrics::release::{ReleaseScores, VertexLists, score_recording};
use unils::metrics::report::Report;
use unils::metrics::responsiveness::{Gesture, ResponseOptions};
use unils::model::{Model, ModelConfig, ModelFiles};
use unils::motion::{SAMPLES_PER_FRAME, Space};
use unils::{Error, Result};
use unils_train::data::{
    CorpusOptions, CorpusStore, CorpusWriter, Phoneme, Recording, Samples, Split, Store, Track, Want,
};
use unils_train::evaluate::{
    Baseline, CodecPredictor, Evaluated, FramesDone, MeasuredFace, ModelPredictor, Partner, People,
    Predictor, Previous, Protocol, Style, Take, evaluate,
};

const ARKIT: usize = 55;

/// A person whose channels swing in their own rhythms, who blinks, nods, and talks in turns of 3 s.
fn person(name: &str, space: Space, seed: usize, frames: usize) -> Track {
    let width = space.width();
    let mut motion = Vec::with_capacity(frames * width);
    let jitter = noise(seed as u64 + 1, frames * width);
    for frame in 0..frames {
        let t = frame as f32 / 25.0;
        motion.extend((0..width).map(|channel| {
            let rhythm = 0.3 + 0.13 * ((channel * 7 + seed * 3) % 11) as f32;
            let wave = (std::f32::consts::TAU * rhythm * t + (channel + seed) as f32).sin();
            0.2 + 0.12 * wave + 0.01 * jitter[frame * width + channel]
        }));
    }
    let talks = |frame: usize| (frame / 75 + seed).is_multiple_of(2);
    let audio = (0..frames * SAMPLES_PER_FRAME).map(|sample| {
        let t = sample as f64 / 16_000.0;
        let loud = if talks(sample / SAMPLES_PER_FRAME) { 0.2 + 0.1 * (15.0 * t).sin() } else { 0.001 };
        let pitch = 120.0 + 20.0 * seed as f64 - 25.0 * (t / 3.0).fract();
        let wave: f64 = (1..6).map(|k| (std::f64::consts::TAU * pitch * f64::from(k) * t).sin()).sum();
        (loud * wave * 6000.0) as i16
    });
    let mut track = Track::new(name, motion).with_audio(Samples::I16(audio.collect()));
    track.speech = Some((0..frames).map(talks).collect());
    track
}

fn recording(name: &str, space: Space, seed: usize, frames: usize) -> Recording {
    let track =
        |person_index: usize| person(["a", "b"][person_index], space, 2 * seed + person_index, frames);
    Recording::new(name, space, vec![track(0), track(1)])
}

fn corpus(folder: &Path, space: Space, recordings: &[(Split, Recording)]) -> CorpusStore {
    let writer = CorpusWriter::create(folder, space, CorpusOptions::default()).unwrap();
    for (split, recording) in recordings {
        writer.add(*split, recording).unwrap();
    }
    CorpusStore::open(folder).unwrap()
}

/// Three conversations to test on, one to train on, one too short to be used.
fn arkit(folder: &Folder) -> CorpusStore {
    let lengths =
        [(Split::Test, 200), (Split::Test, 260), (Split::Train, 180), (Split::Test, 150), (Split::Test, 101)];
    let recordings = lengths.iter().enumerate().map(|(seed, &(split, frames))| {
        (split, recording(&format!("r{seed}"), Space::Arkit55, seed, frames))
    });
    corpus(&folder.join("corpus"), Space::Arkit55, &recordings.collect::<Vec<_>>())
}

/// Fewer draws: intervals are tested elsewhere.
fn protocol() -> Protocol {
    let bootstrap = BootstrapOptions { resamples: 100, ..BootstrapOptions::default() };
    Protocol { bootstrap, ..Protocol::release() }
}

fn run(
    store: &dyn Store,
    predictor: &mut dyn Predictor,
    face: Option<&MeasuredFace>,
    protocol: &Protocol,
) -> Result<Evaluated> {
    evaluate(store, predictor, face, protocol, None, &mut |_| ControlFlow::Continue(()))
}

fn close(ours: Option<f64>, expected: f64, tolerance: f64) {
    let ours = ours.unwrap();
    assert!((ours - expected).abs() <= tolerance * expected.abs().max(1e-12), "{ours}, expected {expected}");
}

#[test]
fn the_truth_has_no_error() {
    let folder = Folder::new();
    let (store, face) = (arkit(&folder), MeasuredFace::default_head().unwrap());
    let done = run(&store, &mut Baseline::Truth, Some(&face), &protocol()).unwrap();
    let report = &done.report;
    let names: Vec<&str> = report.recordings.iter().map(|recording| recording.name.as_str()).collect();
    assert_eq!(names, ["r0", "r1", "r3"], "the short one is left out as in the release");
    for name in &paper::METRICS[..8] {
        assert_eq!(report.mean(name), Some(0.0), "{name}");
    }
    for name in ["F-FID", "P-FID", "F-FID pooled", "P-FID pooled"] {
        assert!(report.mean(name).unwrap() < 1e-6, "{name}: {:?}", report.mean(name));
    }
    for name in ["rPCC expression", "rPCC head, centred"] {
        assert_eq!(report.mean(name), Some(0.0), "{name}");
    }
    close(report.mean("lips r truth, speaking"), 1.0, 1e-12);
    for name in ["lips spread / true", "head spread / true", "head power > 3.5 Hz / true"] {
        close(report.mean(name), 1.0, 1e-12);
    }
    // What is not an error is measured on both and is the same.
    for name in ["lips r voice", "head spread, rad", "seam", "nods/min", "still frames", "nods after cues"] {
        let value = report.mean(name);
        assert!(value.is_some(), "{name}");
        assert_eq!(value, report.mean(&format!("true {name}")), "{name}");
    }
    assert_eq!(report.settings["speech mask"], "of the data");
    assert_eq!(done.notices, ["all recordings are without phonemes: closures at p, b and m are left out"]);
}

#[test]
fn one_pose_has_the_whole_spread_as_its_difference() {
    let folder = Folder::new();
    let (store, face) = (arkit(&folder), MeasuredFace::default_head().unwrap());
    let mut mean = Baseline::mean_of(&store, Split::Train, |_, _| true).unwrap();
    let report = run(&store, &mut mean, Some(&face), &protocol()).unwrap().report;
    // By hand: the unbiased deviation of jawOpen and of the three angles while the first participant speaks and not.
    let (jaw, head) = (Space::Arkit55.index("jawOpen").unwrap(), Space::Arkit55.index("headYaw").unwrap());
    let mut expected: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for entry in [0, 1, 3] {
        let recording = store.read(entry, Want { audio: false, centred: true }).unwrap();
        let track = &recording.tracks[0];
        for (speaks, jdd, pdd) in [(true, "S-JDD", "S-PDD"), (false, "L-JDD", "L-PDD")] {
            let deviation = |channel: usize| {
                let rows = track.motion.chunks(ARKIT).zip(track.speech.as_ref().unwrap());
                let values: Vec<f64> =
                    rows.filter(|(_, s)| **s == speaks).map(|(row, _)| f64::from(row[channel])).collect();
                let mean = values.iter().sum::<f64>() / values.len() as f64;
                let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
                (squares / (values.len() - 1) as f64).sqrt()
            };
            expected.entry(jdd).or_default().push(100.0 * deviation(jaw));
            expected
                .entry(pdd)
                .or_default()
                .push(100.0 * (0..3).map(|i| deviation(head + i)).sum::<f64>() / 3.0);
        }
    }
    for (name, values) in expected {
        close(report.mean(name), values.iter().sum::<f64>() / 3.0, 1e-6);
    }
    for name in ["S-LVE", "S-MHD", "S-FDD", "L-FDD", "F-FID", "P-FID", "F-FID pooled", "P-FID pooled"] {
        assert!(report.mean(name).unwrap() > 1e-4, "{name}: {:?}", report.mean(name));
    }
    assert_eq!(report.mean("head spread / true"), Some(0.0));
    // A pose does not vary: what needs variation is left out, not made up.
    for name in
        ["lips r voice", "lips r truth, speaking", "seam", "rPCC head, centred", "nods ratio, shifted"]
    {
        assert_eq!(report.mean(name), None, "{name}");
    }
    assert_eq!(report.mean("frozen 5 s stretches"), Some(1.0));

    // The mean of its own clip is nearer than that of others.
    let rest = run(&store, &mut Baseline::Rest, Some(&face), &protocol()).unwrap().report;
    assert!(rest.mean("S-MHD").unwrap() < report.mean("S-MHD").unwrap());
    assert_eq!(rest.mean("S-JDD"), report.mean("S-JDD"), "a pose is a pose");
    // Another recording moves as much, and at other times.
    let other = run(&store, &mut Baseline::AnotherRecording, Some(&face), &protocol()).unwrap().report;
    assert!(other.mean("head spread / true").unwrap() > 0.8 && other.mean("S-LVE").unwrap() > 0.1);
}

fn audio_free() -> Model {
    let sizes = r#"
        preset = "test"
        space = "arkit55"
        [codec]
        motion_dim = 55
        width = 16
        heads = 2
        depth = 1
        code_width = 8
        schedule = [1, 5, 20]
        [generator]
        width = 16
        heads = 2
        depth = 1
    "#;
    Model::random(&ModelConfig::from_toml(sizes, "test").unwrap(), 3, DeviceKind::Cpu).unwrap()
}

#[test]
fn a_system_that_hears_nothing_does_not_mind_who_is_there() {
    let folder = Folder::new();
    let store = arkit(&folder);
    let model = audio_free();
    let evaluated = |protocol: &Protocol| {
        run(&store, &mut ModelPredictor::new(&model, "model", "1"), None, protocol).unwrap()
    };
    let heard = evaluated(&protocol());
    for partner in [Partner::Shuffled, Partner::Absent] {
        let other = evaluated(&Protocol { partner, ..protocol() });
        assert_eq!(other.report.recordings, heard.report.recordings, "{partner:?}");
        assert_eq!(other.report.overall, heard.report.overall, "{partner:?}");
        let answers = heard.answers_against(&other, Gesture::Nod, &ResponseOptions::default()).unwrap();
        assert!(answers.rate.is_some() && answers.rate == answers.shuffled_rate, "{answers:?}");
    }
    // Everything else that shapes motion does so.
    let free = &heard.report.recordings;
    for other in [
        Protocol { seed: 43, ..protocol() },
        Protocol { smooth: true, ..protocol() },
        Protocol { style: Style::Zero, ..protocol() },
        Protocol { people: People::All, ..protocol() },
    ] {
        assert_ne!(&evaluated(&other).report.recordings, free, "{other:?}");
    }
    // The first recordings alone are the same as among all.
    let one = evaluated(&Protocol { limit: Some(1), ..protocol() });
    assert_eq!(one.report.recordings, free[..1]);
    assert_eq!(one.report.settings["recordings scored"], "1");
}

fn fixture(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures")).join(name)
}

/// The tiny dual-track model of the fixtures.
fn dual_track() -> Model {
    let files = ModelFiles {
        checkpoint: fixture("checkpoints/gen_tiny.pt"),
        encoder: Some(fixture("hf_wav2vec2_tiny")),
        ..ModelFiles::default()
    };
    Model::open(&files, DeviceKind::Cpu).unwrap()
}

fn flame(folder: &Folder) -> CorpusStore {
    let recordings = [(0, 130), (1, 110)]
        .map(|(seed, frames)| (Split::Test, recording(&format!("r{seed}"), Space::Flame108, seed, frames)));
    corpus(&folder.join("corpus"), Space::Flame108, &recordings)
}

#[test]
fn a_system_that_hears_does_mind() {
    let folder = Folder::new();
    let store = flame(&folder);
    let model = dual_track();
    let fails =
        |protocol: &Protocol| run(&store, &mut ModelPredictor::new(&model, "model", "1"), None, protocol);
    // One recording, so that there are no intervals to draw.
    let evaluated =
        |protocol: &Protocol| fails(&Protocol { limit: Some(1), ..protocol.clone() }).unwrap().report;
    let heard = evaluated(&protocol());
    let both = evaluated(&Protocol { people: People::All, ..protocol() });
    let shuffled = evaluated(&Protocol { partner: Partner::Shuffled, ..protocol() });
    let absent = evaluated(&Protocol { partner: Partner::Absent, ..protocol() });
    let led_in = evaluated(&Protocol { previous: Previous::Middle, ..protocol() });
    assert_ne!(heard.recordings, led_in.recordings);
    for (a, b) in [(&heard, &shuffled), (&heard, &absent), (&shuffled, &absent), (&heard, &both)] {
        assert_ne!(a.recordings, b.recordings);
    }
    assert_eq!(heard.settings["window"], "20");
    // FLAME without its model: what the channels alone give.
    assert!(heard.mean("S-PDD").is_some() && heard.mean("L-JDD").is_some() && heard.mean("F-FID").is_some());
    assert_eq!((heard.mean("S-LVE"), heard.mean("L-FDD"), heard.mean("lips r voice")), (None, None, None));

    let alone = Folder::new();
    let mut silent = recording("mute", Space::Flame108, 0, 130);
    silent.tracks.iter_mut().for_each(|track| track.audio = None);
    let store = corpus(&alone.join("corpus"), Space::Flame108, &[(Split::Test, silent)]);
    let error = run(&store, &mut ModelPredictor::new(&model, "model", "1"), None, &protocol()).unwrap_err();
    assert!(error.to_string().contains("\"mute\": has no audio") && error.hint().is_some(), "{error}");
    let only = Folder::new();
    let store = corpus(
        &only.join("corpus"),
        Space::Flame108,
        &[(Split::Test, recording("one", Space::Flame108, 0, 130))],
    );
    let shuffle = Protocol { partner: Partner::Shuffled, ..protocol() };
    let error = run(&store, &mut ModelPredictor::new(&model, "model", "1"), None, &shuffle).unwrap_err();
    assert!(error.to_string().contains("no other recording"), "{error}");
}

fn codec(checkpoint: &str) -> CodecPredictor {
    let files = ModelFiles { checkpoint: fixture(checkpoint), ..ModelFiles::default() };
    CodecPredictor::open(&files, DeviceKind::Cpu, "codec", "1").unwrap()
}

#[test]
fn the_codec_predicts_what_it_reconstructs() {
    let folder = Folder::new();
    let store = flame(&folder);
    for checkpoint in ["checkpoints/gen_tiny.pt", "checkpoints/codec_tiny.pt"] {
        let mut predictor = codec(checkpoint);
        let protocol = protocol();
        let recording = store.read(0, Want { audio: false, centred: true }).unwrap();
        let truth = &recording.tracks[0].motion;
        let take = Take {
            protocol: &protocol,
            space: Space::Flame108,
            people: 1,
            frames: 130,
            truth,
            style: &truth[..20 * 108],
            voices: None,
            another: None,
            seed: 1,
        };
        let ours = predictor.predict(&take, &mut |_| ControlFlow::Continue(())).unwrap();
        if checkpoint.contains("gen") {
            let model = dual_track();
            let motion = Tensor::from_data(TensorData::new(truth.clone(), [1, 130, 108]), model.device());
            let whole = model.codec().reconstruct(motion).0;
            let whole: Vec<f32> = whole.into_data().try_into_vec().unwrap();
            assert_eq!(ours, whole);
        }
        let one = Protocol { limit: Some(1), ..protocol };
        let report = run(&store, &mut predictor, None, &one).unwrap().report;
        assert!(report.mean("F-FID").unwrap() > 0.0);
    }
    let arkit_folder = Folder::new();
    let store = arkit(&arkit_folder);
    let mut predictor = codec("checkpoints/codec_tiny.pt");
    let error = run(&store, &mut predictor, None, &protocol()).unwrap_err();
    assert!(error.to_string().contains("arkit55 motion, the model makes flame108"), "{error}");
}

/// The truth, spoilt by noise that depends on the seed alone.
struct Spoilt {
    amount: f32,
}

impl Predictor for Spoilt {
    fn name(&self) -> String {
        "spoilt".to_owned()
    }

    fn settings(&self) -> BTreeMap<String, String> {
        BTreeMap::from([("amount".to_owned(), self.amount.to_string())])
    }

    fn space(&self) -> Option<Space> {
        None
    }

    fn window(&self) -> Option<usize> {
        None
    }

    fn predict(&mut self, take: &Take<'_>, done: &mut FramesDone<'_>) -> Result<Vec<f32>> {
        if done(take.frames).is_break() {
            return Err(Error::Interrupted);
        }
        let noise = noise(take.seed, take.truth.len());
        Ok(take.truth.iter().zip(noise).map(|(value, noise)| value + self.amount * noise).collect())
    }
}

fn scores(report: &Report, recording: usize) -> BTreeMap<String, Option<f64>> {
    let eight = &paper::METRICS[..8];
    let values = &report.recordings[recording].values;
    eight.iter().map(|name| ((*name).to_owned(), values[*name])).collect()
}

#[test]
fn flame_scores_are_those_of_the_metric_itself() {
    let folder = Folder::new();
    let store = flame(&folder);
    let model = Flame::open(fixture("flame/flame_2020_small.pt")).unwrap();
    let open = || Box::new(FlameFace::new(&model, &[]).unwrap());
    let vertices = model.vertices() as u32;
    // Numbers that stand twice, as in the published lists.
    let (lips, upper) = (vec![1, 2, 2, vertices - 1], vec![0, 3, 3, 5]);
    let face = MeasuredFace::new(open(), lips.clone(), upper.clone(), "small FLAME").unwrap();
    let mut predictor = Spoilt { amount: 0.05 };
    let report = run(&store, &mut predictor, Some(&face), &protocol()).unwrap().report;
    for (index, frames) in [(0, 130), (1, 110)] {
        let recording = store.read(index, Want { audio: false, centred: true }).unwrap();
        let track = &recording.tracks[0];
        let mut seen = None;
        let mut shown = Showing { seen: &mut seen, inner: Spoilt { amount: 0.05 } };
        let limited = Protocol { limit: Some(index + 1), ..protocol() };
        run(&store, &mut shown, None, &limited).unwrap();
        let predicted = seen.unwrap();
        let lists = VertexLists { lips: &lips, upper_face: &upper };
        let speaking = track.speech.as_ref().unwrap();
        assert_eq!(speaking.len(), frames);
        let direct: ReleaseScores =
            score_recording(open().as_ref(), lists, &predicted, &track.motion, speaking).unwrap();
        let direct = direct.entries().map(|(name, value)| (name.to_owned(), value));
        assert_eq!(scores(&report, index), BTreeMap::from(direct));
        assert!(scores(&report, index).values().all(|value| value.is_some_and(|value| value > 0.0)));
    }
    assert!(MeasuredFace::new(open(), vec![vertices], upper, "bad").is_err());
    let error = MeasuredFace::open_flame(fixture("flame/flame_2020_small.pt")).unwrap_err();
    assert!(error.to_string().contains("5023"), "{error}");
    let arkit_folder = Folder::new();
    let error = run(&arkit(&arkit_folder), &mut Baseline::Truth, Some(&face), &protocol()).unwrap_err();
    assert!(error.to_string().contains("small FLAME: shows flame108"), "{error}");
}

/// Keeps the last prediction for the test.
struct Showing<'s, P> {
    seen: &'s mut Option<Vec<f32>>,
    inner: P,
}

impl<P: Predictor> Predictor for Showing<'_, P> {
    fn name(&self) -> String {
        self.inner.name()
    }

    fn settings(&self) -> BTreeMap<String, String> {
        self.inner.settings()
    }

    fn space(&self) -> Option<Space> {
        self.inner.space()
    }

    fn window(&self) -> Option<usize> {
        self.inner.window()
    }

    fn predict(&mut self, take: &Take<'_>, done: &mut FramesDone<'_>) -> Result<Vec<f32>> {
        let values = self.inner.predict(take, done)?;
        *self.seen = Some(values.clone());
        Ok(values)
    }
}

#[test]
fn an_interrupted_evaluation_is_gone_on_with_to_the_last_bit() {
    let folder = Folder::new();
    let store = arkit(&folder);
    let (whole, parts) = (folder.join("whole.jsonl"), folder.join("parts.jsonl"));
    let go = |path: &Path, amount: f32, protocol: &Protocol, stop_at: usize| {
        let mut predictor = Spoilt { amount };
        evaluate(&store, &mut predictor, None, protocol, Some(path), &mut |progress| {
            if progress.recordings_done == stop_at {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
    };
    let at_once = go(&whole, 0.05, &protocol(), 99).unwrap();
    assert_eq!(run(&store, &mut Spoilt { amount: 0.05 }, None, &protocol()).unwrap().report, at_once.report);
    assert!(matches!(go(&parts, 0.05, &protocol(), 1), Err(Error::Interrupted)));
    let lines = || std::fs::read_to_string(&parts).unwrap().lines().count();
    assert_eq!(lines(), 2, "settings and one recording");
    // The next one is cut off in the middle of its line, which is longer than all that follows.
    let mut text = std::fs::read_to_string(&parts).unwrap();
    text.push_str(&format!("{{\"entry\":1,\"name\":\"{}", "r".repeat(1_000_000)));
    std::fs::write(&parts, &text).unwrap();
    assert!(matches!(go(&parts, 0.05, &protocol(), 2), Err(Error::Interrupted)));
    assert_eq!(lines(), 3);
    let resumed = go(&parts, 0.05, &protocol(), 99).unwrap();
    assert_eq!(resumed.resumed, 2);
    assert_eq!(resumed.report.to_json().unwrap(), at_once.report.to_json().unwrap());
    assert_eq!(std::fs::read(&parts).unwrap(), std::fs::read(&whole).unwrap());
    // All done: nothing is computed again. A limit changes what is summed up, not what is kept.
    assert_eq!(go(&parts, 0.05, &protocol(), 0).unwrap().resumed, 3);
    assert_eq!(go(&parts, 0.05, &Protocol { limit: Some(2), ..protocol() }, 0).unwrap().resumed, 2);

    let other = Protocol { seed: 7, ..protocol() };
    let error = go(&parts, 0.06, &other, 99).unwrap_err();
    let told = error.to_string();
    assert!(told.contains("amount was 0.05, is 0.06") && told.contains("seed was 42, is 7"), "{told}");
    assert!(error.hint().unwrap().contains("delete the file"));
    for (content, what) in [("{\"a\":1}\n", "line 1"), ("PK\x03\x04", "line 1")] {
        let path = folder.write("other", content);
        let error = go(&path, 0.05, &protocol(), 99).unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            content,
            "a file of another kind stays as it was"
        );
    }
    let broken = folder.write("broken", format!("{text}\n{{\"entry\":2}}\n"));
    assert!(go(&broken, 0.05, &protocol(), 99).unwrap_err().to_string().contains("line 3"));
    let torn = folder.write("torn", "{\"format\":\"unils-evaluation\",\"ver");
    assert_eq!(go(&torn, 0.05, &protocol(), 99).unwrap().report, at_once.report);
}

/// What makes one number of a prediction NaN, or one frame too few.
struct Broken {
    short: bool,
}

impl Predictor for Broken {
    fn name(&self) -> String {
        "broken".to_owned()
    }

    fn settings(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    fn space(&self) -> Option<Space> {
        None
    }

    fn window(&self) -> Option<usize> {
        None
    }

    fn predict(&mut self, take: &Take<'_>, _: &mut FramesDone<'_>) -> Result<Vec<f32>> {
        let mut motion = take.truth.to_vec();
        if take.frames == 260 {
            motion[7 * ARKIT + 1] = f32::NAN;
            motion.truncate(motion.len() - if self.short { ARKIT } else { 0 });
        }
        Ok(motion)
    }
}

#[test]
fn bad_predictions_and_recordings_name_the_record() {
    let folder = Folder::new();
    let store = arkit(&folder);
    let error = run(&store, &mut Broken { short: false }, None, &protocol()).unwrap_err().to_string();
    let channel = Space::Arkit55.channels()[1].name;
    assert!(
        error.contains("\"r1\"") && error.contains(&format!("frame 7, channel {channel}: NaN")),
        "{error}"
    );
    let error = run(&store, &mut Broken { short: true }, None, &protocol()).unwrap_err().to_string();
    assert!(error.contains("\"r1\"") && error.contains("14245 numbers, expected 14300"), "{error}");
    let val = Protocol { split: Split::Val, ..protocol() };
    let error = run(&store, &mut Baseline::Truth, None, &val).unwrap_err();
    assert!(error.to_string().contains("\"val\" is empty") && error.hint().unwrap().contains("train, test"));
    std::fs::write(folder.join("corpus/motion/r3.npz"), "no zip").unwrap();
    let error = run(&store, &mut Baseline::Truth, None, &protocol()).unwrap_err().to_string();
    assert!(error.contains("r3"), "{error}");
    let short = Folder::new();
    let store =
        corpus(&short.join("c"), Space::Arkit55, &[(Split::Test, recording("s", Space::Arkit55, 0, 101))]);
    let error = run(&store, &mut Baseline::Truth, None, &protocol()).unwrap_err();
    assert!(error.hint().unwrap().contains("102 frames"), "{error}: {:?}", error.hint());
}

#[test]
fn what_is_missing_is_left_out_and_said() {
    // Neither audio nor mask, one participant.
    let folder = Folder::new();
    let bare = Track::new("a", person("a", Space::Arkit55, 0, 200).motion);
    let bare = Recording::new("bare", Space::Arkit55, vec![bare]);
    let store = corpus(&folder.join("bare"), Space::Arkit55, &[(Split::Test, bare)]);
    let done = run(&store, &mut Baseline::Rest, None, &protocol()).unwrap();
    let said = done.notices.join("\n");
    for what in ["no face", "speech mask and audio", "partner's audio", "partner's motion"] {
        assert!(said.contains(what), "{what}: {said}");
    }
    let names: Vec<&str> = done.report.means.iter().map(|score| score.metric.as_str()).collect();
    let left_out = |name: &&&str| ["S-", "L-", "lips", "rPCC"].iter().any(|start| name.starts_with(start));
    assert_eq!(names.iter().find(left_out), None);
    assert!(names.contains(&"F-FID") && names.contains(&"blinks/min"));
    assert_eq!(done.report.settings["speech mask"], "none");

    // A mask that is not in the data is found in the voice.
    let folder = Folder::new();
    let mut unmasked = recording("unmasked", Space::Arkit55, 0, 300);
    unmasked.tracks.iter_mut().for_each(|track| track.speech = None);
    let masked = recording("masked", Space::Arkit55, 0, 300);
    let store = corpus(&folder.join("c"), Space::Arkit55, &[(Split::Test, masked), (Split::Test, unmasked)]);
    let done = run(&store, &mut Baseline::Rest, None, &protocol()).unwrap();
    assert_eq!(done.report.settings["speech mask"], "of the data; from the voices in 1 recordings");
    let jdd = |recording: usize| done.report.recordings[recording].values["S-JDD"].unwrap();
    assert_eq!(done.report.recordings[1].name, "unmasked");
    assert!(jdd(0) != jdd(1) && (jdd(0) / jdd(1) - 1.0).abs() < 0.1, "{} {}", jdd(0), jdd(1));
}

#[test]
fn closures_are_looked_for_where_phonemes_are() {
    let folder = Folder::new();
    let mut talk = recording("talk", Space::Arkit55, 0, 200);
    let track = &mut talk.tracks[0];
    let [jaw, pressed] = ["jawOpen", "mouthClose"].map(|name| Space::Arkit55.index(name).unwrap());
    for (frame, row) in track.motion.chunks_mut(ARKIT).enumerate() {
        row[jaw] = if frame % 20 == 0 { 0.0 } else { 0.5 };
        row[pressed] = 0.0;
    }
    let phoneme = |symbol: &str, frame: f64| Phoneme {
        symbol: symbol.to_owned(),
        start_s: frame / 25.0,
        end_s: (frame + 1.0) / 25.0,
    };
    // Two on closed frames, one not, and others that do not count.
    track.phonemes = vec![phoneme("b", 20.0), phoneme("a", 25.0), phoneme("m", 30.0), phoneme("P", 40.0)];
    talk.tracks[1].phonemes = vec![phoneme("pau", 0.0)];
    let store = corpus(&folder.join("c"), Space::Arkit55, &[(Split::Test, talk)]);
    let report = run(&store, &mut Baseline::Truth, None, &protocol()).unwrap().report;
    close(report.mean("closures at p b m"), 2.0 / 3.0, 1e-12);
    let both = Protocol { people: People::All, ..protocol() };
    let report = run(&store, &mut Baseline::Truth, None, &both).unwrap().report;
    close(report.mean("true closures at p b m"), 2.0 / 3.0, 1e-12);
}

#[test]
fn everybodys_value_is_the_mean_of_theirs() {
    let folder = Folder::new();
    let store = arkit(&folder);
    let all = Protocol { people: People::All, ..protocol() };
    let report = run(&store, &mut Baseline::Rest, None, &all).unwrap().report;
    let first = run(&store, &mut Baseline::Rest, None, &protocol()).unwrap().report;
    let jaw = Space::Arkit55.index("jawOpen").unwrap();
    let recording = store.read(0, Want { audio: false, centred: true }).unwrap();
    let second = &recording.tracks[1];
    let rows = second.motion.chunks(ARKIT).zip(second.speech.as_ref().unwrap());
    let values: Vec<f64> = rows.filter(|(_, s)| **s).map(|(row, _)| f64::from(row[jaw])).collect();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let jdd = 100.0 * (squares / (values.len() - 1) as f64).sqrt();
    let of_first = first.recordings[0].values["S-JDD"].unwrap();
    close(report.recordings[0].values["S-JDD"], 0.5 * (of_first + jdd), 1e-6);
}
