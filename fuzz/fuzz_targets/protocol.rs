//! See README.md.
#![no_main]

#[path = "../../crates/unils-server/tests/fuzz/protocol.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entry::protocol(data));
