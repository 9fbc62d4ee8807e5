//! A small face under FLAME's names, made by formulas: an egg with a nose, a jaw, and expressions that are dents.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::f32::consts::PI;

use unils::face::flame::{Flame, FlameArrays};

pub const COLUMNS: usize = 48;
pub const ROWS: usize = 30;
pub const VERTICES: usize = COLUMNS * ROWS;

/// Between 0 and 1, the same for the same number.
pub fn noise(number: usize) -> f32 {
    let mut state = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((state ^ (state >> 31)) >> 40) as f32 / (1 << 24) as f32
}

/// A point of the egg; azimuth 0 is the front.
fn egg(azimuth: f32, elevation: f32) -> [f32; 3] {
    let nose = 0.02 * (-(azimuth * azimuth + (elevation + 0.1).powi(2)) / 0.05).exp();
    let brow = 0.006 * (-(elevation - 0.4).powi(2) / 0.02).exp() * azimuth.cos().max(0.0);
    let z = (0.09 + nose + brow) * azimuth.cos() * elevation.cos();
    [0.078 * azimuth.sin() * elevation.cos() + 0.004 * elevation.sin(), 0.115 * elevation.sin(), z]
}

fn angles(vertex: usize) -> (f32, f32) {
    let (row, column) = (vertex / COLUMNS, vertex % COLUMNS);
    let elevation = PI * ((row as f32 + 0.5) / ROWS as f32 - 0.5);
    (2.0 * PI * column as f32 / COLUMNS as f32 - PI, 0.97 * elevation)
}

pub fn positions() -> Vec<[f32; 3]> {
    (0..VERTICES).map(angles).map(|(azimuth, elevation)| egg(azimuth, elevation)).collect()
}

pub fn triangles() -> Vec<[u32; 3]> {
    let at = |row: usize, column: usize| (row * COLUMNS + column % COLUMNS) as u32;
    let square = |row: usize, column: usize| {
        let [a, b, c, d] =
            [at(row, column), at(row, column + 1), at(row + 1, column + 1), at(row + 1, column)];
        [[a, b, c], [a, c, d]]
    };
    (0..ROWS - 1).flat_map(|row| (0..COLUMNS).flat_map(move |column| square(row, column))).collect()
}

/// How expression `index` moves a vertex, metres.
pub fn expression(index: usize, vertex: usize) -> [f32; 3] {
    let (azimuth, elevation) = angles(vertex);
    let centre = (2.2 * noise(7 * index) - 1.1, 1.8 * noise(7 * index + 1) - 0.9);
    let distance = (azimuth - centre.0).powi(2) + (elevation - centre.1).powi(2);
    let size = 0.004 * (-distance / 0.12).exp();
    [2, 3, 4].map(|i| size * (2.0 * noise(7 * index + i) - 1.0))
}

pub fn arrays() -> FlameArrays {
    let positions = positions();
    let mut arrays = FlameArrays {
        v_template: positions.as_flattened().to_vec(),
        f: triangles().into_flattened(),
        j_regressor: vec![0.0; 5 * VERTICES],
        parents: [None, Some(0), Some(1), Some(1), Some(1)],
        ..FlameArrays::default()
    };
    // joints between the cheeks, at different heights
    for (joint, row) in [10, 11, 12, 18, 18].into_iter().enumerate() {
        for column in [COLUMNS / 4, 3 * COLUMNS / 4] {
            arrays.j_regressor[joint * VERTICES + row * COLUMNS + column] = 0.5;
        }
    }
    for vertex in 0..VERTICES {
        let (azimuth, elevation) = angles(vertex);
        for axis in 0..3 {
            // identities stretch and bend the egg
            arrays.shapedirs.extend((0..300).map(|i| {
                let wave = (noise(3000 + i) * 3.0 * azimuth + noise(4000 + i) * 6.0).sin()
                    * (noise(5000 + i) * 3.0 * elevation + i as f32).cos();
                0.008 * wave * (noise(6000 + 3 * i + axis) - 0.5)
            }));
            arrays.shapedirs.extend((0..100).map(|i| expression(i, vertex)[axis]));
            arrays
                .posedirs
                .extend((0..36).map(|i| 0.001 * (noise(9000 + 3 * i + axis) - 0.5) * azimuth.cos()));
        }
        let jaw = 1.0 / (1.0 + ((elevation + 0.45) * 12.0).exp()) * azimuth.cos().max(0.0);
        arrays.weights.extend([0.7 * (1.0 - jaw), 0.3 * (1.0 - jaw), jaw, 0.0, 0.0]);
    }
    arrays
}

pub fn flame() -> Flame {
    Flame::new(arrays(), "synthetic FLAME").unwrap()
}
