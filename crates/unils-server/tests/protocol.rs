//! Frames and messages as bytes and text: the vectors that JavaScript reads as well, and a fixed dose of fuzzing.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panicking")]

#[path = "fuzz/protocol.rs"]
mod protocol_entry;

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use unils::session::{Chunk, Voice, Voices};
use unils_server::protocol::{
    AudioFrame, ClientFrame, ClientMessage, ServerMessage, ValueFormat, motion_bytes, parse_motion,
};

fn vectors(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn list<'a>(value: &'a Value, name: &str) -> &'a Vec<Value> {
    value[name].as_array().unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    let hex = value["hex"].as_str().unwrap();
    (0..hex.len() / 2).map(|index| u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).unwrap()).collect()
}

fn floats(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32).collect()
}

#[test]
fn audio_frames_are_those_of_the_vectors() {
    for vector in list(&vectors("frames.json"), "audio") {
        let frame = AudioFrame {
            voice: if vector["voice"] == "own" { Voice::Own } else { Voice::Partner },
            rate: vector["rate"].as_u64().unwrap() as u32,
            first: vector["index"].as_u64(),
            samples: floats(&vector["samples"]),
        };
        let written = if vector["format"] == "pcm16" { frame.to_pcm16_bytes() } else { frame.to_bytes() };
        assert_eq!(written, bytes(vector), "{}", vector["name"]);
        assert_eq!(ClientFrame::parse(&written).unwrap(), ClientFrame::Audio(frame), "{}", vector["name"]);
    }
}

#[test]
fn motion_frames_are_those_of_the_vectors() {
    for vector in list(&vectors("frames.json"), "motion") {
        let flags =
            |name: &str| list(vector, name).iter().map(|flag| flag.as_bool().unwrap()).collect::<Vec<_>>();
        let voices = flags("speaking").into_iter().zip(flags("listening"));
        let faces = list(vector, "faces");
        let rows = faces.iter().flat_map(|face| face.as_array().unwrap());
        let chunk = Chunk {
            start_frame: vector["start_frame"].as_u64().unwrap(),
            participants: faces.len(),
            values: rows.flat_map(floats).collect(),
            voices: voices.map(|(own, partner)| Voices { speaks: [own, partner] }).collect(),
            missing: [0; 2],
            is_revision: vector["revision"].as_bool().unwrap(),
        };
        let format = if vector["format"] == "f16" { ValueFormat::F16 } else { ValueFormat::F32 };
        assert_eq!(motion_bytes(&chunk, format), bytes(vector), "{}", vector["name"]);
        assert_eq!(parse_motion(&bytes(vector)).unwrap(), chunk, "{}", vector["name"]);
    }
}

#[test]
fn bad_frames_and_messages_are_refused_with_a_reason() {
    for vector in list(&vectors("frames.json"), "bad") {
        let fault = ClientFrame::parse(&bytes(vector)).expect_err(vector["name"].as_str().unwrap());
        assert!(!fault.what.is_empty() && !fault.fatal);
    }
    for text in list(&vectors("messages.json"), "bad") {
        assert!(ClientMessage::parse(text.as_str().unwrap()).is_err(), "{text}");
    }
}

#[test]
fn messages_are_those_of_the_vectors() {
    let vectors = vectors("messages.json");
    for message in list(&vectors, "client") {
        let parsed =
            ClientMessage::parse(&message.to_string()).unwrap_or_else(|fault| panic!("{message}: {fault}"));
        let written: Value = serde_json::to_value(&parsed).unwrap();
        for (name, value) in message.as_object().unwrap() {
            let same = match (value.as_f64(), written[name].as_f64()) {
                (Some(a), Some(b)) => (a - b).abs() < 1e-6,
                _ => value.is_object() || written[name] == *value,
            };
            assert!(same, "{name} of {message}: {written}");
        }
    }
    for message in list(&vectors, "server") {
        let parsed: ServerMessage = serde_json::from_value(message.clone()).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&parsed.to_text()).unwrap(), *message);
    }
}

#[test]
fn javascript_reads_the_same_vectors() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/javascript/protocol.mjs");
    match Command::new("node").arg(&script).output() {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{text}");
        }
        Err(error) => eprintln!("SKIPPED: JavaScript does not read the protocol's vectors: node: {error}"),
    }
}

/// Vectors with bytes changed, cut and repeated, by a generator with a fixed start.
#[test]
fn a_fixed_dose_of_fuzzing() {
    let frames = vectors("frames.json");
    let mut seeds: Vec<Vec<u8>> =
        ["audio", "motion", "bad"].iter().flat_map(|name| list(&frames, name)).map(bytes).collect();
    let messages = vectors("messages.json");
    seeds.extend(list(&messages, "client").iter().map(|message| message.to_string().into_bytes()));
    seeds.iter().for_each(|seed| protocol_entry::protocol(seed));
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below.max(1) as u64) as usize
    };
    for _ in 0..if cfg!(debug_assertions) { 2000 } else { 20_000 } {
        let mut input = seeds[random(seeds.len())].clone();
        for _ in 0..=random(4) {
            let at = random(input.len());
            match random(4) {
                0 if !input.is_empty() => input[at] = random(256) as u8,
                1 => input.truncate(at),
                2 => input.extend_from_within(at.min(input.len())..),
                _ => input.insert(at, [0, 1, 0x55, 0x7f, 0x80, 0xff][random(6)]),
            }
        }
        protocol_entry::protocol(&input);
    }
}
