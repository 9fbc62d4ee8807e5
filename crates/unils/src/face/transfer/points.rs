//! Which point of the ARKit head each vertex of FLAME is, and how both move there.

use super::align::{Side, Similarity, align, iterate};
use super::linear;
use super::surface::{Surface, V, add, cross, dot, scale, sub, unit};
use super::{Correspondence, FitOptions};
use crate::face::flame::{EXPRESSIONS, Flame, IDENTITY};
use crate::face::mesh::{Mesh, Vec3};
use crate::face::{BlendshapeRig, Face};
use crate::motion::{Space, Unit};
use crate::{Error, Result};

/// Parts of a head that are not skin, by what their names contain.
const NOT_SKIN: [&str; 16] = [
    "eyeball",
    "eye_",
    "sclera",
    "iris",
    "pupil",
    "cornea",
    "lacrimal",
    "eyeblend",
    "occlusion",
    "teeth",
    "tooth",
    "gum",
    "tongue",
    "lash",
    "hair",
    "cavity",
];

/// A vertex of FLAME and the point of the head's surface that corresponds to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Match {
    pub(super) vertex: u32,
    pub(super) corners: [u32; 3],
    pub(super) weights: [f64; 3],
}

/// How the two heads lie on each other.
pub(super) struct Correspondences {
    /// From FLAME to the head.
    pub(super) similarity: Similarity,
    /// FLAME's identity that resembles the head.
    pub(super) identity: Vec<f32>,
    pub(super) matches: Vec<Match>,
    /// Distances between the surfaces at the matches, FLAME's millimetres.
    pub(super) gaps_mm: Vec<f64>,
}

/// Finds or checks the correspondences that the options ask for.
pub(super) fn correspond(
    flame: &Flame,
    head: &BlendshapeRig,
    options: &FitOptions,
) -> Result<Correspondences> {
    match &options.correspondence {
        Correspondence::SameOrder => {
            let (ours, theirs) = (flame.vertices(), head.mesh().positions.len());
            if ours != theirs {
                let what = format!("{theirs} vertices, expected FLAME's {ours} in the same order");
                return Err(Error::face("ARKit head", what)
                    .with_hint("for another mesh let the correspondence be found by closest points"));
            }
            given(flame, head, (0..ours as u32).map(Some))
        }
        Correspondence::Indices(list) => {
            if list.len() != flame.vertices() {
                let what =
                    format!("{} numbers, expected one for each of FLAME's {}", list.len(), flame.vertices());
                return Err(Error::argument("vertex correspondence", what));
            }
            given(flame, head, list.iter().copied())
        }
        Correspondence::Closest { landmarks, align } => found(flame, head, options, landmarks, *align),
    }
}

fn given(
    flame: &Flame,
    head: &BlendshapeRig,
    list: impl Iterator<Item = Option<u32>>,
) -> Result<Correspondences> {
    let positions = &head.mesh().positions;
    let (mut matches, mut pairs) = (Vec::new(), Vec::new());
    for (vertex, other) in list.enumerate() {
        let Some(other) = other else { continue };
        let Some(&there) = positions.get(other as usize) else {
            let what = format!("FLAME's vertex {vertex} is given vertex {other} of {}", positions.len());
            return Err(Error::argument("vertex correspondence", what));
        };
        if flame.eye_of(vertex).is_none() {
            matches.push(Match { vertex: vertex as u32, corners: [other; 3], weights: [1.0, 0.0, 0.0] });
            pairs.push((double(flame.template()[vertex]), double(there)));
        }
    }
    let Some(similarity) = Similarity::from_pairs(&pairs) else {
        return Err(Error::argument(
            "vertex correspondence",
            format!("{} pairs do not fix a similarity", pairs.len()),
        )
        .with_hint("give three or more vertices that are not all in one place"));
    };
    let gap = |&(from, to): &(V, V)| length(sub(similarity.undo(to), from)) * 1e3;
    let gaps_mm = pairs.iter().map(gap).collect();
    Ok(Correspondences { similarity, identity: Vec::new(), matches, gaps_mm })
}

fn found(
    flame: &Flame,
    head: &BlendshapeRig,
    options: &FitOptions,
    landmarks: &[(Vec3, Vec3)],
    aligned: bool,
) -> Result<Correspondences> {
    let theirs = head_side(head);
    let face = flame_face(flame);
    let mut positions: Vec<V> = flame.template().iter().copied().map(double).collect();
    let ours = flame_side(flame, &face, &positions);
    let start = match landmarks {
        [] if aligned => align(&ours, &theirs),
        [] => Some(Similarity::IDENTITY),
        pairs => {
            let pairs: Vec<_> = pairs.iter().map(|&(a, b)| (double(a), double(b))).collect();
            let start = Similarity::from_pairs(&pairs);
            if aligned {
                start.and_then(|start| iterate(&ours, &theirs, start, 2500, 60)).map(|(_, s)| s)
            } else {
                start
            }
        }
    };
    let Some(mut similarity) = start else { return Err(apart("they could not be laid on each other")) };
    let mut identity = Vec::new();
    if options.identity_components > 0 && aligned {
        let count = options.identity_components.min(IDENTITY);
        for _ in 0..IDENTITY_ROUNDS {
            let side = flame_side(flame, &face, &positions);
            identity = fit_identity(flame, &side, &face, &theirs.surface, &similarity, count)
                .ok_or_else(|| apart("no identity of FLAME resembles the head"))?;
            positions = flame.identity(&identity)?.into_iter().map(double).collect();
            let side = flame_side(flame, &face, &positions);
            similarity =
                iterate(&side, &theirs, similarity, 2500, 20).map_or(similarity, |(_, better)| better);
        }
    }
    let side = flame_side(flame, &face, &positions);
    let normals = &side.points;
    let mut candidates: Vec<(Match, f64)> = Vec::new();
    for (&vertex, &(point, normal)) in face.iter().zip(normals) {
        if let Some(near) = theirs.surface.nearest(similarity.apply(point), similarity.turn(normal)) {
            let gap = near.squared_distance.sqrt() / similarity.scale * 1e3;
            candidates.push((Match { vertex, corners: near.corners, weights: near.weights }, gap));
        }
    }
    let mut gaps: Vec<f64> = candidates.iter().map(|(_, gap)| *gap).collect();
    let limit = (4.0 * middle(&mut gaps)).clamp(1.0, options.largest_gap_mm);
    candidates.retain(|(_, gap)| *gap <= limit);
    if candidates.len() < 30 || 4 * candidates.len() < face.len() {
        let what =
            format!("{} of {} points of FLAME's face lie within {limit:.1} mm", candidates.len(), face.len());
        return Err(apart(&what));
    }
    let (matches, gaps_mm) = candidates.into_iter().unzip();
    Ok(Correspondences { similarity, identity, matches, gaps_mm })
}

fn apart(what: &str) -> Error {
    Error::face("FLAME and ARKit head", format!("do not overlap: {what}")).with_hint(
        "give three or more landmarks (eye corners, tip of the nose, corners of the mouth) on both heads, and check \
         that the head is a face at rest, in metres",
    )
}

/// Rounds of identity and alignment.
const IDENTITY_ROUNDS: usize = 12;

/// How far FLAME's surface is expected to miss another head, metres: what the identity's prior is weighed against,
/// for all the points together.
const MISS: f64 = 1e-3;

/// Identity coefficients, each expected near 0 with a spread of 1, that bring the face nearest to the surface, along
/// its normals.
fn fit_identity(
    flame: &Flame,
    side: &Side,
    face: &[u32],
    surface: &Surface,
    similarity: &Similarity,
    count: usize,
) -> Option<Vec<f32>> {
    let directions: Vec<Vec<Vec3>> = (0..count).map(|i| flame.direction(i).collect()).collect();
    let (mut matrix, mut right) = (vec![0.0; count * count], vec![0.0; count]);
    // neighbours miss together: a hundred points say as much as one
    let prior = 100.0 * MISS * MISS;
    (0..count).for_each(|i| matrix[i * count + i] = prior);
    let mut row = vec![0.0; count];
    for (&vertex, &(point, normal)) in face.iter().zip(&side.points) {
        let Some(near) = surface.nearest(similarity.apply(point), similarity.turn(normal)) else { continue };
        let gap = near.squared_distance.sqrt() / similarity.scale;
        if gap > 10.0 * MISS {
            continue;
        }
        let normal = similarity.turn_back(near.normal);
        let rest = double(flame.template()[vertex as usize]);
        let distance = dot(normal, sub(similarity.undo(near.point), rest));
        row.iter_mut().zip(&directions).for_each(|(x, d)| *x = dot(normal, double(d[vertex as usize])));
        for i in 0..count {
            right[i] += row[i] * distance;
            for j in 0..=i {
                matrix[i * count + j] += row[i] * row[j];
            }
        }
    }
    for i in 0..count {
        for j in 0..i {
            matrix[j * count + i] = matrix[i * count + j];
        }
    }
    let solution = linear::solve(matrix, right, count, 1)?;
    Some(solution.iter().map(|&x| x.clamp(-4.0, 4.0) as f32).collect())
}

/// FLAME's vertices that expressions move, without the eyeballs.
fn flame_face(flame: &Flame) -> Vec<u32> {
    let mut squares = vec![0.0_f32; flame.vertices()];
    for index in IDENTITY..IDENTITY + EXPRESSIONS {
        for (sum, d) in squares.iter_mut().zip(flame.direction(index)) {
            *sum += crate::face::mesh::dot(d, d);
        }
    }
    let used = used(flame.vertices(), flame.triangles());
    moving(&squares, |vertex| flame.eye_of(vertex).is_none() && used[vertex])
}

/// The vertices whose squared movement is at least a hundredth of the largest, among those that count.
fn moving(squares: &[f32], counts: impl Fn(usize) -> bool) -> Vec<u32> {
    let largest =
        squares.iter().enumerate().filter(|(v, _)| counts(*v)).fold(0.0_f32, |most, (_, &x)| most.max(x));
    let kept = squares.iter().enumerate().filter(|(v, x)| **x > 0.01 * largest && counts(*v));
    kept.map(|(vertex, _)| vertex as u32).collect()
}

fn used(vertices: usize, triangles: &[[u32; 3]]) -> Vec<bool> {
    let mut used = vec![false; vertices];
    triangles.as_flattened().iter().for_each(|&vertex| used[vertex as usize] = true);
    used
}

fn flame_side(flame: &Flame, face: &[u32], positions: &[V]) -> Side {
    let skin = flame.triangles().iter().copied();
    let skin: Vec<_> = skin.filter(|c| c.iter().all(|&v| flame.eye_of(v as usize).is_none())).collect();
    let normals = normals(positions, &skin);
    let points = face.iter().map(|&v| (positions[v as usize], normals[v as usize])).collect();
    Side { surface: Surface::new(positions.to_vec(), skin), points }
}

fn head_side(head: &BlendshapeRig) -> Side {
    let mesh = head.mesh();
    let positions: Vec<V> = mesh.positions.iter().copied().map(double).collect();
    let skin = skin(mesh);
    let mut squares = vec![0.0_f32; positions.len()];
    for (_, shape) in fitted(head) {
        for (&vertex, &delta) in shape.vertices.iter().zip(&shape.deltas) {
            squares[vertex as usize] += crate::face::mesh::dot(delta, delta);
        }
    }
    let used = used(positions.len(), &skin);
    let normals = normals(&positions, &skin);
    let points = moving(&squares, |vertex| used[vertex]);
    let points = points.into_iter().map(|v| (positions[v as usize], normals[v as usize])).collect();
    Side { surface: Surface::new(positions, skin), points }
}

/// Triangles of a head's skin: of all parts if no name tells them apart.
fn skin(mesh: &Mesh) -> Vec<[u32; 3]> {
    let is_skin = |name: &str| !NOT_SKIN.iter().any(|word| name.to_lowercase().contains(word));
    let parts = mesh.parts.iter().filter(|part| is_skin(&part.name));
    let skin: Vec<_> = parts.flat_map(|part| &mesh.triangles[part.triangles.clone()]).copied().collect();
    if skin.is_empty() { mesh.triangles.clone() } else { skin }
}

/// Unit normals of the vertices, weighted by the triangles around; vertices at one place share theirs.
fn normals(positions: &[V], triangles: &[[u32; 3]]) -> Vec<V> {
    let mut first = std::collections::HashMap::new();
    let place: Vec<usize> = positions
        .iter()
        .enumerate()
        .map(|(vertex, position)| *first.entry(position.map(f64::to_bits)).or_insert(vertex))
        .collect();
    let mut normals = vec![[0.0; 3]; positions.len()];
    for corners in triangles {
        let [a, b, c] = corners.map(|v| positions[v as usize]);
        let normal = cross(sub(b, a), sub(c, a));
        for vertex in corners {
            let sum = &mut normals[place[*vertex as usize]];
            *sum = add(*sum, normal);
        }
    }
    place.iter().map(|&vertex| unit(normals[vertex])).collect()
}

/// ARKit's shapes of a head with their channels.
pub(super) fn fitted(head: &BlendshapeRig) -> impl Iterator<Item = (usize, &crate::face::Shape)> {
    head.shapes().iter().filter_map(|shape| {
        let channel = Space::Arkit55.index(&shape.name)?;
        (Space::Arkit55.channels()[channel].unit == Unit::Coefficient).then_some((channel, shape))
    })
}

/// How a head's shapes move the matched points, millimetres in FLAME's frame: one column (3 per match) a channel of the
/// 52; empty for shapes that the head does not have.
pub(super) fn shape_columns(head: &BlendshapeRig, correspondences: &Correspondences) -> Vec<Vec<f64>> {
    let Correspondences { similarity, matches, .. } = correspondences;
    let mut columns = vec![Vec::new(); super::SHAPES];
    let mut dense = vec![[0.0_f64; 3]; head.mesh().positions.len()];
    for (channel, shape) in fitted(head) {
        dense.fill([0.0; 3]);
        for (&vertex, &delta) in shape.vertices.iter().zip(&shape.deltas) {
            dense[vertex as usize] = double(delta);
        }
        let moved = |m: &Match| {
            let mixed = m
                .corners
                .iter()
                .zip(m.weights)
                .fold([0.0; 3], |sum, (&corner, weight)| add(sum, scale(dense[corner as usize], weight)));
            scale(similarity.turn_back(mixed), 1e3 / similarity.scale)
        };
        columns[channel] = matches.iter().flat_map(moved).collect();
    }
    columns
}

pub(super) fn double(v: Vec3) -> V {
    v.map(f64::from)
}

fn length(v: V) -> f64 {
    dot(v, v).sqrt()
}

/// The median; 0 of nothing.
fn middle(values: &mut [f64]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let half = values.len() / 2;
    *values.select_nth_unstable_by(half, f64::total_cmp).1
}
