//! Models that listen to log-mel energies: no speech encoder's files anywhere.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::support::*;
use unils::checkpoint::{StoredAs, write_safetensors};
use unils::device::DeviceKind;
use unils::file::{ReadOptions, read_motion};
use unils::generator::Generator;
use unils::model::{EncoderKind, ModelConfig};
use unils::nn::{Loader, RandomWeights, TensorSource};

/// Shape and values of a tensor.
type Recorded = (Vec<usize>, Vec<f32>);

/// Random weights that remember what was asked for.
struct Recorder {
    weights: RandomWeights,
    tensors: RefCell<BTreeMap<String, Recorded>>,
}

impl TensorSource for Recorder {
    fn place(&self) -> String {
        self.weights.place()
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }

    fn shape(&self, name: &str, wanted: &[usize]) -> Option<Vec<usize>> {
        self.weights.shape(name, wanted)
    }

    fn read(&self, name: &str, wanted: &[usize], use_values: &mut dyn FnMut(&[f32])) -> unils::Result<()> {
        self.weights.read(name, wanted, &mut |values| {
            self.tensors.borrow_mut().insert(name.to_owned(), (wanted.to_vec(), values.to_vec()));
            use_values(values);
        })
    }
}

/// A checkpoint of the preset `tiny` in our own form.
fn checkpoint(folder: &Folder) -> PathBuf {
    let config = ModelConfig::preset("tiny").unwrap();
    assert_eq!(config.encoder.as_ref().unwrap().kind, EncoderKind::LogMel);
    let source = Recorder { weights: RandomWeights { seed: 5 }, tensors: RefCell::default() };
    let loader = Loader::new(&source, &DeviceKind::Cpu.open().unwrap(), false);
    Generator::load(config.generator.as_ref().unwrap(), &config.codec, &loader).unwrap();
    let path = folder.file("own.safetensors");
    let tensors = source.tensors.borrow();
    let tensors =
        tensors.iter().map(|(name, (shape, values))| (name.as_str(), &shape[..], &values[..], StoredAs::F32));
    write_safetensors(&path, tensors, &BTreeMap::new()).unwrap();
    folder.with("own.toml", config.to_toml().unwrap().as_bytes());
    path
}

#[test]
fn a_model_without_a_speech_encoder_animates() {
    let folder = Folder::new();
    let checkpoint = checkpoint(&folder);
    folder.with("talk.wav", &wav(16_000, &[voice(16_000, 2.0, 180.0)]));
    folder.with("other.wav", &wav(16_000, &[voice(16_000, 2.0, 260.0)]));
    let animate = |voice: &str, name: &str| {
        let line = format!("--json animate {voice} --seed 3 -o {name} --checkpoint");
        let summary = run(&folder, &line, &[&checkpoint]).json();
        assert_eq!(summary["encoder"], serde_json::Value::Null);
        assert!(summary["times"]["encoder"].as_f64().unwrap() > 0.0, "{summary}");
        read_motion(folder.file(name), &ReadOptions::default()).unwrap()
    };
    let motion = animate("talk.wav", "a.npz");
    assert_eq!(motion.shape(), [1, 50, 55]);
    assert_ne!(motion.values(), animate("other.wav", "b.npz").values(), "the voice is heard");

    let encoder = fixture("hf_wav2vec2_tiny");
    run(&folder, "animate talk.wav -o c.npz --checkpoint own.safetensors --encoder", &[&encoder])
        .fails(2, "log-mel energies, which have no files")
        .hints("leave out --encoder");
    let shown = run(&folder, "inspect own.safetensors", &[]);
    assert!(shown.succeeds().out.contains("log-mel energies (no weights)"), "{}", shown.out);

    run(&folder, "convert own.safetensors copy.safetensors", &[]).succeeds();
    assert!(std::fs::read_to_string(folder.file("copy.toml")).unwrap().contains("kind = \"logmel\""));
}

#[test]
fn nothing_is_fetched_for_it() {
    let folder = Folder::new();
    let weights = folder.file("cache/weights");
    std::fs::create_dir_all(&weights).unwrap();
    std::fs::copy(checkpoint(&folder), weights.join("own.safetensors")).unwrap();
    std::fs::copy(folder.file("own.toml"), weights.join("own.toml")).unwrap();
    let state = run(&folder, "--json doctor", &[]).json();
    assert_eq!(state["checkpoints"][0]["preset"], "tiny", "{state}");
    assert_eq!(
        (&state["checkpoints"][0]["encoder"], &state["encoders"]),
        (&serde_json::Value::Null, &serde_json::json!([]))
    );
    let steps = state["next_steps"].to_string();
    assert!(!steps.contains("fetch"), "{steps}");
    folder.with("talk.wav", &wav(16_000, &[voice(16_000, 1.0, 180.0)]));
    run(&folder, "animate talk.wav -o a.npz", &[]).succeeds();
    let speed = run(&folder, "--json bench --preset tiny --seconds 1 --repeat 1", &[]).json();
    assert!(speed["operations"]["encoder"].as_f64().unwrap() > 1e5, "{speed}");
    assert!(speed["runs"][0]["fastest"]["encoder"].as_f64().unwrap() > 0.0, "{speed}");
}
