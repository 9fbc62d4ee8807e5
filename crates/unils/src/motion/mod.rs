//! Facial motion: what its channels mean, a clip of it, its statistics and its smoothing.
//!
//! A leaf of the library: the codec encodes and decodes these numbers, the generator makes them, faces and
//! files read them. A [`Motion`] is a checked clip of one or more participants in a [`Space`]; [`Stats`] takes
//! it to the normalised units of the models and back; a [`Smoother`] is the filter that comes last.
//!
//! ```
//! use unils::motion::{FPS, Motion, MotionMeta, Space};
//! let rest = vec![0.0; 2 * 50 * 108];
//! let motion = Motion::new(Space::Flame108, FPS, 2, rest, MotionMeta::new())?;
//! assert_eq!((motion.participants(), motion.frames(), motion.duration_s()), (2, 50, 2.0));
//! assert_eq!(motion.frame(1, 49).map(<[f32]>::len), Some(108));
//! # Ok::<(), unils::Error>(())
//! ```

mod clip;
mod convert;
mod gaze;
mod join;
mod low_pass;
mod manner;
mod mirror;
mod rate;
mod smooth;
mod space;
mod stats;

pub use clip::{Motion, MotionMeta};
pub use convert::{
    EYE_PITCH, EYE_YAW, JAW_OPEN, angles_from_rotation, arkit_joints_from_flame, axis_angle_from_gaze,
    axis_angle_from_rotation, flame_joints_from_arkit, gaze_from_axis_angle, gaze_from_look, joints_only,
    look_from_gaze, rotation_from_angles, rotation_from_axis_angle,
};
pub use gaze::turn_gaze;
pub use join::Join;
pub use low_pass::LowPass;
pub use manner::{manner, remove_rest, rest_pose};
pub(crate) use rate::between;
pub use smooth::{SmoothStream, Smoother};
pub(crate) use space::shorten;
pub use space::{Channel, Group, RELEASE_COLUMNS, RELEASE_MIN_COLUMNS, Space, Unit};
pub use stats::Stats;

/// Frames a second of all motion that the models make.
pub const FPS: f64 = 25.0;

/// Audio samples a second that the models hear.
pub const SAMPLE_RATE: u32 = 16_000;

/// Audio samples a frame: frame k covers the samples `640 k .. 640 (k + 1)`.
pub const SAMPLES_PER_FRAME: usize = 640;
