//! The examples of clients, run against a server in this process.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panicking")]

mod common;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{options, server, voice};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/clients").join(name)
}

/// Says past the test harness, which keeps the output of tests that pass, what was left out.
fn skipped(what: &str) {
    let _ = writeln!(std::io::stderr().lock(), "SKIPPED: {what}");
}

/// Runs a program to its end: what it printed, or `None` if it is not there.
fn printed(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{program}: {text}{}", String::from_utf8_lossy(&output.stderr));
    Some(text)
}

/// A Python that has these modules, if there is one; `UNILS_PYTHON` names another than `python3`.
fn python_with(modules: &str) -> Option<String> {
    let python = std::env::var("UNILS_PYTHON").unwrap_or("python3".to_owned());
    let found = Command::new(&python).args(["-c", &format!("import {modules}")]).output();
    if found.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    skipped(&format!("clients in Python: no python3 that has {modules} (set UNILS_PYTHON)"));
    None
}

#[test]
fn python_listens_to_a_recording() {
    let Some(python) = python_with("websockets") else { return };
    let server = server(options());
    let url = format!("ws://{}/live", server.address());
    let path = std::env::temp_dir().join(format!("unils-clients-{}.wav", std::process::id()));
    let samples: Vec<u8> = voice(1.5, 150.0, 16_000)
        .iter()
        .flat_map(|sample| ((sample * 32_767.0) as i16).to_le_bytes())
        .collect();
    let mut wav = b"RIFF".to_vec();
    wav.extend((36 + samples.len() as u32).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\x00\x7d\0\0\x02\0\x10\0data");
    wav.extend((samples.len() as u32).to_le_bytes());
    wav.extend(samples);
    std::fs::write(&path, wav).unwrap();
    let script = example("python/listen.py");
    let text = printed(&python, &[script.to_str().unwrap(), path.to_str().unwrap(), &url]).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(text.contains("jawOpen") && text.contains("finished: "), "{text}");
}

#[test]
fn an_agent_s_bridge_listens_speaks_and_is_interrupted() {
    for (modules, script) in [("websockets", "check.py"), ("websockets, pipecat", "check_pipecat.py")] {
        let Some(python) = python_with(modules) else { continue };
        let server = server(options());
        let url = format!("ws://{}/live", server.address());
        let script = example("agent").join(script);
        let text = printed(&python, &[script.to_str().unwrap(), &url]).unwrap();
        assert!(text.contains("frames"), "{text}");
    }
}

#[test]
fn javascript_speaks() {
    let has_socket = printed("node", &["-e", "console.log(typeof WebSocket)"]);
    // Older versions of Node have it behind a flag.
    let flags: &[&str] = match has_socket.as_deref().map(str::trim) {
        None => return skipped("the client in JavaScript: no node"),
        Some("function") => &[],
        Some(_) => &["--experimental-websocket"],
    };
    let server = server(options());
    let url = format!("ws://{}/live", server.address());
    let script = example("javascript/speak.mjs");
    let arguments: Vec<&str> = flags.iter().copied().chain([script.to_str().unwrap(), &url]).collect();
    let text = printed("node", &arguments).unwrap_or_default();
    assert!(text.contains("jawOpen") && text.contains("finished: 50 frames"), "{text}");
}

#[test]
fn rust_listens() {
    let server = server(options());
    let program = std::env::current_exe().unwrap();
    // Beside the tests lie the examples.
    let listen = program.parent().and_then(Path::parent).unwrap().join("examples/listen");
    match printed(listen.to_str().unwrap(), &[&server.address().to_string()]) {
        Some(text) => assert!(text.contains("headYaw") && text.contains("finished: "), "{text}"),
        None => skipped("the client in Rust: the example was not built (run all tests of the package)"),
    }
}
