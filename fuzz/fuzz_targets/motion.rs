//! See README.md.
#![no_main]

#[path = "../../crates/unils/tests/fuzz/motion.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entry::motion(data));
