//! Scaled dot-product attention over `(B, T, H, D)` and the key/value cache of the autoregressive passes.

use burn::tensor::module::attention;
use burn::tensor::{Bool, Tensor};

use super::cpu;

/// `softmax(q k^T / sqrt(D)) v` for every head.
///
/// Shapes: `q` `(B, Tq, H, D)`, `k` and `v` `(B, Tk, H, D)`; `mask` `(Tq, Tk)`, true where a query must not
/// look; result `(B, Tq, H, D)`.
pub fn attend(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, mask: Option<Tensor<2, Bool>>) -> Tensor<4> {
    if mask.is_none()
        && let Some(out) = cpu::attend(&q, &k, &v)
    {
        return out;
    }
    let [b, tq, h, _] = q.dims();
    let tk = k.dims()[1];
    let mask = mask.map(|mask| mask.reshape([1, 1, tq, tk]).expand([b, h, tq, tk]));
    let heads_first = |x: Tensor<4>| x.swap_dims(1, 2);
    attention(heads_first(q), heads_first(k), heads_first(v), mask, None, Default::default()).swap_dims(1, 2)
}

/// Splits `(B, T, 3 H D)`, packed as (query, key, value), into three `(B, T, H, D)`.
pub fn split_qkv(qkv: Tensor<3>, heads: usize) -> [Tensor<4>; 3] {
    let [b, t, packed] = qkv.dims();
    let width = packed / 3;
    [0, 1, 2].map(|part| {
        let columns = part * width..(part + 1) * width;
        qkv.clone().slice([0..b, 0..t, columns]).reshape([b, t, heads, width / heads])
    })
}

/// Keys and values of the tokens seen so far, `(B, T, H, D)` each. A value that its caller owns; cloning shares.
#[derive(Debug, Clone, Default)]
pub struct KvCache {
    seen: Option<(Tensor<4>, Tensor<4>)>,
}

impl KvCache {
    /// Appends the keys and values of new tokens and returns all seen so far.
    pub fn append(&mut self, k: Tensor<4>, v: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
        let all = match self.seen.take() {
            None => (k, v),
            Some((old_k, old_v)) => (Tensor::cat(vec![old_k, k], 1), Tensor::cat(vec![old_v, v], 1)),
        };
        self.seen = Some(all.clone());
        all
    }

    /// Tokens held.
    pub fn len(&self) -> usize {
        self.seen.as_ref().map_or(0, |(k, _)| k.dims()[1])
    }

    /// True before the first token.
    pub fn is_empty(&self) -> bool {
        self.seen.is_none()
    }
}
