//! Gaze: the eyeballs turn and take the lids along a little.

use glam::{DMat3, DVec3};
use unils::face::{EYE_PITCH, EYE_YAW};

use super::Definition::{self, Left};
use super::lids::{Slide, slide};
use crate::builder::{Body, Vertex};
use crate::form::EYE_CENTER;

pub const SHAPES: &[Definition] = &[
    Left("eyeLookDown", look_down),
    Left("eyeLookIn", look_in),
    Left("eyeLookOut", look_out),
    Left("eyeLookUp", look_up),
];

/// Reflections stay nearly where the light is.
const GLINT_FOLLOWS: f64 = 0.45;

fn turn(vertex: &Vertex, yaw: f64, pitch: f64) -> DVec3 {
    let share = match vertex.body {
        Body::Eye => 1.0,
        Body::Glint => GLINT_FOLLOWS,
        _ => return DVec3::ZERO,
    };
    if vertex.at.x < 0.0 {
        return DVec3::ZERO;
    }
    let rotation = DMat3::from_rotation_y(yaw * share) * DMat3::from_rotation_x(pitch * share);
    EYE_CENTER + rotation * (vertex.at - EYE_CENTER) - vertex.at
}

fn carry(vertex: &Vertex, upper: f64, lower: f64) -> DVec3 {
    slide(vertex, |lid| {
        let middle = (1.0 - lid.q * lid.q).max(0.0).sqrt();
        Slide { upper: upper * middle, lower: lower * middle, lift: 0.02 * middle }
    })
}

fn look_down(vertex: &Vertex) -> DVec3 {
    turn(vertex, 0.0, f64::from(EYE_PITCH)) + carry(vertex, -0.42, -0.12)
}

fn look_up(vertex: &Vertex) -> DVec3 {
    turn(vertex, 0.0, -f64::from(EYE_PITCH)) + carry(vertex, 0.20, 0.06)
}

fn look_in(vertex: &Vertex) -> DVec3 {
    turn(vertex, -f64::from(EYE_YAW), 0.0)
}

fn look_out(vertex: &Vertex) -> DVec3 {
    turn(vertex, f64::from(EYE_YAW), 0.0)
}
