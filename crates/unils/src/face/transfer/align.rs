//! Putting one head onto another: a similarity (Umeyama 1991, by Horn's quaternions 1987), found from pairs of points
//! or by iterated closest points (Besl and McKay 1992) from several starts.

use rayon::prelude::*;

use super::surface::{Surface, V, add, cross, dot, scale, sub, unit};

/// `x` to `scale * rotation x + translation`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Similarity {
    pub(super) scale: f64,
    pub(super) rotation: [V; 3],
    pub(super) translation: V,
}

impl Similarity {
    pub(super) const IDENTITY: Self = Self {
        scale: 1.0,
        rotation: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        translation: [0.0; 3],
    };

    pub(super) fn turn(&self, v: V) -> V {
        self.rotation.map(|row| dot(row, v))
    }

    /// The rotation undone.
    pub(super) fn turn_back(&self, v: V) -> V {
        let column = |i: usize| [self.rotation[0][i], self.rotation[1][i], self.rotation[2][i]];
        [0, 1, 2].map(|i| dot(column(i), v))
    }

    pub(super) fn apply(&self, v: V) -> V {
        add(scale(self.turn(v), self.scale), self.translation)
    }

    pub(super) fn undo(&self, v: V) -> V {
        scale(self.turn_back(sub(v, self.translation)), 1.0 / self.scale)
    }

    /// The similarity that takes the first points of the pairs nearest to the second ones, in the sum of squares.
    /// `None` for fewer than three pairs, or points that are all one.
    pub(super) fn from_pairs(pairs: &[(V, V)]) -> Option<Self> {
        if pairs.len() < 3 {
            return None;
        }
        let count = pairs.len() as f64;
        let mean = |side: fn(&(V, V)) -> V| {
            scale(pairs.iter().fold([0.0; 3], |sum, pair| add(sum, side(pair))), 1.0 / count)
        };
        let (from, to) = (mean(|pair| pair.0), mean(|pair| pair.1));
        let (mut products, mut spread, mut target_spread) = ([[0.0; 3]; 3], 0.0, 0.0);
        for &(a, b) in pairs {
            let (a, b) = (sub(a, from), sub(b, to));
            spread += dot(a, a);
            target_spread += dot(b, b);
            for (row, value) in products.iter_mut().zip(a) {
                *row = add(*row, scale(b, value));
            }
        }
        if !(spread > 0.0 && target_spread > 0.0) {
            return None;
        }
        let rotation = rotation_of(&products);
        let turned = Self { rotation, ..Self::IDENTITY };
        let agreement: f64 = pairs.iter().map(|&(a, b)| dot(turned.turn(sub(a, from)), sub(b, to))).sum();
        let factor = agreement / spread;
        if !(factor.is_finite() && factor > 0.0) {
            return None;
        }
        let translation = sub(to, scale(turned.turn(from), factor));
        Some(Self { scale: factor, rotation, translation })
    }
}

impl Similarity {
    /// One step towards the least distances from the planes at the pairs (Chen and Medioni 1992), scale included.
    fn slid(&self, pairs: &[Pair]) -> Option<Self> {
        const N: usize = 7;
        let placed: Vec<V> = pairs.iter().map(|(_, (a, _), _)| self.apply(*a)).collect();
        let centre =
            scale(placed.iter().fold([0.0; 3], |sum, p| add(sum, *p)), 1.0 / placed.len().max(1) as f64);
        let (mut matrix, mut right) = (vec![0.0; N * N], vec![0.0; N]);
        for (&point, (_, (_, b), normal)) in placed.iter().zip(pairs) {
            let arm = sub(point, centre);
            let turn = cross(arm, *normal);
            let row = [turn[0], turn[1], turn[2], normal[0], normal[1], normal[2], dot(arm, *normal)];
            let distance = dot(*normal, sub(*b, point));
            for i in 0..N {
                right[i] += row[i] * distance;
                (0..N).for_each(|j| matrix[i * N + j] += row[i] * row[j]);
            }
        }
        (0..N).for_each(|i| matrix[i * N + i] *= 1.0 + 1e-9);
        let step = super::linear::solve(matrix, right, N, 1)?;
        // A rotation of a radian or a doubled size is no small step: the planes say nothing about it.
        let angle = dot([step[0], step[1], step[2]], [step[0], step[1], step[2]]).sqrt();
        if !(angle < 0.5 && step[6].abs() < 0.5) {
            return None;
        }
        let half = (0.5 * angle).tan() / angle.max(1e-300);
        let turned = Self {
            rotation: quaternion([1.0, step[0] * half, step[1] * half, step[2] * half]),
            ..Self::IDENTITY
        };
        let factor = 1.0 + step[6];
        let columns = |i: usize| turned.turn([self.rotation[0][i], self.rotation[1][i], self.rotation[2][i]]);
        let columns = [columns(0), columns(1), columns(2)];
        let shifted = scale(turned.turn(sub(self.translation, centre)), factor);
        Some(Self {
            scale: self.scale * factor,
            rotation: [0, 1, 2].map(|row| [columns[0][row], columns[1][row], columns[2][row]]),
            translation: add(add(shifted, centre), [step[3], step[4], step[5]]),
        })
    }
}

/// The rotation that agrees best with the sums of products `m[i][j] = sum a_i b_j`: Horn's largest eigenvector.
fn rotation_of(m: &[V; 3]) -> [V; 3] {
    let [[xx, xy, xz], [yx, yy, yz], [zx, zy, zz]] = *m;
    let matrix = [
        [xx + yy + zz, yz - zy, zx - xz, xy - yx],
        [yz - zy, xx - yy - zz, xy + yx, zx + xz],
        [zx - xz, xy + yx, yy - xx - zz, yz + zy],
        [xy - yx, zx + xz, yz + zy, zz - xx - yy],
    ];
    quaternion(largest_eigenvector(matrix))
}

/// The rotation of a quaternion of any length.
fn quaternion(q: [f64; 4]) -> [V; 3] {
    let length = q.iter().map(|value| value * value).sum::<f64>().sqrt().max(1e-300);
    let [w, x, y, z] = q.map(|value| value / length);
    [
        [w * w + x * x - y * y - z * z, 2.0 * (x * y - w * z), 2.0 * (x * z + w * y)],
        [2.0 * (x * y + w * z), w * w - x * x + y * y - z * z, 2.0 * (y * z - w * x)],
        [2.0 * (x * z - w * y), 2.0 * (y * z + w * x), w * w - x * x - y * y + z * z],
    ]
}

/// Of a symmetric matrix, by Jacobi's rotations, at length 1.
fn largest_eigenvector(mut a: [[f64; 4]; 4]) -> [f64; 4] {
    let mut vectors = [[0.0; 4]; 4];
    for (i, vector) in vectors.iter_mut().enumerate() {
        vector[i] = 1.0;
    }
    let size: f64 = a.as_flattened().iter().map(|value| value * value).sum();
    for _ in 0..40 {
        let pairs = (0..4).flat_map(|p| (p + 1..4).map(move |q| (p, q)));
        let rest: f64 = pairs.clone().map(|(p, q)| a[p][q] * a[p][q]).sum();
        if rest <= 1e-30 * size {
            break;
        }
        for (p, q) in pairs {
            if a[p][q] == 0.0 {
                continue;
            }
            let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
            let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
            let c = 1.0 / (t * t + 1.0).sqrt();
            let s = t * c;
            for row in &mut a {
                (row[p], row[q]) = (c * row[p] - s * row[q], s * row[p] + c * row[q]);
            }
            let (first, second) = (a[p], a[q]);
            a[p] = std::array::from_fn(|k| c * first[k] - s * second[k]);
            a[q] = std::array::from_fn(|k| s * first[k] + c * second[k]);
            for row in &mut vectors {
                (row[p], row[q]) = (c * row[p] - s * row[q], s * row[p] + c * row[q]);
            }
        }
    }
    let best = (1..4).fold(0, |best, i| if a[i][i] > a[best][best] { i } else { best });
    vectors.map(|row| row[best])
}

/// A head as the alignment sees it: its surface, and the points of its face with their normals.
pub(super) struct Side {
    pub(super) surface: Surface,
    pub(super) points: Vec<(V, V)>,
}

impl Side {
    /// Mean of the points and root mean square distance from it.
    fn extent(&self) -> (V, f64) {
        let count = self.points.len().max(1) as f64;
        let mean = scale(self.points.iter().fold([0.0; 3], |sum, (point, _)| add(sum, *point)), 1.0 / count);
        let squares: f64 = self.points.iter().map(|(p, _)| dot(sub(*p, mean), sub(*p, mean))).sum();
        (mean, (squares / count).sqrt())
    }

    /// Rows of a frame whose last axis is the way the face looks: the mean of its normals.
    fn upright(&self) -> [V; 3] {
        let front = unit(self.points.iter().fold([1e-9, 0.0, 0.0], |sum, (_, normal)| add(sum, *normal)));
        let least = (1..3).fold(0, |best, i| if front[i].abs() < front[best].abs() { i } else { best });
        let mut other = [0.0; 3];
        other[least] = 1.0;
        let side = unit(cross(other, front));
        [side, cross(front, side), front]
    }
}

/// Points of each side in the rounds that look for a start, and in the rounds that refine.
const COARSE: usize = 250;
const FINE: usize = 2500;

/// Share of the pairs that count: the nearest ones.
const KEPT: f64 = 0.8;

/// Rotations about the line of sight that are tried.
const SPINS: usize = 24;

/// The similarity that lays `from` on `to`: iterated closest points in both directions (one direction alone lets the
/// scale shrink to nothing), from the heads as they stand, and with the fronts of their faces set on each other.
pub(super) fn align(from: &Side, to: &Side) -> Option<Similarity> {
    let ((from_mean, from_size), (to_mean, to_size)) = (from.extent(), to.extent());
    if !(from_size > 0.0 && to_size > 0.0) {
        return None;
    }
    let factor = to_size / from_size;
    let (ours, theirs) = (from.upright(), to.upright());
    let spin = |index: usize| {
        let (s, c) = (std::f64::consts::TAU * index as f64 / SPINS as f64).sin_cos();
        let turned = |v: V| [c * v[0] - s * v[1], s * v[0] + c * v[1], v[2]];
        // columns: where the axes go, through the frame of one face into that of the other
        let image = |axis: usize| {
            let local = turned(ours.map(|row| row[axis]));
            (0..3).fold([0.0; 3], |sum, i| add(sum, scale(theirs[i], local[i])))
        };
        let images = [image(0), image(1), image(2)];
        [0, 1, 2].map(|row| [images[0][row], images[1][row], images[2][row]])
    };
    let mut rotations = vec![Similarity::IDENTITY.rotation];
    rotations.extend((0..SPINS).map(spin));
    let coarse = |rotation: &[V; 3]| {
        let turned = Similarity { scale: factor, rotation: *rotation, translation: [0.0; 3] };
        let translation = sub(to_mean, turned.apply(from_mean));
        iterate(from, to, Similarity { translation, ..turned }, COARSE, 30)
    };
    let mut starts: Vec<_> = rotations.iter().filter_map(coarse).collect();
    starts.sort_by(|a, b| a.0.total_cmp(&b.0));
    let refined = starts.iter().take(2).filter_map(|(_, start)| iterate(from, to, *start, FINE, 60));
    refined.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, found)| found)
}

/// Refines a similarity; gives the mean squared distance of the pairs that count, too, in the target's units, larger
/// for every point without a partner.
pub(super) fn iterate(
    from: &Side,
    to: &Side,
    mut current: Similarity,
    points: usize,
    rounds: usize,
) -> Option<(f64, Similarity)> {
    let mut error = f64::INFINITY;
    for round in 0..rounds {
        let mut pairs = pairs(from, to, &current, points);
        let found = pairs.len();
        if found < 10 {
            return None;
        }
        let kept = (pairs.len() as f64 * KEPT) as usize;
        pairs.select_nth_unstable_by(kept, |a, b| a.0.total_cmp(&b.0));
        let kept = &pairs[..kept];
        let now = kept.iter().map(|(distance, ..)| distance).sum::<f64>() / kept.len() as f64;
        // Distances between points lead from far away, distances from planes let the surfaces slide into place.
        let slide = 3 * round >= rounds;
        let slid = if slide { current.slid(kept) } else { None };
        current = match slid {
            Some(better) => better,
            None => Similarity::from_pairs(&kept.iter().map(|(_, pair, _)| *pair).collect::<Vec<_>>())?,
        };
        let asked = every(&from.points, points).len() + every(&to.points, points).len();
        let now = now * (asked as f64 / found as f64).powi(4);
        let arrived = slide && (error - now).abs() <= 1e-4 * now;
        error = now;
        if arrived {
            break;
        }
    }
    Some((error, current))
}

/// A squared distance, the points of both sides, and the surface's normal there, in the target's frame.
type Pair = (f64, (V, V), V);

/// Each side's points with the nearest points of the other's surface.
fn pairs(from: &Side, to: &Side, current: &Similarity, points: usize) -> Vec<Pair> {
    let there = |(point, normal): &(V, V)| {
        let near = to.surface.nearest(current.apply(*point), current.turn(*normal))?;
        Some((near.squared_distance, (*point, near.point), near.normal))
    };
    let area = current.scale * current.scale;
    let back = |(point, normal): &(V, V)| {
        let near = from.surface.nearest(current.undo(*point), current.turn_back(*normal))?;
        Some((near.squared_distance * area, (near.point, *point), current.turn(near.normal)))
    };
    let mut pairs: Vec<_> = every(&from.points, points).filter_map(there).collect();
    pairs.par_extend(every(&to.points, points).filter_map(back));
    pairs
}

/// About `count` of the items, evenly spread.
fn every<T: Sync>(items: &[T], count: usize) -> impl IndexedParallelIterator<Item = &T> {
    items.par_iter().step_by(items.len().div_ceil(count).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_give_their_similarity_back() {
        let (s, c) = (0.6_f64, 0.8_f64);
        let truth = Similarity {
            scale: 2.5,
            rotation: [[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]],
            translation: [1.0, -2.0, 0.5],
        };
        let point = |i: i32| [f64::from(i).sin(), f64::from(2 * i).cos(), f64::from(3 * i).sin()];
        let pairs: Vec<_> = (0..20).map(|i| (point(i), truth.apply(point(i)))).collect();
        let found = Similarity::from_pairs(&pairs).unwrap();
        assert!((found.scale - 2.5).abs() < 1e-12);
        for i in 0..20 {
            let gap = sub(found.apply(point(i)), truth.apply(point(i)));
            assert!(dot(gap, gap).sqrt() < 1e-12);
            let back = sub(found.undo(found.apply(point(i))), point(i));
            assert!(dot(back, back).sqrt() < 1e-12);
        }
        assert!(Similarity::from_pairs(&pairs[..2]).is_none());
        assert!(Similarity::from_pairs(&[([0.0; 3], [1.0; 3]); 5]).is_none());
    }
}
