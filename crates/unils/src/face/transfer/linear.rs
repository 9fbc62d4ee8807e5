//! The two solvers of the fit, in double precision: ridge regression and least squares between bounds.

/// The scalar product, in eight sums: of long columns, and as precise.
pub(super) fn product(a: &[f64], b: &[f64]) -> f64 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut sums = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        (0..8).for_each(|i| sums[i] += a[i] * b[i]);
    }
    sums.iter().sum::<f64>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f64>()
}

/// Solves `matrix x = right` for a symmetric positive definite matrix (n, n) and right sides (n, m), row-major, by
/// Cholesky's decomposition; `None` if the matrix is not definite.
pub(super) fn solve(mut matrix: Vec<f64>, mut right: Vec<f64>, n: usize, m: usize) -> Option<Vec<f64>> {
    for column in 0..n {
        for row in column..n {
            let dot: f64 = (0..column).map(|k| matrix[row * n + k] * matrix[column * n + k]).sum();
            let value = matrix[row * n + column] - dot;
            if row == column {
                if value.is_nan() || value <= 1e-300 {
                    return None;
                }
                matrix[row * n + row] = value.sqrt();
            } else {
                matrix[row * n + column] = value / matrix[column * n + column];
            }
        }
    }
    for side in 0..m {
        for row in 0..n {
            let dot: f64 = (0..row).map(|k| matrix[row * n + k] * right[k * m + side]).sum();
            right[row * m + side] = (right[row * m + side] - dot) / matrix[row * n + row];
        }
        for row in (0..n).rev() {
            let dot: f64 = (row + 1..n).map(|k| matrix[k * n + row] * right[k * m + side]).sum();
            right[row * m + side] = (right[row * m + side] - dot) / matrix[row * n + row];
        }
    }
    Some(right)
}

/// Least squares with every unknown between 0 and 1: `1/2 x H x - g x + l1 sum x`.
///
/// Coordinate descent comes near, an active-set method ends it: with the set of unknowns at a bound known, the others
/// are one linear system.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct BoxedLeastSquares {
    /// (n, n), symmetric, with the regularisation on it.
    pub(super) hessian: Vec<f64>,
    /// The unknowns that are solved for; the others are held.
    pub(super) free: Vec<usize>,
    /// Cost of each unit of an unknown.
    pub(super) l1: f64,
}

impl BoxedLeastSquares {
    /// Largest change of an unknown at which the descent has arrived.
    const ARRIVED: f64 = 1e-7;

    /// Rounds of the descent before the active set is tried, and where that is not possible (a problem that is not
    /// strictly convex). Each round lowers the cost, so the last one is the best even if it is not the end.
    const FIRST_ROUNDS: usize = 12;
    const ROUNDS: usize = 2000;

    /// Solves for a linear term `g`. `x` holds the start and gets the solution; held unknowns count as they are.
    pub(super) fn solve(&self, g: &[f64], x: &mut [f64]) {
        self.descend(g, x, Self::FIRST_ROUNDS);
        if !self.close(g, x) {
            self.descend(g, x, Self::ROUNDS);
        }
    }

    /// What is left of the linear term: the slope of each unknown, downhill, without the cost of its own.
    fn residual(&self, g: &[f64], x: &[f64]) -> Vec<f64> {
        let rows = self.hessian.chunks_exact(x.len()).zip(g);
        rows.map(|(row, g)| g - row.iter().zip(x).map(|(h, x)| h * x).sum::<f64>()).collect()
    }

    /// Coordinate descent.
    fn descend(&self, g: &[f64], x: &mut [f64], rounds: usize) {
        let n = x.len();
        let mut residual = self.residual(g, x);
        for _ in 0..rounds {
            let mut largest = 0.0_f64;
            for &i in &self.free {
                let curvature = self.hessian[i * n + i];
                if curvature <= 0.0 {
                    continue;
                }
                let next = (x[i] + (residual[i] - self.l1) / curvature).clamp(0.0, 1.0);
                let change = next - x[i];
                if change != 0.0 {
                    x[i] = next;
                    largest = largest.max(change.abs());
                    let row = &self.hessian[i * n..(i + 1) * n];
                    residual.iter_mut().zip(row).for_each(|(residual, h)| *residual -= h * change);
                }
            }
            if largest < Self::ARRIVED {
                return;
            }
        }
    }

    /// The active-set method (Nocedal and Wright, chapter 16) from where `x` is; whether it came to the end.
    fn close(&self, g: &[f64], x: &mut [f64]) -> bool {
        let n = x.len();
        let mut inside: Vec<usize> =
            self.free.iter().copied().filter(|&i| x[i] > 0.0 && x[i] < 1.0).collect();
        for _ in 0..4 * self.free.len() {
            let residual = self.residual(g, x);
            let count = inside.len();
            let matrix =
                inside.iter().flat_map(|&i| inside.iter().map(move |&j| self.hessian[i * n + j])).collect();
            let right = inside.iter().map(|&i| residual[i] - self.l1).collect();
            let Some(step) = solve(matrix, right, count, 1) else { return false };
            // how far the step may go, and which unknown stops it
            let reach = |(at, &i): (usize, &usize)| {
                let bound = if step[at] < 0.0 { 0.0 } else { 1.0 };
                (if step[at] == 0.0 { f64::INFINITY } else { (bound - x[i]) / step[at] }, at, bound)
            };
            let first = inside.iter().enumerate().map(reach).min_by(|a, b| a.0.total_cmp(&b.0));
            let length = first.map_or(1.0, |(length, ..)| length.clamp(0.0, 1.0));
            inside.iter().zip(&step).for_each(|(&i, step)| x[i] = (x[i] + length * step).clamp(0.0, 1.0));
            if let Some((_, at, bound)) = first.filter(|(length, ..)| *length < 1.0) {
                x[inside[at]] = bound;
                inside.swap_remove(at);
                continue;
            }
            // All are at rest inside: is there one at a bound that wants away from it?
            let residual = self.residual(g, x);
            let pull = |&i: &usize| {
                let slope = residual[i] - self.l1;
                (if x[i] <= 0.0 { slope } else { -slope }, i)
            };
            let bound = self.free.iter().filter(|i| !inside.contains(i) && self.hessian[**i * n + **i] > 0.0);
            match bound.map(pull).max_by(|a, b| a.0.total_cmp(&b.0)) {
                Some((pull, i)) if pull > 1e-9 * self.hessian[i * n + i] => inside.push(i),
                _ => return true,
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definite_systems_are_solved() {
        // A = L L' with x = (1, -2, 3) and (0, 1, 0)
        let matrix = vec![4.0, 2.0, -2.0, 2.0, 10.0, 2.0, -2.0, 2.0, 6.0];
        let right: Vec<f64> =
            matrix.chunks(3).flat_map(|row| [row[0] - 2.0 * row[1] + 3.0 * row[2], row[1]]).collect();
        let x = solve(matrix, right, 3, 2).unwrap();
        for (found, expected) in x.iter().zip([1.0, 0.0, -2.0, 1.0, 3.0, 0.0]) {
            assert!((found - expected).abs() < 1e-12);
        }
        assert!(solve(vec![1.0, 2.0, 2.0, 1.0], vec![0.0; 2], 2, 1).is_none());
        assert!(solve(vec![f64::NAN], vec![0.0], 1, 1).is_none());
    }

    /// Two unknowns that do the same share equally, by the smallest of ridges, and all conditions of a minimum hold.
    #[test]
    fn nearly_singular_problems_are_solved_to_the_end() {
        const N: usize = 12;
        let entry = |i: usize, j: usize| ((i * 7 + j * 3) as f64).sin() + if i == j { 2.0 } else { 0.0 };
        let columns =
            |j: usize| -> Vec<f64> { (0..N).map(|i| entry(i, if j == 1 { 0 } else { j })).collect() };
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let mut hessian: Vec<f64> = (0..N * N).map(|at| dot(&columns(at / N), &columns(at % N))).collect();
        (0..N).for_each(|i| hessian[i * N + i] += 1e-6);
        let problem = BoxedLeastSquares { hessian, free: (0..N).collect(), l1: 0.01 };
        for seed in 0..20 {
            let g: Vec<f64> = (0..N).map(|i| 6.0 * ((seed * 13 + i.max(1) * 5) as f64).sin()).collect();
            let mut x = [0.0; N];
            problem.solve(&g, &mut x);
            assert!((x[0] - x[1]).abs() < 1e-6, "{x:?}");
            for (i, slope) in problem.residual(&g, &x).into_iter().enumerate() {
                let slope = slope - problem.l1;
                let holds = if x[i] <= 0.0 {
                    slope < 1e-6
                } else if x[i] >= 1.0 {
                    slope > -1e-6
                } else {
                    slope.abs() < 1e-6
                };
                assert!(holds, "{i} at {} with slope {slope}", x[i]);
            }
        }
    }

    #[test]
    fn bounds_hold_and_the_rest_adapts() {
        // without bounds x = (2, -1); at x0 = 1 the best x1 is (g1 - h01) / h11 = -0.1 / 1, so 0
        let problem = BoxedLeastSquares { hessian: vec![1.0, 0.5, 0.5, 1.0], free: vec![0, 1], l1: 0.0 };
        let mut x = [0.5, 0.5];
        problem.solve(&[1.5, 0.0], &mut x);
        assert_eq!(x, [1.0, 0.0]);
        // an unknown that is held counts but does not move, and one without curvature stays
        let problem = BoxedLeastSquares { free: vec![0], ..problem };
        let mut x = [0.0, 1.0];
        problem.solve(&[0.8, 0.0], &mut x);
        assert!((x[0] - 0.3).abs() < 1e-9 && x[1] == 1.0);
        let flat = BoxedLeastSquares { hessian: vec![0.0], free: vec![0], l1: 0.0 };
        let mut x = [0.4];
        flat.solve(&[1.0], &mut x);
        assert_eq!(x, [0.4]);
    }
}
