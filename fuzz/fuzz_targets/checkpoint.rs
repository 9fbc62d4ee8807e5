//! See README.md.
#![no_main]

#[path = "../../crates/unils/tests/fuzz/checkpoint.rs"]
#[allow(dead_code, reason = "the file holds the entries of two targets")]
mod entry;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entry::checkpoint(data));
