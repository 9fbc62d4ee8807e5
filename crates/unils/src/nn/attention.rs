//! Scaled dot-product attention over `(B, T, H, D)` and the key/value cache of the autoregressive passes.

use std::ops::Range;

use burn::tensor::module::attention;
use burn::tensor::{Bool, Tensor};

use super::{Rotary, cpu, grad};

/// `softmax(q k^T / sqrt(D)) v` for every head.
///
/// Shapes: `q` `(B, Tq, H, D)`, `k` and `v` `(B, Tk, H, D)`; `mask` `(Tq, Tk)`, true where a query must not
/// look; result `(B, Tq, H, D)`.
pub fn attend(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, mask: Option<Tensor<2, Bool>>) -> Tensor<4> {
    if mask.is_none() && cpu::holds(&q) && cpu::holds(&k) {
        return cpu::attend(q, k, v);
    }
    let is_any = grad::holds(&q) || grad::holds(&k) || grad::holds(&v);
    if is_any
        && grad::reads(&q)
        && grad::reads(&k)
        && grad::reads(&v)
        && let Ok(mask) = readable(mask.as_ref())
    {
        return grad::attend(q, k, v, mask);
    }
    let [b, tq, h, _] = q.dims();
    let tk = k.dims()[1];
    let mask = mask.map(|mask| mask.reshape([1, 1, tq, tk]).expand([b, h, tq, tk]));
    let heads_first = |x: Tensor<4>| x.swap_dims(1, 2);
    attention(heads_first(q), heads_first(k), heads_first(v), mask, None, Default::default()).swap_dims(1, 2)
}

/// Self-attention from packed projections `(B, T, 3 H D)` to `(B, T, H D)`; `mask` as in [`attend`].
pub fn attend_qkv(
    qkv: Tensor<3>,
    heads: usize,
    rotary: Option<&Rotary>,
    mask: Option<Tensor<2, Bool>>,
) -> Tensor<3> {
    if mask.is_none() && cpu::holds(&qkv) {
        return cpu::attend_qkv(qkv, heads, rotary.map(Rotary::angles).as_ref());
    }
    if grad::holds(&qkv)
        && rotary.is_none_or(Rotary::is_on_cpu)
        && let Ok(mask) = readable(mask.as_ref())
    {
        return grad::attend_qkv(qkv, heads, rotary.map(Rotary::angles), mask);
    }
    let [b, t, packed] = qkv.dims();
    let [q, k, v] = split_qkv(qkv, heads);
    let rotate = |x: Tensor<4>| rotary.map_or_else(|| x.clone(), |rotary| rotary.apply(x.clone()));
    attend(rotate(q), rotate(k), v, mask).reshape([b, t, packed / 3])
}

/// The mask for [`grad`]; an error if its memory is elsewhere.
fn readable(mask: Option<&Tensor<2, Bool>>) -> Result<Option<grad::Mask>, ()> {
    mask.map(|mask| grad::Mask::of(mask).ok_or(())).transpose()
}

/// Splits `(B, T, 3 H D)`, packed as (query, key, value), into three `(B, T, H, D)`.
fn split_qkv(qkv: Tensor<3>, heads: usize) -> [Tensor<4>; 3] {
    let [b, t, packed] = qkv.dims();
    let width = packed / 3;
    [0, 1, 2].map(|part| {
        let columns = part * width..(part + 1) * width;
        qkv.clone().slice([0..b, 0..t, columns]).reshape([b, t, heads, width / heads])
    })
}

/// Keys and values of the tokens seen so far. A value that its caller owns.
#[derive(Debug, Clone, Default)]
pub struct KvCache {
    seen: Seen,
}

#[derive(Debug, Clone)]
enum Seen {
    /// `(B, T, H, D)` each.
    Plain(Box<[Tensor<4>; 2]>),
    Packed(cpu::PackedCache),
}

impl Default for Seen {
    fn default() -> Self {
        Self::Packed(cpu::PackedCache::default())
    }
}

impl KvCache {
    /// Appends new tokens, given as packed projections `(B, n, 3 H D)`, and attends from them to everything
    /// seen, themselves included: `(B, n, H D)`.
    pub fn attend(&mut self, qkv: Tensor<3>, heads: usize, rotary: &Rotary) -> Tensor<3> {
        self.step(qkv, heads, rotary, true)
    }

    /// Appends new tokens without attending from them.
    pub fn remember(&mut self, qkv: Tensor<3>, heads: usize, rotary: &Rotary) {
        self.step(qkv, heads, rotary, false);
    }

    fn step(&mut self, qkv: Tensor<3>, heads: usize, rotary: &Rotary, queries: bool) -> Tensor<3> {
        if let Seen::Packed(cache) = &mut self.seen
            && cpu::holds(&qkv)
        {
            return cache.step(qkv, heads, &rotary.angles(), queries);
        }
        let [b, t, packed] = qkv.dims();
        let [q, k, v] = split_qkv(qkv, heads);
        let (q, k) = (rotary.apply(q), rotary.apply(k));
        let (k, v) = match &self.seen {
            Seen::Packed(_) => (k, v),
            Seen::Plain(old) => {
                let [old_k, old_v] = old.as_ref();
                (Tensor::cat(vec![old_k.clone(), k], 1), Tensor::cat(vec![old_v.clone(), v], 1))
            }
        };
        self.seen = Seen::Plain(Box::new([k.clone(), v.clone()]));
        if !queries {
            return Tensor::zeros([b, 0, packed / 3], &k.device());
        }
        attend(q, k, v, None).reshape([b, t, packed / 3])
    }
}

/// `x + share * (y - x)`, `x` and `y` `(B, T, C)`; `share` `(B, 1, 1)` is not differentiated.
pub fn blend(x: Tensor<3>, y: Tensor<3>, share: Tensor<3>) -> Tensor<3> {
    if grad::holds(&x) && grad::holds(&y) && cpu::holds(&share) {
        return grad::blend(x, y, share);
    }
    x.clone() + (y - x) * share
}

/// Adds `delta` to some batch rows of `x` `(B, T, C)`: `(R, T, C)`, or `(1, 1, C)` to each of their tokens.
pub fn add_to_rows(x: Tensor<3>, rows: Range<usize>, delta: Tensor<3>) -> Tensor<3> {
    if cpu::holds(&x) {
        return cpu::add_to_rows(x, rows, &delta);
    }
    let [_, tokens, width] = x.dims();
    let range = [rows, 0..tokens, 0..width];
    let sum = x.clone().slice(range.clone()) + delta;
    x.slice_assign(range, sum)
}
