//! Where a person looks when it looks at whom it talks to: not always straight ahead.

use super::Space;
use super::convert::{
    ARKIT_EYES, ARKIT_HEAD, arkit_joints_from_flame, flame_joints_from_arkit, gaze_from_look, look_from_gaze,
};

/// Share of a turn to the side that the head takes; the eyes take the rest.
const HEAD_SHARE: f32 = 0.4;

/// Turns head and eyes of a frame together by a direction of yaw (to the person's left) and pitch (down), radians. What
/// the frame does around its straight ahead it then does around that direction.
pub fn turn_gaze(space: Space, frame: &mut [f32], direction: [f32; 2]) {
    match space {
        Space::Arkit55 => {
            turn(frame, direction);
            ARKIT_EYES
                .iter()
                .for_each(|&eye| frame[eye..eye + 4].iter_mut().for_each(|look| *look = look.min(1.0)));
        }
        Space::Flame108 => {
            let mut joints = vec![0.0; Space::Arkit55.width()];
            arkit_joints_from_flame(frame, &mut joints);
            turn(&mut joints, direction);
            flame_joints_from_arkit(&joints, frame);
        }
    }
}

/// The same of ARKit's numbers, whose eyes may then look further than their shapes go.
fn turn(frame: &mut [f32], [yaw, pitch]: [f32; 2]) {
    frame[ARKIT_HEAD] += HEAD_SHARE * yaw;
    frame[ARKIT_HEAD + 1] += HEAD_SHARE * pitch;
    for (eye, start) in ARKIT_EYES.into_iter().enumerate() {
        let look = [frame[start], frame[start + 1], frame[start + 2], frame[start + 3]];
        let gaze = gaze_from_look(look, eye == 0);
        let turned = [gaze[0] + (1.0 - HEAD_SHARE) * yaw, gaze[1] + (1.0 - HEAD_SHARE) * pitch];
        frame[start..start + 4].copy_from_slice(&look_from_gaze(turned, eye == 0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::motion::EYE_YAW;

    #[test]
    fn head_and_eyes_share_a_turn() {
        let mut frame = vec![0.0; 55];
        let at = |frame: &[f32], name: &str| frame[Space::Arkit55.index(name).unwrap()];
        turn_gaze(Space::Arkit55, &mut frame, [0.5, -0.2]);
        assert!((at(&frame, "headYaw") - 0.2).abs() < 1e-6 && (at(&frame, "headPitch") + 0.08).abs() < 1e-6);
        // To its left: outward for the left eye, inward for the right one; and up.
        for name in ["eyeLookOutLeft", "eyeLookInRight"] {
            assert!((at(&frame, name) - 0.3 / EYE_YAW).abs() < 1e-6, "{name}");
        }
        assert!(at(&frame, "eyeLookUpLeft") > 0.2 && at(&frame, "eyeLookDownLeft") == 0.0);
        turn_gaze(Space::Arkit55, &mut frame, [2.0, 0.0]);
        assert_eq!(at(&frame, "eyeLookOutLeft"), 1.0, "shapes end at 1");
    }

    #[test]
    fn both_spaces_turn_alike() {
        let mut arkit = vec![0.0; 55];
        arkit[ARKIT_HEAD..ARKIT_HEAD + 3].copy_from_slice(&[0.1, -0.05, 0.02]);
        arkit[ARKIT_EYES[0] + 2] = 0.2;
        arkit[ARKIT_EYES[1] + 1] = 0.2;
        let mut flame = vec![0.0; 108];
        flame_joints_from_arkit(&arkit, &mut flame);
        turn_gaze(Space::Flame108, &mut flame, [-0.3, 0.1]);
        turn_gaze(Space::Arkit55, &mut arkit, [-0.3, 0.1]);
        let mut expected = vec![0.0; 108];
        flame_joints_from_arkit(&arkit, &mut expected);
        let worst = flame.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-5, "{worst}");
    }
}
