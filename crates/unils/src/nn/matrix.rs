//! Matrix products of strided views of memory: what training on the CPU computes with.
//!
//! Leaf of the CPU route. In training both operands change with every step, so that packing a weight once, as
//! [`super::cpu`] does, gains nothing. The product is the `gemm` crate's, which Burn's portable device uses too: it
//! reads and writes any strides, so that heads and transposed operands need no copies. A result does not depend on
//! the number of threads: threads share out its places, never a sum.
//!
//! ```
//! use unils::nn::matrix::{Matrix, MatrixMut, Share, multiply};
//! let (a, b) = ([1.0, 2.0, 3.0, 4.0], [1.0, 0.0, 0.0, 2.0]);
//! let mut out = [0.0; 4];
//! let transposed = Matrix::new(&a, [2, 2]).transposed();
//! multiply(&mut MatrixMut::new(&mut out, [2, 2]), transposed, Matrix::new(&b, [2, 2]), 1.0, Share::Pool);
//! assert_eq!(out, [1.0, 6.0, 2.0, 8.0]);
//! ```

use std::marker::PhantomData;

/// A matrix to read: value `(i, j)` lies at `i * strides[0] + j * strides[1]`.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    values: &'a [f32],
    shape: [usize; 2],
    strides: [usize; 2],
}

impl<'a> Matrix<'a> {
    /// A row-major matrix.
    ///
    /// # Panics
    /// If the memory is too short for the shape.
    pub fn new(values: &'a [f32], shape: [usize; 2]) -> Self {
        Self::strided(values, shape, shape[1])
    }

    /// A matrix whose rows begin `stride` values apart.
    ///
    /// # Panics
    /// If the memory is too short for the shape.
    pub fn strided(values: &'a [f32], shape: [usize; 2], stride: usize) -> Self {
        assert!(reach(shape, stride) <= values.len(), "a {shape:?} matrix in {} values", values.len());
        Self { values, shape, strides: [stride, 1] }
    }

    /// Rows and columns.
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// The same memory with rows and columns exchanged.
    #[must_use]
    pub fn transposed(self) -> Self {
        let ([rows, columns], [down, right]) = (self.shape, self.strides);
        Self { shape: [columns, rows], strides: [right, down], ..self }
    }

    /// Rows `start..start + count`.
    ///
    /// # Panics
    /// If there are not so many rows.
    #[must_use]
    pub fn rows(self, start: usize, count: usize) -> Self {
        assert!(start + count <= self.shape[0], "rows {start}..{} of {}", start + count, self.shape[0]);
        let values = &self.values[(start * self.strides[0]).min(self.values.len())..];
        Self { values, shape: [count, self.shape[1]], ..self }
    }

    /// The values of a row whose values lie side by side.
    ///
    /// # Panics
    /// If they do not, or if there is no such row.
    pub fn row(self, row: usize) -> &'a [f32] {
        assert!(self.strides[1] == 1 && row < self.shape[0], "row {row} of {:?}", self.shape);
        &self.values[row * self.strides[0]..][..self.shape[1]]
    }
}

/// A matrix to write, whose rows' values lie side by side.
#[derive(Debug)]
pub struct MatrixMut<'a> {
    first: *mut f32,
    shape: [usize; 2],
    stride: usize,
    memory: PhantomData<&'a mut [f32]>,
}

// SAFETY: it is the only access to its places, as a mutable slice of them would be.
unsafe impl Send for MatrixMut<'_> {}

impl<'a> MatrixMut<'a> {
    /// A row-major matrix.
    ///
    /// # Panics
    /// If the memory is too short for the shape.
    pub fn new(values: &'a mut [f32], shape: [usize; 2]) -> Self {
        assert!(reach(shape, shape[1]) <= values.len(), "a {shape:?} matrix in {} values", values.len());
        Self { first: values.as_mut_ptr(), shape, stride: shape[1], memory: PhantomData }
    }

    /// A row-major matrix cut into blocks of `width` columns; what is left at the right is left out.
    ///
    /// # Panics
    /// If the memory is too short for the shape.
    pub fn columns(values: &'a mut [f32], shape: [usize; 2], width: usize) -> Vec<Self> {
        let whole = Self::new(values, shape);
        let block = |index: usize| Self {
            // SAFETY: the block's first column is inside the first row, and blocks share no column.
            first: unsafe { whole.first.add(index * width) },
            shape: [shape[0], width],
            ..whole
        };
        if shape[0] == 0 || width == 0 { Vec::new() } else { (0..shape[1] / width).map(block).collect() }
    }

    /// Rows `start..start + count`, for as long as this one is not used.
    ///
    /// # Panics
    /// If there are not so many rows.
    pub fn rows(&mut self, start: usize, count: usize) -> MatrixMut<'_> {
        assert!(start + count <= self.shape[0], "rows {start}..{} of {}", start + count, self.shape[0]);
        // SAFETY: the row lies inside the matrix, or is the end of it when no rows are wanted.
        let first = if count == 0 { self.first } else { unsafe { self.first.add(start * self.stride) } };
        MatrixMut { first, shape: [count, self.shape[1]], stride: self.stride, memory: PhantomData }
    }

    /// The values of a row.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&mut self, row: usize) -> &mut [f32] {
        assert!(row < self.shape[0], "row {row} of {}", self.shape[0]);
        // SAFETY: the row lies inside the matrix, whose places nobody else has access to.
        unsafe { std::slice::from_raw_parts_mut(self.first.add(row * self.stride), self.shape[1]) }
    }
}

/// Values from the first to behind the last one.
fn reach([rows, columns]: [usize; 2], stride: usize) -> usize {
    if rows == 0 || columns == 0 { 0 } else { (rows - 1) * stride + columns }
}

/// Who computes a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// The calling thread.
    One,
    /// The current Rayon pool.
    Pool,
}

/// `out = scale * a b`.
///
/// # Panics
/// If the shapes do not fit.
pub fn multiply(out: &mut MatrixMut<'_>, a: Matrix<'_>, b: Matrix<'_>, scale: f32, share: Share) {
    product(out, a, b, scale, false, share);
}

/// `out += scale * a b`.
///
/// # Panics
/// If the shapes do not fit.
pub fn multiply_add(out: &mut MatrixMut<'_>, a: Matrix<'_>, b: Matrix<'_>, scale: f32, share: Share) {
    product(out, a, b, scale, true, share);
}

/// `a b` in new memory.
///
/// # Panics
/// If the shapes do not fit.
pub fn multiplied(a: Matrix<'_>, b: Matrix<'_>, scale: f32) -> Vec<f32> {
    let shape = [a.shape[0], b.shape[1]];
    let count = shape[0] * shape[1];
    let mut out: Vec<f32> = Vec::with_capacity(count);
    let mut places =
        MatrixMut { first: out.as_mut_ptr(), shape, stride: shape[1], memory: PhantomData::<&mut [f32]> };
    product(&mut places, a, b, scale, false, Share::Pool);
    // SAFETY: there is room for so many values, and a product that does not add writes each of them.
    unsafe { out.set_len(count) };
    out
}

fn product(out: &mut MatrixMut<'_>, a: Matrix<'_>, b: Matrix<'_>, scale: f32, adds: bool, share: Share) {
    let ([m, k], n) = (a.shape, b.shape[1]);
    assert!(b.shape[0] == k && out.shape == [m, n], "{:?} = {:?} x {:?}", out.shape, a.shape, b.shape);
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 {
        if !adds {
            (0..m).for_each(|row| {
                // SAFETY: the row's places are inside the matrix; zeros are written without reading.
                unsafe { out.first.add(row * out.stride).write_bytes(0, n) }
            });
        }
        return;
    }
    let threads = match share {
        Share::One => gemm::Parallelism::None,
        Share::Pool if rayon::current_num_threads() > 1 => gemm::Parallelism::Rayon(0),
        Share::Pool => gemm::Parallelism::None,
    };
    let stride = |stride: usize| stride as isize;
    let ([a_down, a_right], [b_down, b_right]) = (a.strides, b.strides);
    // SAFETY: a view's constructor has checked that its places lie inside its memory, and views made from views
    // cover part of their places; the output's places are this call's alone and, with `adds`, hold values.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.first,
            1,
            stride(out.stride),
            adds,
            a.values.as_ptr(),
            stride(a_right),
            stride(a_down),
            b.values.as_ptr(),
            stride(b_right),
            stride(b_down),
            1.0,
            scale,
            false,
            false,
            false,
            threads,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn strides_scale_and_sum() {
        let (a, b) = (noise(6 * 11, 1), noise(5 * 9, 2));
        // Three columns of each row of 9; the first operand is read transposed.
        let (a, b) = (Matrix::new(&a, [5, 6]).transposed(), Matrix::strided(&b[2..], [5, 3], 9));
        let mut out = vec![1.0; 6 * 7];
        let mut blocks = MatrixMut::columns(&mut out, [6, 7], 3);
        assert_eq!(blocks.len(), 2);
        multiply(&mut blocks[0], a, b, 2.0, Share::One);
        multiply_add(&mut blocks[1], a, b, -1.0, Share::Pool);
        for row in 0..6 {
            for column in 0..3 {
                let sum: f32 = (0..5).map(|k| a.values[k * 6 + row] * b.values[k * 9 + column]).sum();
                assert!((out[row * 7 + column] - 2.0 * sum).abs() < 1e-5);
                assert!((out[row * 7 + 3 + column] - (1.0 - sum)).abs() < 1e-5);
            }
            assert_eq!(out[row * 7 + 6], 1.0);
        }
    }

    #[test]
    fn nothing_to_sum_and_nothing_to_write() {
        let mut out = [3.0; 4];
        let (a, b) = (Matrix::new(&[], [2, 0]), Matrix::new(&[], [0, 2]));
        multiply_add(&mut MatrixMut::new(&mut out, [2, 2]), a, b, 1.0, Share::One);
        assert_eq!(out, [3.0; 4]);
        multiply(&mut MatrixMut::new(&mut out, [2, 2]), a, b, 1.0, Share::One);
        assert_eq!(out, [0.0; 4]);
        assert!(multiplied(b, a, 1.0).is_empty());
    }

    #[test]
    fn threads_do_not_change_a_bit() {
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let product = |[m, n, k]: [usize; 3]| {
                let (a, b) = (noise(m * k, 3), noise(k * n, 4));
                pool.install(|| {
                    let plain = multiplied(Matrix::new(&a, [m, k]), Matrix::new(&b, [k, n]), 1.0);
                    let a = Matrix::new(&a, [k, m]).transposed();
                    let b = Matrix::new(&b, [n, k]).transposed();
                    (plain, multiplied(a, b, 1.0))
                })
            };
            [[301, 192, 576], [192, 129, 3048], [1, 300, 200], [300, 1, 777], [37, 41, 2]].map(product)
        };
        assert!(run(1) == run(2));
    }
}
