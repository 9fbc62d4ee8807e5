//! Keys and values of the last tokens of an endless stream, in constant memory.
//!
//! Where [`super::KvCache`] grows with a window, a ring forgets: the oldest token makes room for the newest. Each stream
//! of a batch has its own, so that streams which began at different times are computed together: linear layers over all
//! their new tokens at once, attention stream by stream.

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

/// Attention of one query (all heads, `D` numbers) to entries of `2 D` numbers from several places; `scores` is scratch.
pub fn attend_entries(
    query: &[f32],
    heads: usize,
    places: &[&[f32]],
    out: &mut [f32],
    scores: &mut Vec<f32>,
) {
    let width = query.len();
    let head_width = width / heads;
    let scale = (head_width as f32).sqrt().recip();
    out.fill(0.0);
    let entries = || places.iter().flat_map(|place| place.chunks_exact(2 * width));
    for head in 0..heads {
        let columns = head * head_width..(head + 1) * head_width;
        let query = &query[columns.clone()];
        scores.clear();
        scores.extend(entries().map(|entry| dot(query, &entry[columns.clone()]) * scale));
        let top = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut sum = 0.0;
        for score in scores.iter_mut() {
            *score = (*score - top).exp();
            sum += *score;
        }
        let out = &mut out[columns.clone()];
        for (entry, score) in entries().zip(scores.iter()) {
            let weight = score / sum;
            let value = &entry[width + columns.start..width + columns.end];
            out.iter_mut().zip(value).for_each(|(out, value)| *out += weight * value);
        }
    }
}

/// Sum of products, in lanes that the compiler can keep in vector registers.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 8];
    let (a_chunks, b_chunks) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        lanes.iter_mut().zip(a.iter().zip(b)).for_each(|(lane, (a, b))| *lane += a * b);
    }
    rest + lanes.iter().sum::<f32>()
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
        let places = [&entries[..4 * 2 * width], &entries[4 * 2 * width..]];
        attend_entries(&query, heads, &places, &mut out, &mut Vec::new());
        let worst = out.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-5, "{worst:.1e}");
    }
}
