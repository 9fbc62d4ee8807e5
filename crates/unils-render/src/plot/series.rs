//! What of a motion is drawn: curves over time, reduced to what pixels can show.

use unils::face::head_rotation;
use unils::motion::{Group, Motion, Space, angles_from_rotation};

/// A blink: closed beyond the first share, and open again below the second before there is another.
const CLOSED: f32 = 0.5;
const OPEN: f32 = 0.3;

/// How far the mouth is open, a number a frame: the jaw's coefficient (0 to 1), or its angle in degrees in FLAME-108.
pub(super) fn mouth(motion: &Motion, participant: usize) -> Vec<f32> {
    match motion.space() {
        Space::Arkit55 => column(motion, participant, "jawOpen"),
        Space::Flame108 => column(motion, participant, "jaw").into_iter().map(f32::to_degrees).collect(),
    }
}

/// How far the lids are closed, 0 to 1, the mean of both eyes; nothing in FLAME-108, where they are part of the
/// expression.
pub(super) fn lids(motion: &Motion, participant: usize) -> Option<Vec<f32>> {
    if motion.space() == Space::Flame108 {
        return None;
    }
    let (left, right) =
        (column(motion, participant, "eyeBlinkLeft"), column(motion, participant, "eyeBlinkRight"));
    Some(left.into_iter().zip(right).map(|(left, right)| 0.5 * (left + right)).collect())
}

/// The head's yaw, pitch and roll in degrees.
pub(super) fn head(motion: &Motion, participant: usize) -> [Vec<f32>; 3] {
    let mut angles = [const { Vec::new() }; 3];
    let width = motion.space().width();
    for frame in motion.participant(participant).unwrap_or_default().chunks_exact(width) {
        let of_frame = match motion.space() {
            Space::Arkit55 => {
                let indices = motion.space().group_indices(Group::Head);
                [0, 1, 2].map(|axis| indices.get(axis).map_or(0.0, |&index| frame[index]))
            }
            Space::Flame108 => angles_from_rotation(&head_rotation(Space::Flame108, frame)),
        };
        angles.iter_mut().zip(of_frame).for_each(|(list, angle)| list.push(angle.to_degrees()));
    }
    angles
}

/// The frames at which blinks are deepest.
pub(super) fn blinks(lids: &[f32]) -> Vec<usize> {
    let mut blinks = Vec::new();
    let mut deepest: Option<usize> = None;
    for (frame, &closed) in lids.iter().enumerate() {
        if closed > CLOSED && deepest.is_none_or(|known| closed > lids[known]) {
            deepest = Some(frame);
        }
        if closed < OPEN {
            blinks.extend(deepest.take());
        }
    }
    blinks.extend(deepest);
    blinks
}

fn column(motion: &Motion, participant: usize, name: &str) -> Vec<f32> {
    let Some(index) = motion.space().index(name) else { return Vec::new() };
    let rows = motion.participant(participant).unwrap_or_default();
    rows.iter().skip(index).step_by(motion.space().width()).copied().collect()
}

/// Points of a curve of `values` at `k * step` s, `place` being where a second and a value stand. More than two
/// values a column of pixels become the least and the largest of each: the picture is the same, the file small.
pub(super) fn polyline(
    values: &[f32],
    step: f64,
    columns: usize,
    place: impl Fn(f64, f32) -> [f32; 2],
) -> Vec<[f32; 2]> {
    let point = |index: usize, value: f32| place(index as f64 * step, value);
    if values.len() <= 2 * columns.max(1) {
        return values.iter().enumerate().map(|(index, &value)| point(index, value)).collect();
    }
    let mut points = Vec::with_capacity(2 * columns);
    for column in 0..columns {
        let (start, end) = (column * values.len() / columns, (column + 1) * values.len() / columns);
        let part = values[start..end].iter().enumerate();
        let extreme = |sign: f32| part.clone().max_by(|a, b| (a.1 * sign).total_cmp(&(b.1 * sign)));
        if let (Some(low), Some(high)) = (extreme(-1.0), extreme(1.0)) {
            // In the order of time, so that the line does not go back.
            let [first, second] = if low.0 <= high.0 { [low, high] } else { [high, low] };
            points.push(point(start + first.0, *first.1));
            if second.0 != first.0 {
                points.push(point(start + second.0, *second.1));
            }
        }
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;
    use unils::motion::MotionMeta;

    #[test]
    fn blinks_are_counted_once() {
        let lids = [0.0, 0.4, 0.6, 0.9, 0.7, 0.4, 0.6, 0.1, 0.0, 0.8, 0.2, 0.45, 0.1, 1.0];
        assert_eq!(blinks(&lids), [3, 9, 13]);
    }

    #[test]
    fn reduced_curves_keep_their_peaks() {
        let mut values = vec![0.0; 90_000];
        (values[12_345], values[50_000]) = (1.0, -1.0);
        let points = polyline(&values, 0.04, 1000, |x, y| [x as f32, y]);
        assert!(points.len() <= 2000 && points.is_sorted_by(|a, b| a[0] <= b[0]));
        assert!(points.contains(&[493.8, 1.0]) && points.contains(&[2000.0, -1.0]));
        assert_eq!(polyline(&values[..3], 0.5, 1000, |x, y| [x as f32, y]).len(), 3);
    }

    #[test]
    fn flame_s_vector_becomes_three_angles() {
        let mut frame = vec![0.0; 108];
        frame[101] = 0.25;
        frame[103] = 0.1;
        let motion = Motion::new(Space::Flame108, 25.0, 1, frame, MotionMeta::new()).unwrap();
        let [yaw, pitch, roll] = head(&motion, 0);
        assert!(
            (yaw[0] - 0.25_f32.to_degrees()).abs() < 1e-3 && pitch[0].abs() < 1e-3 && roll[0].abs() < 1e-3
        );
        assert!((mouth(&motion, 0)[0] - 0.1_f32.to_degrees()).abs() < 1e-5);
        assert!(lids(&motion, 0).is_none());
    }
}
