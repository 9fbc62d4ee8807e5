//! The page's JavaScript in Node: what it needs no browser for.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panicking")]

use std::io::Write;
use std::path::Path;
use std::process::Command;

#[test]
fn the_page_reads_heads() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/javascript/heads.mjs");
    match Command::new("node").arg(&script).output() {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{text}");
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr().lock(), "SKIPPED: how the page reads heads: node: {error}");
        }
    }
}
