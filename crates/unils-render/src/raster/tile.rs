//! One tile of the picture: which triangle is seen at each of eight samples a pixel, and its finished pixels.

use std::ops::{Add, BitOr, Mul};

use super::setup::{Piece, STEPS, Scene, TILE, Vertex};
use super::shade::{Fragments, Shader};

/// Samples a pixel.
pub(super) const SAMPLES: usize = 8;

/// Where the samples are, from the pixel's middle in [`STEPS`]: no two in one row, column or near-diagonal.
const PLACES: [[i32; 2]; SAMPLES] =
    [[16, -48], [-16, 48], [80, 16], [-48, -80], [-80, 80], [-112, -16], [48, 112], [112, -112]];

/// No piece.
const NONE: u32 = u32::MAX;

/// Pieces at most this wide and high, in steps, are covered with 32 bit numbers.
const SMALL: i64 = 1 << 15;

/// The tile's samples: nearness and piece of the surface seen.
struct Samples {
    nearness: [[f32; SAMPLES]; TILE * TILE],
    piece: [[u32; SAMPLES]; TILE * TILE],
}

/// Linear RGB times alpha, and alpha, of a tile's pixels.
pub(super) type Pixels = [[f32; 4]; TILE * TILE];

/// Draws one tile: `origin` is its upper left pixel. What is not covered is transparent.
pub(super) fn draw(scene: &Scene, shader: &Shader, bin: &[u32], origin: [usize; 2], pixels: &mut Pixels) {
    pixels.fill([0.0; 4]);
    if bin.is_empty() {
        return;
    }
    let mut samples =
        Samples { nearness: [[0.0; SAMPLES]; TILE * TILE], piece: [[NONE; SAMPLES]; TILE * TILE] };
    let split = bin.partition_point(|&piece| (piece as usize) < scene.opaque);
    let (opaque, see_through) = bin.split_at(split);
    shader.arch.dispatch(CoverAll { scene, pieces: opaque, origin, samples: &mut samples });
    let mut fragments = Fragments::default();
    resolve(scene, shader, &samples, origin, &mut fragments, pixels);
    // One layer a part: what shines through shows what is behind the part, not the part behind itself.
    for layer in see_through.chunk_by(|&a, &b| scene.pieces[a as usize].part == scene.pieces[b as usize].part)
    {
        samples.piece.fill([NONE; SAMPLES]);
        let behind = samples.nearness;
        shader.arch.dispatch(CoverAll { scene, pieces: layer, origin, samples: &mut samples });
        let mut over = [[0.0; 4]; TILE * TILE];
        resolve(scene, shader, &samples, origin, &mut fragments, &mut over);
        for (pixel, over) in pixels.iter_mut().zip(&over) {
            for (value, added) in pixel.iter_mut().zip(over) {
                *value = *value * (1.0 - over[3]) + added;
            }
        }
        samples.nearness = behind;
    }
}

/// Finds what is nearest at each sample, as a task that is compiled for several vector widths.
struct CoverAll<'a> {
    scene: &'a Scene,
    pieces: &'a [u32],
    origin: [usize; 2],
    samples: &'a mut Samples,
}

impl pulp::NullaryFnOnce for CoverAll<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for &piece in self.pieces {
            cover(self.scene, piece, self.origin, self.samples);
        }
    }
}

/// Takes the samples that a piece covers and where it is nearest.
#[inline(always)]
fn cover(scene: &Scene, index: u32, origin: [usize; 2], samples: &mut Samples) {
    let piece = &scene.pieces[index as usize];
    let corners = piece.corners.map(|vertex| &scene.vertices[vertex as usize]);
    let base = origin.map(|pixel| pixel as i64 * i64::from(STEPS));
    let points =
        corners.map(|vertex| [i64::from(vertex.screen[0]) - base[0], i64::from(vertex.screen[1]) - base[1]]);
    // Pixels of the tile whose samples the piece may cover.
    let mut range = [(0, 0); 2];
    for axis in 0..2 {
        let values = points.map(|point| point[axis]);
        let low = values[0].min(values[1]).min(values[2]).div_euclid(i64::from(STEPS)).max(0);
        let high = values[0].max(values[1]).max(values[2]).div_euclid(i64::from(STEPS)) + 1;
        range[axis] = (low as usize, high.clamp(0, TILE as i64) as usize);
    }
    let plane = Plane::new(corners, points);
    let extent = (0..2)
        .flat_map(|axis| (0..3).map(move |i| (axis, i)))
        .map(|(axis, i)| (points[(i + 1) % 3][axis] - points[i][axis]).abs());
    if extent.max().unwrap_or(0) < SMALL {
        cover_with::<i32>(points, range, &plane, index, samples);
    } else {
        cover_with::<i64>(points, range, &plane, index, samples);
    }
}

/// Nearness over a tile: affine, in pixels from the tile's upper left.
struct Plane {
    start: f32,
    slope: [f32; 2],
    low: f32,
    high: f32,
}

impl Plane {
    fn new(corners: [&Vertex; 3], points: [[i64; 2]; 3]) -> Self {
        let [a, b, c] = points.map(|point| point.map(|value| value as f32 / STEPS as f32));
        let [na, nb, nc] = corners.map(|vertex| vertex.nearness);
        let (ab, ac) = ([b[0] - a[0], b[1] - a[1]], [c[0] - a[0], c[1] - a[1]]);
        let scale = 1.0 / (ab[0] * ac[1] - ac[0] * ab[1]);
        let slope = [
            ((nb - na) * ac[1] - (nc - na) * ab[1]) * scale,
            ((nc - na) * ab[0] - (nb - na) * ac[0]) * scale,
        ];
        let start = na - slope[0] * a[0] - slope[1] * a[1];
        // Slivers have steep slopes; their nearness stays between that of their corners nevertheless.
        Self { start, slope, low: na.min(nb).min(nc), high: na.max(nb).max(nc) }
    }
}

/// Integers that coverage is computed in.
trait Number:
    Copy + Default + PartialOrd + Add<Output = Self> + Mul<Output = Self> + BitOr<Output = Self>
{
    fn from_wide(value: i64) -> Self;

    /// All bits if it is not negative, none if it is.
    fn not_negative(self) -> u32;
}

impl Number for i32 {
    fn from_wide(value: i64) -> Self {
        // Over a tile an edge of a small piece changes by less than 2^29: beyond 2^30 only the sign matters.
        value.clamp(-(1 << 30), 1 << 30) as i32
    }

    #[inline(always)]
    fn not_negative(self) -> u32 {
        !(self >> 31) as u32
    }
}

impl Number for i64 {
    fn from_wide(value: i64) -> Self {
        value
    }

    #[inline(always)]
    fn not_negative(self) -> u32 {
        !(self >> 63) as u32
    }
}

/// All bits if it holds, none if not.
#[inline(always)]
fn mask(holds: bool) -> u32 {
    u32::from(holds).wrapping_neg()
}

#[inline(always)]
fn cover_with<T: Number>(
    points: [[i64; 2]; 3],
    range: [(usize, usize); 2],
    plane: &Plane,
    index: u32,
    samples: &mut Samples,
) {
    let steps = i64::from(STEPS);
    let (mut corner, mut right, mut down) = ([T::default(); 3], [T::default(); 3], [T::default(); 3]);
    let mut offsets = [[T::default(); SAMPLES]; 3];
    let mut most = [T::default(); 3];
    let places = PLACES.map(|place| place.map(|value| T::from_wide(i64::from(value))));
    for edge in 0..3 {
        let (from, to) = (points[edge], points[(edge + 1) % 3]);
        let slope = [from[1] - to[1], to[0] - from[0]];
        let middle = [range[0].0 as i64 * steps + steps / 2, range[1].0 as i64 * steps + steps / 2];
        let at = slope[0] * (middle[0] - from[0]) + slope[1] * (middle[1] - from[1]);
        // A sample on an edge that two triangles share belongs to exactly one of them.
        let owned = slope[0] > 0 || (slope[0] == 0 && slope[1] > 0);
        corner[edge] = T::from_wide(at - i64::from(!owned));
        right[edge] = T::from_wide(slope[0] * steps);
        down[edge] = T::from_wide(slope[1] * steps);
        // Slopes of small pieces are below 2^15.
        let slope = slope.map(T::from_wide);
        offsets[edge] = places.map(|[x, y]| slope[0] * x + slope[1] * y);
        let mut largest = offsets[edge][0];
        for &offset in &offsets[edge][1..] {
            largest = if offset > largest { offset } else { largest };
        }
        most[edge] = largest;
    }
    let shift: [f32; SAMPLES] = std::array::from_fn(|sample| {
        let [x, y] = PLACES[sample].map(|value| value as f32 / STEPS as f32);
        plane.slope[0] * x + plane.slope[1] * y
    });
    let zero = T::default();
    for y in range[1].0..range[1].1 {
        let mut edges = corner;
        for x in range[0].0..range[0].1 {
            let [e0, e1, e2] = edges;
            if (e0 + most[0] >= zero) & (e1 + most[1] >= zero) & (e2 + most[2] >= zero) {
                let middle =
                    plane.start + plane.slope[0] * (x as f32 + 0.5) + plane.slope[1] * (y as f32 + 0.5);
                let nearness = &mut samples.nearness[y * TILE + x];
                let piece = &mut samples.piece[y * TILE + x];
                // Without branches, so that all samples are taken at once.
                for sample in 0..SAMPLES {
                    let inside =
                        (e0 + offsets[0][sample]) | (e1 + offsets[1][sample]) | (e2 + offsets[2][sample]);
                    let here = middle + shift[sample];
                    let here = if here > plane.low { here } else { plane.low };
                    let here = if here < plane.high { here } else { plane.high };
                    let seen = inside.not_negative() & mask(here > nearness[sample]);
                    nearness[sample] =
                        f32::from_bits(nearness[sample].to_bits() & !seen | here.to_bits() & seen);
                    piece[sample] = piece[sample] & !seen | index & seen;
                }
            }
            for edge in 0..3 {
                edges[edge] = edges[edge] + right[edge];
            }
        }
        for edge in 0..3 {
            corner[edge] = corner[edge] + down[edge];
        }
    }
}

/// Lights what the samples see, once a pixel and surface, and adds it to the pixels.
fn resolve(
    scene: &Scene,
    shader: &Shader,
    samples: &Samples,
    origin: [usize; 2],
    fragments: &mut Fragments,
    pixels: &mut Pixels,
) {
    for (pixel, pieces) in samples.piece.iter().enumerate() {
        let mut alike = true;
        for &piece in &pieces[1..] {
            alike &= piece == pieces[0];
        }
        if alike && pieces[0] == NONE {
            continue;
        }
        let middle = [origin[0] + pixel % TILE, origin[1] + pixel / TILE].map(|value| value as f32 + 0.5);
        let mut left = if alike { ALL } else { covered(pieces) };
        while left != 0 {
            let group = if alike { Group::whole(pieces[0]) } else { group(scene, pieces, left) };
            left &= !group.mask;
            let point = [middle[0] + group.shift[0], middle[1] + group.shift[1]];
            let weight = group.mask.count_ones() as f32 / SAMPLES as f32;
            fragments.push(group.piece, point, pixel, weight);
            if fragments.is_full() {
                shader.light(scene, fragments, pixels);
            }
        }
    }
    shader.light(scene, fragments, pixels);
}

/// The samples that see anything, a bit each.
fn covered(pieces: &[u32; SAMPLES]) -> u32 {
    pieces.iter().enumerate().fold(0, |mask, (sample, &piece)| mask | u32::from(piece != NONE) << sample)
}

/// All samples.
const ALL: u32 = (1 << SAMPLES) - 1;

/// Samples of a pixel that are lit at once.
struct Group {
    mask: u32,
    piece: u32,
    /// From the pixel's middle to the middle of the piece's samples, pixels.
    shift: [f32; 2],
}

impl Group {
    /// All samples see one piece.
    fn whole(piece: u32) -> Self {
        Self { mask: ALL, piece, shift: [0.0; 2] }
    }
}

/// Takes the piece with the most of the samples left, and with it those that share a corner with it: one surface.
fn group(scene: &Scene, pieces: &[u32; SAMPLES], left: u32) -> Group {
    let of = |piece: u32| {
        (0..SAMPLES).fold(0, |mask, sample| mask | u32::from(pieces[sample] == piece) << sample) & left
    };
    let first = pieces[left.trailing_zeros() as usize];
    let (mut piece, mut own) = (first, of(first));
    let mut rest = left & !own;
    while rest != 0 {
        let other = pieces[rest.trailing_zeros() as usize];
        let mask = of(other);
        rest &= !mask;
        if mask.count_ones() > own.count_ones() {
            (piece, own) = (other, mask);
        }
    }
    let mut mask = own;
    let best = &scene.pieces[piece as usize];
    for (sample, &other) in pieces.iter().enumerate() {
        if (left & !mask) >> sample & 1 == 1 && touches(best, &scene.pieces[other as usize]) {
            mask |= 1 << sample;
        }
    }
    let mut sum = [0; 2];
    for (sample, place) in PLACES.iter().enumerate() {
        if own >> sample & 1 == 1 {
            sum = [sum[0] + place[0], sum[1] + place[1]];
        }
    }
    let count = own.count_ones() as f32 * STEPS as f32;
    Group { mask, piece, shift: sum.map(|value| value as f32 / count) }
}

/// Whether two pieces are neighbours on one surface.
fn touches(a: &Piece, b: &Piece) -> bool {
    a.part == b.part && a.corners.iter().any(|corner| b.corners.contains(corner))
}
