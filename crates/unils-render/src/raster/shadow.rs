//! Depth as a far lamp sees it: shadows of the key light, and what hides the sky.

use unils::face::{Vec3, mesh};

/// A picture of depth along a direction, over a ball that holds the head.
#[derive(Debug, Clone)]
pub(super) struct DepthMap {
    /// Texels of a side.
    size: usize,
    /// Rows: along the map's columns, along its rows, and towards the lamp, scaled from metres to texels.
    rows: [Vec3; 3],
    offset: Vec3,
    /// One texel in metres.
    texel: f32,
    /// Corners in texels and height over them; kept for its memory.
    points: Vec<Vec3>,
    /// Height of the highest surface at each texel's middle, in texels; least where there is none.
    heights: Vec<f32>,
}

/// One by the share of the map's side along which shadows fade.
const FADE: f32 = 16.0;

/// Height where there is nothing.
const EMPTY: f32 = f32::MIN;

impl DepthMap {
    /// A map of the ball of that `radius` around `center` in the direction of the lamp.
    pub(super) fn new(size: usize, direction: Vec3, center: Vec3, radius: f32) -> Self {
        let scale = size as f32 / (2.0 * radius);
        let aside = if direction[1].abs() < 0.9 { [0.0, 1.0, 0.0] } else { [1.0, 0.0, 0.0] };
        let across = mesh::unit(mesh::cross(aside, direction));
        let along = mesh::cross(direction, across);
        let rows = [across, along, direction].map(|row| mesh::scale(row, scale));
        let middle = size as f32 / 2.0;
        let offset = rows.map(|row| middle - mesh::dot(row, center));
        Self { size, rows, offset, texel: 1.0 / scale, points: Vec::new(), heights: vec![EMPTY; size * size] }
    }

    /// One texel in metres.
    pub(super) fn texel(&self) -> f32 {
        self.texel
    }

    /// In texels: column, row, height.
    #[inline(always)]
    pub(super) fn place(&self, point: Vec3) -> Vec3 {
        mesh::add(self.rows.map(|row| mesh::dot(row, point)), self.offset)
    }

    /// Draws triangles anew.
    pub(super) fn draw(
        &mut self,
        positions: impl Iterator<Item = Vec3>,
        triangles: impl Iterator<Item = [u32; 3]> + Clone,
    ) {
        let mut points = std::mem::take(&mut self.points);
        points.clear();
        points.extend(positions.map(|point| self.place(point)));
        self.points = points;
        let (size, points) = (self.size, &self.points);
        self.heights.fill(EMPTY);
        for corners in triangles {
            draw_triangle(corners.map(|v| points[v as usize]), size, &mut self.heights);
        }
    }

    /// Share of the lamp's light that reaches a point, `lift` texels towards the lamp from it: smoothed over three
    /// texels. Beyond the map, and fading towards its edge, everything is lit.
    #[inline(always)]
    pub(super) fn light_at(&self, point: Vec3, lift: f32) -> f32 {
        let [x, y, height] = self.place(point);
        let (x, y, height) = (x - 2.0, y - 2.0, height + lift);
        let last = (self.size - 4) as f32;
        if !(x >= 0.0 && y >= 0.0 && x < last && y < last) {
            return 1.0;
        }
        let (column, row) = (x as usize, y as usize);
        let (fx, fy) = (x - column as f32, y - row as f32);
        let (across, along) = ([1.0 - fx, 1.0, 1.0, fx], [1.0 - fy, 1.0, 1.0, fy]);
        let mut sum = 0.0;
        for (step, weight) in along.into_iter().enumerate() {
            let start = (row + step) * self.size + column;
            let line = &self.heights[start..start + 4];
            let lit: [f32; 4] = std::array::from_fn(|i| if line[i] <= height { across[i] } else { 0.0 });
            sum += weight * ((lit[0] + lit[1]) + (lit[2] + lit[3]));
        }
        let light = sum * (1.0 / 9.0);
        let edge = x.min(y).min(last - x).min(last - y) * (FADE / self.size as f32);
        if edge < 1.0 { 1.0 - (1.0 - light) * edge } else { light }
    }
}

/// Raises the texels under a triangle to its height. Triangles that face away cover none: what they hide is hidden
/// by the other side of the body too.
fn draw_triangle([a, b, c]: [Vec3; 3], size: usize, heights: &mut [f32]) {
    let area = (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1]);
    // Also skips numbers that are not finite.
    if !(area > 1e-9 && area < 1e12) {
        return;
    }
    let range = |axis: usize| {
        let (low, high) = (a[axis].min(b[axis]).min(c[axis]), a[axis].max(b[axis]).max(c[axis]));
        // The middles of texels from `low` to `high`.
        ((low - 0.5).ceil().max(0.0) as usize, ((high + 0.5).floor().max(0.0) as usize).min(size))
    };
    let ((left, right), (top, bottom)) = (range(0), range(1));
    let edge = |p: Vec3, q: Vec3, x: f32, y: f32| (q[0] - p[0]) * (y - p[1]) - (q[1] - p[1]) * (x - p[0]);
    let scale = 1.0 / area;
    let slope = ((b[2] - a[2]) * (c[1] - a[1]) - (c[2] - a[2]) * (b[1] - a[1])) * scale;
    for row in top..bottom {
        let y = row as f32 + 0.5;
        let x = left as f32 + 0.5;
        let (mut ab, mut bc, mut ca) = (edge(a, b, x, y), edge(b, c, x, y), edge(c, a, x, y));
        let mut height = (a[2] * bc + b[2] * ca + c[2] * ab) * scale;
        for texel in &mut heights[row * size + left.min(right)..row * size + right] {
            if ab >= 0.0 && bc >= 0.0 && ca >= 0.0 && height > *texel {
                *texel = height;
            }
            ab -= b[1] - a[1];
            bc -= c[1] - b[1];
            ca -= a[1] - c[1];
            height += slope;
        }
    }
}
