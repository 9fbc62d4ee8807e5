//! Keys and values of the last tokens of an endless stream, in constant memory.
//!
//! Where [`super::KvCache`] grows with a window, a ring forgets: the oldest token makes room for the newest. Each stream
//! of a batch has its own, so that streams which began at different times are computed together: linear layers over all
//! their new tokens at once, attention stream by stream.

use rayon::prelude::*;
use rten_simd::ops::{BitOps, NumOps};
use rten_simd::{Isa, SimdOp};
use rten_vecmath::Softmax;

/// A ring of the last tokens. Keys are stored turned to their positions, so that order within the ring does not matter.
#[derive(Debug, Clone)]
pub struct KvRing {
    /// Key and value of each token, `2 D` numbers.
    rows: Vec<f32>,
    width: usize,
    capacity: usize,
    /// Where the next token goes once the ring is full.
    next: usize,
}

impl KvRing {
    /// A ring that keeps `capacity` tokens of width `D`.
    pub fn new(capacity: usize, width: usize) -> Self {
        Self { rows: Vec::with_capacity(2 * capacity * width), width, capacity, next: 0 }
    }

    /// Adds a token's key and value, one after the other: `2 D` numbers.
    pub fn push(&mut self, entry: &[f32]) {
        debug_assert_eq!(entry.len(), 2 * self.width);
        if self.rows.len() < 2 * self.capacity * self.width {
            self.rows.extend_from_slice(entry);
            return;
        }
        let start = self.next * 2 * self.width;
        self.rows[start..start + 2 * self.width].copy_from_slice(entry);
        self.next = (self.next + 1) % self.capacity.max(1);
    }

    /// The tokens that it holds, `2 D` numbers each.
    pub fn entries(&self) -> &[f32] {
        &self.rows
    }

    /// Bytes that it may come to hold.
    pub fn bytes(&self) -> usize {
        2 * self.capacity * self.width * size_of::<f32>()
    }
}

/// One stream's new queries and what they see.
#[derive(Debug, Clone, Copy)]
pub struct Sees<'a> {
    /// Rows of equal length that begin with a query of all heads, `D` numbers.
    pub queries: &'a [f32],
    /// Entries of `2 D` numbers from two places: a ring's, and those that are not in it yet.
    pub entries: [&'a [f32]; 2],
}

/// Attention of the new queries of several streams, each to its own entries. `row` is the length of the rows that
/// begin with a query; `out` gets `D` numbers for each, stream by stream.
pub fn attend_streams(streams: &[Sees<'_>], row: usize, heads: usize, out: &mut [f32]) {
    let each = out.len() / streams.len().max(1);
    let tasks = out.par_chunks_exact_mut(each.max(1)).zip(streams).with_min_len(STREAMS_AT_ONCE);
    tasks.for_each_init(Vec::new, |scores, (out, stream)| {
        let queries = stream.queries.chunks_exact(row);
        let width = out.len() / queries.len().max(1);
        for (query, out) in queries.zip(out.chunks_exact_mut(width)) {
            Attend { query: &query[..width], heads, entries: stream.entries, out, scores }.dispatch();
        }
    });
}

/// Streams that a thread takes at a time: their attention is some microseconds each.
const STREAMS_AT_ONCE: usize = 2;

/// Attention of one query of all heads.
struct Attend<'a> {
    query: &'a [f32],
    heads: usize,
    entries: [&'a [f32]; 2],
    out: &'a mut [f32],
    scores: &'a mut Vec<f32>,
}

impl SimdOp for Attend<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let ops = isa.f32();
        let width = self.query.len();
        let head_width = width / self.heads;
        let scale = (head_width as f32).sqrt().recip();
        // Whole vectors, and what is left of a head behind them.
        let whole = head_width / ops.len() * ops.len();
        for head in 0..self.heads {
            let start = head * head_width;
            let query = &self.query[start..start + head_width];
            self.scores.clear();
            for place in self.entries {
                for entry in place.chunks_exact(2 * width) {
                    let key = &entry[start..start + head_width];
                    let mut sums = ops.zero();
                    for at in (0..whole).step_by(ops.len()) {
                        sums = ops.mul_add(ops.load(&query[at..]), ops.load(&key[at..]), sums);
                    }
                    let rest: f32 = query[whole..].iter().zip(&key[whole..]).map(|(q, k)| q * k).sum();
                    self.scores.push((ops.sum(sums) + rest) * scale);
                }
            }
            if self.scores.is_empty() {
                self.out[start..start + head_width].fill(0.0);
                continue;
            }
            Softmax::new_mut(self.scores).eval(isa);
            let out = &mut self.out[start..start + head_width];
            let values = || {
                let entries = self.entries.into_iter().flat_map(|place| place.chunks_exact(2 * width));
                entries
                    .zip(self.scores.iter())
                    .map(|(entry, &weight)| (&entry[width + start..width + start + head_width], weight))
            };
            for at in (0..whole).step_by(ops.len()) {
                let mut sum = ops.zero();
                for (value, weight) in values() {
                    sum = ops.mul_add(ops.load(&value[at..]), ops.splat(weight), sum);
                }
                ops.store(sum, &mut out[at..]);
            }
            for (at, out) in out.iter_mut().enumerate().skip(whole) {
                *out = values().map(|(value, weight)| value[at] * weight).sum();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor, TensorData};

    use super::*;

    #[test]
    fn a_ring_keeps_the_last_tokens() {
        let mut ring = KvRing::new(3, 1);
        for token in 0..7 {
            ring.push(&[token as f32, -(token as f32)]);
            let mut keys: Vec<f32> = ring.entries().chunks_exact(2).map(|entry| entry[0]).collect();
            keys.sort_by(f32::total_cmp);
            let first = (token as usize + 1).saturating_sub(3);
            assert_eq!(keys, (first..=token as usize).map(|key| key as f32).collect::<Vec<_>>());
        }
        assert_eq!(size_of_val(ring.entries()), ring.bytes());
    }

    #[test]
    fn attention_to_entries_is_that_of_tensors() {
        let (heads, head_width, keys) = (3, 20, 9);
        let width = heads * head_width;
        let number = |i: usize| ((i * 7919 % 1000) as f32 / 500.0 - 1.0) * 1.5;
        let query: Vec<f32> = (0..width).map(number).collect();
        let entries: Vec<f32> = (0..keys * 2 * width).map(|i| number(i + 17)).collect();
        let part = |at: usize| -> Vec<f32> {
            entries.chunks_exact(2 * width).flat_map(|entry| entry[at..at + width].to_vec()).collect()
        };
        let tensor = |values: Vec<f32>, tokens: usize| -> Tensor<4> {
            Tensor::from_data(TensorData::new(values, [1, tokens, heads, head_width]), &Device::flex())
        };
        let expected = crate::nn::attend(
            tensor(query.clone(), 1),
            tensor(part(0), keys),
            tensor(part(width), keys),
            None,
        );
        let expected: Vec<f32> = expected.into_data().iter().collect();
        let mut out = vec![9.0; width];
        let entries = [&entries[..4 * 2 * width], &entries[4 * 2 * width..]];
        attend_streams(&[Sees { queries: &query, entries }], width, heads, &mut out);
        let worst = out.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-5, "{worst:.1e}");
        let nothing = Sees { queries: &query, entries: [&[], &[]] };
        attend_streams(&[nothing], width, heads, &mut out);
        assert!(out.iter().all(|&value| value == 0.0), "who sees nothing gets nothing");
    }
}
