//! What files of others leave open about a head: its unit and the point that it turns about.

use super::Shape;
use super::mesh::{Vec3, add, bounds, dot, scale};
use super::names::coefficients;

/// How high a face may be, from the brows' upper edge to the chin's lower: metres.
const FACE_HEIGHTS: std::ops::RangeInclusive<f32> = 0.06..=0.5;

/// How high a face is taken to be if nothing else is known.
const FACE_HEIGHT: f32 = 0.17;

/// The bounds of what ARKit's shapes move well: the face, without shoulders or hair.
pub(crate) fn face_bounds(positions: &[Vec3], shapes: &[Shape]) -> [Vec3; 2] {
    let is_arkit = |shape: &&Shape| coefficients().any(|name| name == shape.name);
    let moved = shapes.iter().filter(is_arkit).flat_map(|shape| {
        let size = |delta: &Vec3| dot(*delta, *delta);
        let largest = shape.deltas.iter().map(size).fold(0.0, f32::max);
        let moves = shape.vertices.iter().zip(&shape.deltas);
        // Half of the largest displacement: what only follows, down to the shoulders, is left out.
        moves.filter(move |(_, delta)| size(delta) > 0.25 * largest).map(|(&vertex, _)| vertex)
    });
    bounds(moved.filter_map(|vertex| positions.get(vertex as usize).copied()))
}

/// The factor that brings a head to metres; none if it is there, or if nothing can be said.
pub(crate) fn metres(positions: &[Vec3], shapes: &[Shape], notes: &mut Vec<String>) -> Option<f32> {
    let [low, high] = face_bounds(positions, shapes);
    let height = high[1] - low[1];
    if !(height.is_finite() && height > 1e-12) || FACE_HEIGHTS.contains(&height) {
        return None;
    }
    let unit = [(0.01, "centimetres"), (0.001, "millimetres")]
        .into_iter()
        .find(|(factor, _)| FACE_HEIGHTS.contains(&(height * factor)));
    let (factor, how) = match unit {
        Some((factor, unit)) => (factor, format!("taken as {unit}")),
        None => (FACE_HEIGHT / height, format!("scaled to a face of {FACE_HEIGHT} m")),
    };
    notes.push(format!("its face is {height:.3} units high: {how}"));
    Some(factor)
}

/// Scales positions and displacements.
pub(crate) fn scale_all(positions: &mut [Vec3], shapes: &mut [Shape], factor: f32) {
    let deltas = shapes.iter_mut().flat_map(|shape| shape.deltas.iter_mut());
    positions.iter_mut().chain(deltas).for_each(|vector| *vector = scale(*vector, factor));
}

/// Whether a head may turn about this point: no further from its face than the face is high.
pub(crate) fn is_plausible_pivot(pivot: Vec3, positions: &[Vec3], shapes: &[Shape]) -> bool {
    let [low, high] = face_bounds(positions, shapes);
    let margin = high[1] - low[1];
    (0..3).all(|axis| (low[axis] - margin..=high[axis] + margin).contains(&pivot[axis]))
}

/// Where the skull sits on the neck, by a head's usual proportions: at the height of the nose's tip, below the ears.
pub(crate) fn estimated_pivot(positions: &[Vec3], shapes: &[Shape], notes: &mut Vec<String>) -> Vec3 {
    let [low, high] = face_bounds(positions, shapes);
    let height = high[1] - low[1];
    let pivot = add([0.5 * (low[0] + high[0]), low[1], high[2]], [0.0, 0.45 * height, -0.7 * height]);
    notes.push(format!(
        "the point that the head turns about is estimated: ({:.3}, {:.3}, {:.3})",
        pivot[0], pivot[1], pivot[2]
    ));
    pivot
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face(height: f32) -> (Vec<Vec3>, Vec<Shape>) {
        let positions = vec![[0.0, 0.0, 0.0], [0.1, height, 0.0], [0.0, 50.0 * height, 0.0]];
        let deltas = vec![[0.0, height, 0.0], [0.0, 0.0, height], [0.0, 0.01 * height, 0.0]];
        let jaw = Shape { name: "jawOpen".into(), vertices: vec![0, 1, 2], deltas };
        let hair = Shape { name: "hair".into(), vertices: vec![2], deltas: vec![[height, 0.0, 0.0]] };
        (positions, vec![jaw, hair])
    }

    #[test]
    fn units_are_told_by_the_face() {
        for (height, factor) in [(0.2, None), (20.0, Some(0.01)), (200.0, Some(0.001)), (1.7, Some(0.1))] {
            let (positions, shapes) = face(height);
            let mut notes = Vec::new();
            let found = metres(&positions, &shapes, &mut notes);
            assert_eq!(found.map(|f| (f * 1e4).round()), factor.map(|f: f32| (f * 1e4).round()), "{height}");
            assert_eq!(notes.len(), usize::from(factor.is_some()));
        }
    }

    #[test]
    fn pivots_are_near_the_face() {
        let (positions, shapes) = face(0.2);
        let pivot = estimated_pivot(&positions, &shapes, &mut Vec::new());
        assert!(is_plausible_pivot(pivot, &positions, &shapes));
        assert!(!is_plausible_pivot([0.0, -0.5, 0.0], &positions, &shapes));
    }
}
