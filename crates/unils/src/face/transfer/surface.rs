//! The nearest point of a triangle mesh, by a tree of bounding boxes.

/// A point or direction in double precision.
pub(super) type V = [f64; 3];

pub(super) fn add(a: V, b: V) -> V {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

pub(super) fn sub(a: V, b: V) -> V {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

pub(super) fn scale(a: V, factor: f64) -> V {
    a.map(|value| value * factor)
}

pub(super) fn dot(a: V, b: V) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

pub(super) fn cross(a: V, b: V) -> V {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

pub(super) fn unit(a: V) -> V {
    scale(a, 1.0 / dot(a, a).sqrt().max(1e-300))
}

/// Triangles of a leaf.
const LEAF: usize = 6;

/// Directions that agree less than this (72 degrees) are those of another sheet: of the other lip, or of the inside.
const FACING: f64 = 0.3;

/// A point of a surface.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Nearest {
    pub(super) corners: [u32; 3],
    /// How the corners mix to the point.
    pub(super) weights: [f64; 3],
    pub(super) point: V,
    /// The triangle's, of length 1.
    pub(super) normal: V,
    pub(super) squared_distance: f64,
}

struct Node {
    low: V,
    high: V,
    /// Triangles `start..start + count`, or, with a count of 0, the children `start` and `start + 1`.
    start: usize,
    count: usize,
}

/// A mesh that can be asked for its nearest point.
pub(super) struct Surface {
    positions: Vec<V>,
    triangles: Vec<[u32; 3]>,
    normals: Vec<V>,
    nodes: Vec<Node>,
}

impl Surface {
    /// Prepares a mesh; every corner is one of the positions.
    pub(super) fn new(positions: Vec<V>, mut triangles: Vec<[u32; 3]>) -> Self {
        triangles.retain(|corners| {
            let [a, b, c] = corners.map(|v| positions[v as usize]);
            let normal = cross(sub(b, a), sub(c, a));
            dot(normal, normal) > 0.0
        });
        let mut surface = Self { positions, normals: Vec::new(), nodes: Vec::new(), triangles };
        surface.build();
        let normal = |corners: &[u32; 3]| {
            let [a, b, c] = corners.map(|v| surface.positions[v as usize]);
            unit(cross(sub(b, a), sub(c, a)))
        };
        surface.normals = surface.triangles.iter().map(normal).collect();
        surface
    }

    fn build(&mut self) {
        let root = self.node(0, self.triangles.len());
        self.nodes.push(root);
        let mut next = 0;
        while next < self.nodes.len() {
            let (start, count) = (self.nodes[next].start, self.nodes[next].count);
            if count > LEAF {
                let (low, high) = (self.nodes[next].low, self.nodes[next].high);
                let axis =
                    (1..3).fold(
                        0,
                        |best, axis| {
                            if high[axis] - low[axis] > high[best] - low[best] { axis } else { best }
                        },
                    );
                let positions = &self.positions;
                let centre = |corners: &[u32; 3]| -> f64 {
                    corners.iter().map(|&v| positions[v as usize][axis]).sum()
                };
                let half = count / 2;
                self.triangles[start..start + count]
                    .select_nth_unstable_by(half, |a, b| centre(a).total_cmp(&centre(b)));
                let children = [self.node(start, half), self.node(start + half, count - half)];
                (self.nodes[next].start, self.nodes[next].count) = (self.nodes.len(), 0);
                self.nodes.extend(children);
            }
            next += 1;
        }
    }

    fn node(&self, start: usize, count: usize) -> Node {
        let (mut low, mut high) = ([f64::INFINITY; 3], [f64::NEG_INFINITY; 3]);
        for &vertex in self.triangles[start..start + count].as_flattened() {
            let position = self.positions[vertex as usize];
            for axis in 0..3 {
                low[axis] = low[axis].min(position[axis]);
                high[axis] = high[axis].max(position[axis]);
            }
        }
        Node { low, high, start, count }
    }

    /// The nearest point among the triangles that face roughly the way of `normal`.
    pub(super) fn nearest(&self, point: V, normal: V) -> Option<Nearest> {
        if self.triangles.is_empty() {
            return None;
        }
        let mut best: Option<Nearest> = None;
        let mut open = vec![(0_usize, 0.0_f64)];
        while let Some((index, distance)) = open.pop() {
            if best.is_some_and(|best| distance >= best.squared_distance) {
                continue;
            }
            let node = &self.nodes[index];
            if node.count == 0 {
                let [a, b] =
                    [node.start, node.start + 1].map(|child| (child, self.nodes[child].distance(point)));
                // the nearer one is looked at first
                open.extend(if a.1 > b.1 { [a, b] } else { [b, a] });
                continue;
            }
            for triangle in node.start..node.start + node.count {
                if dot(self.normals[triangle], normal) < FACING {
                    continue;
                }
                let found = self.on_triangle(triangle, point);
                if best.is_none_or(|best| found.squared_distance < best.squared_distance) {
                    best = Some(found);
                }
            }
        }
        best
    }

    /// The nearest point of a triangle: its inside, else that of its edges.
    fn on_triangle(&self, triangle: usize, point: V) -> Nearest {
        let corners = self.triangles[triangle];
        let [a, b, c] = corners.map(|vertex| self.positions[vertex as usize]);
        let (ab, ac, ap) = (sub(b, a), sub(c, a), sub(point, a));
        let (d00, d01, d11, d20, d21) = (dot(ab, ab), dot(ab, ac), dot(ac, ac), dot(ap, ab), dot(ap, ac));
        let determinant = d00 * d11 - d01 * d01;
        let (v, w) = ((d11 * d20 - d01 * d21) / determinant, (d00 * d21 - d01 * d20) / determinant);
        let result = |weights: [f64; 3]| {
            let at = add(add(scale(a, weights[0]), scale(b, weights[1])), scale(c, weights[2]));
            let gap = sub(point, at);
            let normal = self.normals[triangle];
            Nearest { corners, weights, point: at, normal, squared_distance: dot(gap, gap) }
        };
        if v >= 0.0 && w >= 0.0 && v + w <= 1.0 {
            return result([1.0 - v - w, v, w]);
        }
        let along = |from: V, to: V| {
            let edge = sub(to, from);
            (dot(sub(point, from), edge) / dot(edge, edge).max(1e-300)).clamp(0.0, 1.0)
        };
        let (s, t, u) = (along(a, b), along(b, c), along(c, a));
        let edges = [[1.0 - s, s, 0.0], [0.0, 1.0 - t, t], [u, 0.0, 1.0 - u]].map(result);
        edges.into_iter().fold(edges[0], |best, edge| {
            if edge.squared_distance < best.squared_distance { edge } else { best }
        })
    }
}

impl Node {
    /// Squared distance of a point from the box.
    fn distance(&self, point: V) -> f64 {
        (0..3)
            .map(|axis| (self.low[axis] - point[axis]).max(point[axis] - self.high[axis]).max(0.0).powi(2))
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A wavy sheet of 20 x 20 squares.
    fn sheet() -> Surface {
        let at = |i: u32, j: u32| {
            let (x, y) = (f64::from(i) / 20.0, f64::from(j) / 20.0);
            [x, y, 0.1 * (9.0 * x).sin() * (7.0 * y).cos()]
        };
        let positions = (0..21).flat_map(|i| (0..21).map(move |j| at(i, j))).collect();
        let square = |i: u32, j: u32| {
            [
                [21 * i + j, 21 * i + j + 21, 21 * i + j + 1],
                [21 * i + j + 21, 21 * i + j + 22, 21 * i + j + 1],
            ]
        };
        Surface::new(positions, (0..20).flat_map(|i| (0..20).flat_map(move |j| square(i, j))).collect())
    }

    #[test]
    fn the_tree_finds_what_a_search_of_all_finds() {
        let surface = sheet();
        for i in 0..200 {
            let value = |k: f64| (f64::from(i) * k).sin() * 0.7 + 0.5;
            let point = [value(1.3), value(2.1), value(0.7)];
            let normal = [0.0, 0.0, 1.0];
            let all = (0..surface.triangles.len()).filter(|&t| dot(surface.normals[t], normal) >= FACING);
            let least =
                all.map(|t| surface.on_triangle(t, point).squared_distance).fold(f64::INFINITY, f64::min);
            let found = surface.nearest(point, normal).unwrap();
            assert!((found.squared_distance - least).abs() < 1e-12);
            assert!((found.weights.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        }
        assert!(surface.nearest([0.5; 3], [0.0, 0.0, -1.0]).is_none(), "nothing faces down");
        assert!(
            Surface::new(vec![[0.0; 3]; 3], vec![[0, 1, 2]]).nearest([0.0; 3], [0.0, 0.0, 1.0]).is_none()
        );
    }
}
