//! Fuzz entry: every reader of motion files and arrays, from any bytes.
//!
//! Nothing may panic; and what is accepted must survive being written and read again, to the last bit.

#![allow(clippy::expect_used, reason = "a fuzz target fails by panicking")]

use unils::file::npy::Array;
use unils::file::npz::Npz;
use unils::file::{MotionFormat, ReadOptions, read_motion_bytes, write_motion_to};
use unils::motion::{Motion, Stats};

/// What is larger is not written again: the fuzzer's time goes to small inputs.
const MAX_NUMBERS: usize = 20_000;
const MAX_BYTES: usize = 1 << 16;

/// Feeds `data` to all of them.
pub fn motion(data: &[u8]) {
    let options = ReadOptions::default();
    for format in MotionFormat::ALL {
        if let Ok(motion) = read_motion_bytes(format, data, "input", &options) {
            assert!(motion.values().iter().all(|value| value.is_finite()));
            if motion.values().len() <= MAX_NUMBERS && data.len() <= MAX_BYTES {
                MotionFormat::ALL.into_iter().for_each(|format| check_round_trip(format, &motion));
            }
        }
    }
    let _ = Stats::from_json(data, "input");
    if let Ok(array) = Array::from_bytes(data, "input") {
        assert_eq!(array.shape().iter().product::<usize>(), array.data().len());
        array.write(std::io::sink()).expect("a sink takes everything");
    }
    if let Ok(mut npz) = Npz::from_bytes(data, "input") {
        let names: Vec<String> = npz.names().map(str::to_owned).collect();
        for name in names {
            let _ = npz.array(&name);
            let _ = npz.f32_values(&name);
        }
    }
}

fn check_round_trip(format: MotionFormat, motion: &Motion) {
    let mut bytes = Vec::new();
    write_motion_to(format, &mut bytes, motion).expect("memory takes everything");
    let options = ReadOptions { space: Some(motion.space()), ..ReadOptions::default() };
    let back = read_motion_bytes(format, &bytes, "own", &options).expect("what is written can be read");
    assert!(
        back.values().iter().map(|value| value.to_bits()).eq(motion.values().iter().map(|v| v.to_bits()))
    );
    assert_eq!(back.shape(), motion.shape());
}
