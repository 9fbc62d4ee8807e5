//! A head made of formulas: for tests and benchmarks that must not depend on a file.

#![allow(dead_code, clippy::unwrap_used, reason = "each user needs its part of it")]

use unils::face::{BlendshapeRig, Eye, Material, Mesh, Part, Shape, Vec3};

/// A ball head with a nose, ball eyes, red lips and a glass monocle (the last only if `glass`).
/// `detail` is the number of rows of the head; it has about `detail`² vertices and twice as many triangles.
pub fn ball_head(detail: usize, glass: bool) -> BlendshapeRig {
    let mut mesh = Mesh::default();
    let bump = |direction: Vec3, at: Vec3, width: f32, height: f32| {
        let distance: f32 = direction.iter().zip(at).map(|(a, b)| (a - b) * (a - b)).sum();
        height * (-distance / (width * width)).exp()
    };
    let head = ball(&mut mesh, detail, |d| {
        let nose = bump(d, [0.0, -0.1, 0.99], 0.17, 0.03);
        let brow = bump(d, [0.38, 0.32, 0.87], 0.2, 0.006) + bump(d, [-0.38, 0.32, 0.87], 0.2, 0.006);
        let socket = bump(d, [0.33, 0.1, 0.94], 0.15, 0.01) + bump(d, [-0.33, 0.1, 0.94], 0.15, 0.01);
        let scale = 1.0 + (nose + brow - socket) / 0.1;
        [d[0] * 0.085 * scale, d[1] * 0.115 * scale, d[2] * 0.1 * scale]
    });
    for &index in &head {
        let [x, y, z] = mesh.positions[index as usize];
        let lip =
            (-(x / 0.028).powi(4) - ((y + 0.052) / 0.009).powi(2)).exp() * if z > 0.0 { 1.0 } else { 0.0 };
        mesh.colors.push([1.0 - 0.15 * lip, 1.0 - 0.75 * lip, 1.0 - 0.7 * lip]);
    }
    let skin = Material {
        name: "skin".into(),
        color: [0.58, 0.33, 0.24, 1.0],
        softness: 0.8,
        ..Material::default()
    };
    part(&mut mesh, "face", skin);
    let mut eyes = Vec::new();
    for is_left in [true, false] {
        let side = if is_left { 1.0 } else { -1.0 };
        let center = [side * 0.029, 0.012, 0.078];
        let vertices = ball(&mut mesh, detail / 3 + 8, |d| {
            [center[0] + d[0] * 0.015, center[1] + d[1] * 0.015, center[2] + d[2] * 0.015]
        });
        for &index in &vertices {
            let point = mesh.positions[index as usize];
            let off = ((point[0] - center[0]).powi(2) + (point[1] - center[1]).powi(2)).sqrt();
            let ring = if point[2] < center[2] { 1.0 } else { off };
            mesh.colors.push(match ring {
                r if r < 0.0028 => [0.02; 3],
                r if r < 0.0065 => [0.15, 0.3, 0.35],
                _ => [1.0; 3],
            });
        }
        let white = Material {
            name: "eye".into(),
            color: [0.8, 0.8, 0.8, 1.0],
            roughness: 0.15,
            ..Material::default()
        };
        part(&mut mesh, if is_left { "eye_left" } else { "eye_right" }, white);
        eyes.push(Eye { is_left, center, vertices });
    }
    if glass {
        let start = mesh.positions.len() as u32;
        for (x, y) in [(0.008, -0.01), (0.05, -0.01), (0.05, 0.035), (0.008, 0.035)] {
            mesh.positions.push([x, y, 0.112]);
            mesh.colors.push([1.0; 3]);
        }
        mesh.triangles.extend([[start, start + 1, start + 2], [start, start + 2, start + 3]]);
        let blue = Material {
            name: "glass".into(),
            color: [0.1, 0.25, 0.8, 0.4],
            roughness: 0.3,
            double_sided: true,
            ..Material::default()
        };
        part(&mut mesh, "glass", blue);
    }
    let lower = head.iter().copied().filter(|&v| mesh.positions[v as usize][1] < -0.05).collect::<Vec<_>>();
    let deltas = lower.iter().map(|&v| [0.0, (mesh.positions[v as usize][1] + 0.05) * 0.4, 0.0]).collect();
    let jaw = Shape { name: "jawOpen".into(), vertices: lower, deltas };
    BlendshapeRig::new(mesh, vec![jaw], [0.0, -0.06, -0.02], Vec::new(), eyes, "ball head").unwrap()
}

/// Adds a ball of `rows` rows that `place` maps from directions; its vertices.
fn ball(mesh: &mut Mesh, rows: usize, place: impl Fn(Vec3) -> Vec3) -> Vec<u32> {
    let first = mesh.positions.len() as u32;
    let (columns, rows) = (rows as u32, rows as u32);
    for row in 0..=rows {
        let polar = std::f32::consts::PI * row as f32 / rows as f32;
        for column in 0..columns {
            let around = std::f32::consts::TAU * column as f32 / columns as f32;
            let radius = polar.sin();
            mesh.positions.push(place([radius * around.sin(), polar.cos(), radius * around.cos()]));
        }
    }
    for row in 0..rows {
        for column in 0..columns {
            let next = (column + 1) % columns;
            let at = |row: u32, column: u32| first + row * columns + column;
            let (a, b, c, d) = (at(row, column), at(row, next), at(row + 1, next), at(row + 1, column));
            if row > 0 {
                mesh.triangles.push([a, c, b]);
            }
            if row + 1 < rows {
                mesh.triangles.push([a, d, c]);
            }
        }
    }
    (first..mesh.positions.len() as u32).collect()
}

/// Makes a part of the triangles added since the last one.
fn part(mesh: &mut Mesh, name: &str, material: Material) {
    let start = mesh.parts.last().map_or(0, |part| part.triangles.end);
    mesh.parts.push(Part { name: name.into(), triangles: start..mesh.triangles.len(), material });
}

/// A face that never moves: any mesh, for tests of shapes whose picture is known.
pub struct Still(pub Mesh);

impl unils::face::Face for Still {
    fn space(&self) -> unils::motion::Space {
        unils::motion::Space::Arkit55
    }

    fn mesh(&self) -> &Mesh {
        &self.0
    }

    fn pose(&self, _frame: &[f32], positions: &mut Vec<Vec3>) {
        positions.clone_from(&self.0.positions);
    }
}

impl Still {
    /// Polygons, each a fan of triangles and a part with its material.
    pub fn new(polygons: &[(&[Vec3], Material)]) -> Self {
        let mut mesh = Mesh::default();
        for (index, (corners, material)) in polygons.iter().enumerate() {
            let first = mesh.positions.len() as u32;
            mesh.positions.extend_from_slice(corners);
            mesh.triangles.extend((2..corners.len() as u32).map(|i| [first, first + i - 1, first + i]));
            part(&mut mesh, &format!("polygon {index}"), material.clone());
        }
        Self(mesh)
    }
}
