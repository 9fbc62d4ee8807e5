//! The model that ships: what its card says of it.

use unils::device::DeviceKind;
use unils::model::{Model, ModelConfig, shipped};
use unils::session::Timing;

#[test]
fn it_is_the_preset_live_and_small() {
    let file = shipped().unwrap();
    let summary = file.summary();
    // In half precision: 20 MB are 10 million numbers.
    assert!((4_000_000..10_000_000).contains(&summary.parameters), "{}", summary.parameters);
    let model = Model::shipped(DeviceKind::Cpu).unwrap();
    assert_eq!(model.config(), &ModelConfig::preset("live").unwrap());
    assert!(model.encoder().is_some());
    assert!(model.reports().iter().all(|(_, report)| report.unused.is_empty()), "{:?}", model.reports());
}

#[test]
fn it_answers_within_160_ms() {
    let timing = Timing::of(&Model::shipped(DeviceKind::Cpu).unwrap());
    assert_eq!((timing.window_frames, timing.look_ahead_frames), (2, 2));
    assert_eq!(timing.heard_samples(), 160 * 16);
}
