//! See README.md.
#![no_main]

#[path = "../../crates/unils/tests/fuzz/head.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entry::head(data));
