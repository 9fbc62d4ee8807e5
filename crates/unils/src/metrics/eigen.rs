//! Eigenvalues of symmetric matrices by Jacobi's rotations: exact to rounding, also when the matrix is singular.

/// Sweeps over all pairs; ten are enough for any size, more is a safety net.
const MAX_SWEEPS: usize = 60;

/// Eigenvalues and eigenvectors of a symmetric matrix of `n` rows.
///
/// Returns the values and the vectors as columns of a row-major (n, n) matrix: `a = v diag(w) v^T`. Only the upper
/// triangle is believed; the caller guarantees `a.len() == n * n` and finite numbers.
pub(super) fn symmetric(mut a: Vec<f64>, n: usize) -> (Vec<f64>, Vec<f64>) {
    let mut vectors = vec![0.0; n * n];
    for i in 0..n {
        vectors[i * n + i] = 1.0;
        for j in 0..i {
            a[i * n + j] = a[j * n + i];
        }
    }
    let total: f64 = a.iter().map(|x| x * x).sum();
    for _ in 0..MAX_SWEEPS {
        let off: f64 = (0..n).map(|i| a[i * n + i + 1..(i + 1) * n].iter().map(|x| x * x).sum::<f64>()).sum();
        // The square of 1e-16 of the matrix's size: nothing is left but rounding.
        if off <= 1e-32 * total {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                rotate(&mut a, &mut vectors, n, p, q);
            }
        }
    }
    ((0..n).map(|i| a[i * n + i]).collect(), vectors)
}

/// One rotation, which makes `a[p][q]` zero.
fn rotate(a: &mut [f64], vectors: &mut [f64], n: usize, p: usize, q: usize) {
    let apq = a[p * n + q];
    if apq == 0.0 {
        return;
    }
    let theta = (a[q * n + q] - a[p * n + p]) / (2.0 * apq);
    // The smaller root of t^2 + 2 theta t - 1; hypot keeps huge theta from overflowing.
    let t = theta.signum() / (theta.abs() + theta.hypot(1.0));
    let c = 1.0 / t.hypot(1.0);
    let s = t * c;
    for k in 0..n {
        let (x, y) = (a[k * n + p], a[k * n + q]);
        a[k * n + p] = c * x - s * y;
        a[k * n + q] = s * x + c * y;
    }
    for k in 0..n {
        let (x, y) = (a[p * n + k], a[q * n + k]);
        a[p * n + k] = c * x - s * y;
        a[q * n + k] = s * x + c * y;
        let (x, y) = (vectors[k * n + p], vectors[k * n + q]);
        vectors[k * n + p] = c * x - s * y;
        vectors[k * n + q] = s * x + c * y;
    }
    (a[p * n + q], a[q * n + p]) = (0.0, 0.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_is_put_together_again() {
        let n = 40;
        let mut a = vec![0.0; n * n];
        for i in 0..n {
            for j in i..n {
                a[i * n + j] = ((i * 7 + j * 13) as f64).sin() * 10.0_f64.powi((i % 5) as i32 - 2);
                a[j * n + i] = a[i * n + j];
            }
        }
        let (values, v) = symmetric(a.clone(), n);
        for i in 0..n {
            for j in 0..n {
                let sum: f64 = (0..n).map(|k| v[i * n + k] * values[k] * v[j * n + k]).sum();
                assert!((sum - a[i * n + j]).abs() < 1e-11, "{i} {j}: {sum} {}", a[i * n + j]);
            }
        }
        let trace: f64 = (0..n).map(|i| a[i * n + i]).sum();
        assert!((values.iter().sum::<f64>() - trace).abs() < 1e-11);
    }

    #[test]
    fn equal_and_zero_eigenvalues_are_found() {
        let (values, _) = symmetric(vec![1.0; 9], 3);
        let mut values: Vec<f64> = values.into_iter().map(|x| (x * 1e12).round() / 1e12).collect();
        values.sort_by(f64::total_cmp);
        assert_eq!(values, [0.0, 0.0, 3.0]);
        assert_eq!(symmetric(vec![0.0; 4], 2).0, [0.0, 0.0]);
    }
}
