//! NumPy arrays, SciPy matrices and chumpy arrays out of a pickle that is only read, never run.
//!
//! What the published FLAME pickles hold: `ndarray` records of Python 2 and 3 (bytes in a string, or out of
//! `_codecs.encode`; or as one buffer, by protocol 5), `csc_matrix`, and `chumpy.ch.Ch`, whose value is its `x`.

use std::borrow::Cow;

use super::load::{Numbers, Source};
use crate::checkpoint::pickle::{Object, Policy, Tree, Value};
use crate::motion::shorten;
use crate::{Error, Result};

/// Deepest wrapping that is followed: an array in a chumpy object.
const DEPTH: usize = 4;

/// A FLAME pickle: a dictionary of arrays.
pub(super) struct Pickled<'t> {
    root: Value<'t>,
    place: &'t str,
}

/// Names inside these packages describe arrays and may stand in a FLAME file. Nothing is imported.
struct ArrayPolicy;

impl Policy for ArrayPolicy {
    fn allows(&self, module: &str, name: &str) -> bool {
        let inside = |package: &str| {
            module.strip_prefix(package).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let data = ["set", "frozenset", "object", "list", "dict", "bytearray"];
        inside("numpy")
            || inside("scipy.sparse")
            || inside("chumpy")
            || match module {
                "__builtin__" | "builtins" => data.contains(&name),
                "_codecs" => name == "encode",
                "collections" => ["OrderedDict", "defaultdict"].contains(&name),
                "copy_reg" | "copyreg" => name == "_reconstructor",
                _ => false,
            }
    }
}

impl<'t> Pickled<'t> {
    pub(super) fn parse<'b>(bytes: &'b [u8], place: &str) -> Result<Tree<'b>> {
        Tree::parse(bytes, place, &ArrayPolicy)
    }

    pub(super) fn new(tree: &'t Tree<'t>, place: &'t str) -> Result<Self> {
        let root = tree.root();
        if root.entries().is_none() {
            let what = format!("holds {}, expected a dictionary of arrays", root.noun());
            return Err(Error::face(place, what).with_hint(super::WHERE_TO_GET_FLAME));
        }
        Ok(Self { root, place })
    }
}

impl Source for Pickled<'_> {
    fn names(&self) -> Vec<String> {
        let keys = self.root.entries().into_iter().flatten().filter_map(|(key, _)| key.as_str());
        keys.map(str::to_owned).collect()
    }

    fn array(&mut self, name: &str) -> Result<Numbers> {
        let fail = |what: String| Error::face(self.place, format!("{name}: {what}"));
        let value = self.root.get(name).ok_or_else(|| fail("is not in the file".to_owned()))?;
        array(value, DEPTH).map_err(|what| {
            fail(what).with_hint(
                "arrays of NumPy, csc and csr matrices of SciPy and plain chumpy arrays are read: load the model in \
                 Python and save its arrays with numpy.savez",
            )
        })
    }
}

/// The array that a value describes; the error is what is wrong with it.
fn array(value: Value<'_>, depth: usize) -> Result<Numbers, String> {
    let Some(object) = value.as_object() else {
        return Err(format!("is {}, expected an array", value.noun()));
    };
    let (module, name) = object.callable();
    let in_numpy = module.starts_with("numpy.");
    if in_numpy && name == "_reconstruct" {
        return ndarray(object);
    }
    if in_numpy && name == "_frombuffer" {
        let [bytes, dtype, shape, order] = take(object.arguments()).ok_or("is a damaged array record")?;
        let bytes = buffer(bytes).ok_or("has no bytes")?;
        return numbers(&bytes, Dtype::new(dtype)?, sizes(shape)?, order.as_str() == Some("F"));
    }
    // Python 2's own way of making an object: copy_reg._reconstructor(class, object, None)
    let class = match (name, object.arguments().next().map(Value::kind)) {
        ("_reconstructor", Some(crate::checkpoint::pickle::Kind::Global { module, name })) => (module, name),
        _ => (module, name),
    };
    let state = object.state();
    let part = |key: &str| state.and_then(|state| state.get(key));
    let (module, name) = class;
    if depth > 0 && module.starts_with("chumpy.") && name == "Ch" {
        let inner = part("x").ok_or("is a chumpy array without its value `x`")?;
        return array(inner, depth - 1);
    }
    if module.starts_with("scipy.sparse") {
        let by_column = name.starts_with("csc");
        if !by_column && !name.starts_with("csr") {
            return Err(format!("is a sparse matrix of the kind {}", shorten(name)));
        }
        let shape = part("_shape").or_else(|| part("shape")).ok_or("is a sparse matrix without a shape")?;
        let piece = |key: &str| -> Result<Vec<f32>, String> {
            let value = part(key).ok_or_else(|| format!("is a sparse matrix without its {key}"))?;
            ndarray(value.as_object().ok_or("is a damaged sparse matrix")?).map(|(_, values)| values)
        };
        let (indices, starts, values) = (piece("indices")?, piece("indptr")?, piece("data")?);
        return dense(sizes(shape)?, by_column, &indices, &starts, &values);
    }
    Err(format!("is an object {}.{}, expected an array", shorten(module), shorten(name)))
}

/// `_reconstruct(ndarray, (0,), b'b')` with the state (version, shape, dtype, Fortran order, bytes).
fn ndarray(object: Object<'_>) -> Result<Numbers, String> {
    let state = object.state().and_then(Value::items).and_then(take::<5>);
    let [_, shape, dtype, fortran, bytes] = state.ok_or("is a damaged array record")?;
    let fortran =
        matches!(fortran.kind(), crate::checkpoint::pickle::Kind::Bool(true)) || fortran.as_i64() == Some(1);
    let bytes = bytes.as_bytes().ok_or_else(|| format!("its data is {}, expected bytes", bytes.noun()))?;
    numbers(&bytes, Dtype::new(dtype)?, sizes(shape)?, fortran)
}

/// The bytes of an in-band buffer: plain, or in a `bytearray`.
fn buffer(value: Value<'_>) -> Option<Cow<'_, [u8]>> {
    match value.as_object() {
        Some(object) if object.callable().1 == "bytearray" => object.arguments().next()?.as_bytes(),
        _ => value.as_bytes(),
    }
}

/// The first `N` items, of at least so many.
fn take<'t, const N: usize>(items: impl Iterator<Item = Value<'t>>) -> Option<[Value<'t>; N]> {
    items.take(N).collect::<Vec<_>>().try_into().ok()
}

fn sizes(shape: Value<'_>) -> Result<Vec<usize>, String> {
    let sizes =
        shape.items().filter(|items| items.len() <= 4).map(|items| items.map(Value::as_usize).collect());
    sizes.flatten().ok_or_else(|| "has no shape of up to four sizes".to_owned())
}

/// An element type: `numpy.dtype('f8', ...)` with the byte order in its state.
#[derive(Clone, Copy)]
struct Dtype {
    kind: u8,
    size: usize,
    big_endian: bool,
}

impl Dtype {
    fn new(value: Value<'_>) -> Result<Self, String> {
        let object = value.as_object().filter(|object| object.callable().1 == "dtype");
        let code = object.and_then(|object| object.arguments().next()).and_then(Value::as_str);
        let (object, code) = object.zip(code).ok_or("has no element type")?;
        let order =
            object.state().and_then(Value::items).and_then(|mut items| items.nth(1)).and_then(Value::as_str);
        let (kind, size) = match code.trim_start_matches(['<', '>', '=', '|']) {
            "f8" => (b'f', 8),
            "f4" => (b'f', 4),
            "f2" => (b'f', 2),
            "i8" => (b'i', 8),
            "i4" => (b'i', 4),
            "i2" => (b'i', 2),
            "i1" => (b'i', 1),
            "u8" => (b'u', 8),
            "u4" => (b'u', 4),
            "u2" => (b'u', 2),
            "u1" | "b1" => (b'u', 1),
            other => return Err(format!("has elements of the type {}, expected numbers", shorten(other))),
        };
        Ok(Self { kind, size, big_endian: order == Some(">") || code.starts_with('>') })
    }

    /// One element, from its bytes in little-endian order, filled up to eight.
    fn value(self, bytes: [u8; 8]) -> f32 {
        let integer = u64::from_le_bytes(bytes);
        let unused = 64 - 8 * self.size as u32;
        match (self.kind, self.size) {
            (b'f', 8) => f64::from_bits(integer) as f32,
            (b'f', 4) => f32::from_bits(integer as u32),
            (b'f', _) => half::f16::from_bits(integer as u16).to_f32(),
            (b'i', _) => ((integer << unused) as i64 >> unused) as f32,
            _ => integer as f32,
        }
    }
}

/// Elements in row-major order.
fn numbers(bytes: &[u8], dtype: Dtype, shape: Vec<usize>, fortran: bool) -> Result<Numbers, String> {
    let elements = shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size));
    if elements.and_then(|elements| elements.checked_mul(dtype.size)) != Some(bytes.len()) {
        return Err(format!(
            "has {} bytes for the shape {shape:?} of {}-byte elements",
            bytes.len(),
            dtype.size
        ));
    }
    let read = |chunk: &[u8]| {
        let mut padded = [0; 8];
        padded[..chunk.len()].copy_from_slice(chunk);
        if dtype.big_endian {
            padded[..chunk.len()].reverse();
        }
        dtype.value(padded)
    };
    let values: Vec<f32> = bytes.chunks_exact(dtype.size).map(read).collect();
    if !fortran || shape.len() < 2 || values.is_empty() {
        return Ok((shape, values));
    }
    // Column-major: the first index runs fastest.
    let mut ordered = Vec::with_capacity(values.len());
    let mut index = vec![0_usize; shape.len()];
    for _ in 0..values.len() {
        let at = shape.iter().zip(&index).rev().fold(0, |at, (&size, &index)| at * size + index);
        ordered.push(values[at]);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    Ok((shape, ordered))
}

/// A compressed sparse matrix with all its zeros. Its size is bounded by that of a joint regressor.
fn dense(
    shape: Vec<usize>,
    by_column: bool,
    indices: &[f32],
    starts: &[f32],
    values: &[f32],
) -> Result<Numbers, String> {
    let &[rows, columns] = &shape[..] else {
        return Err(format!("is a sparse matrix of the shape {shape:?}"));
    };
    let (outer, inner) = if by_column { (columns, rows) } else { (rows, columns) };
    if rows > super::JOINTS || columns > super::MAX_VERTICES {
        return Err(format!("is a sparse matrix of the shape {shape:?}, expected that of five joints"));
    }
    if starts.len() != outer + 1 || indices.len() != values.len() {
        return Err("is a sparse matrix whose parts do not fit together".to_owned());
    }
    let mut out = vec![0.0; rows * columns];
    for (line, ends) in starts.windows(2).enumerate() {
        let (start, end) = (ends[0] as usize, ends[1] as usize);
        let entries = indices.get(start..end).zip(values.get(start..end));
        let (indices, values) = entries.ok_or("is a sparse matrix whose offsets are out of range")?;
        for (&index, &value) in indices.iter().zip(values) {
            if !(0.0..inner as f32).contains(&index) {
                return Err(format!("is a sparse matrix with an entry at {index} of {inner}"));
            }
            let (row, column) = if by_column { (index as usize, line) } else { (line, index as usize) };
            // entries of one place add up
            out[row * columns + column] += value;
        }
    }
    Ok((shape, out))
}

#[cfg(test)]
mod tests {
    use super::*;

    const F32: Dtype = Dtype { kind: b'f', size: 4, big_endian: false };

    #[test]
    fn elements_of_every_type() {
        let value = |kind, size, bytes: &[u8]| {
            let dtype = Dtype { kind, size, big_endian: false };
            numbers(bytes, dtype, vec![1], false).unwrap().1[0]
        };
        assert_eq!(value(b'f', 8, &(-1.5_f64).to_le_bytes()), -1.5);
        assert_eq!(value(b'f', 2, &[0, 0x3c]), 1.0);
        assert_eq!(value(b'i', 8, &(-7_i64).to_le_bytes()), -7.0);
        assert_eq!(value(b'i', 1, &[0x80]), -128.0);
        assert_eq!(value(b'u', 4, &u32::MAX.to_le_bytes()), 4_294_967_295.0);
        let big = Dtype { kind: b'i', size: 2, big_endian: true };
        assert_eq!(numbers(&[1, 2], big, vec![1], false).unwrap().1, [258.0]);
    }

    #[test]
    fn column_major_arrays_are_turned() {
        let bytes: Vec<u8> = (0..6_u8).flat_map(|i| f32::from(i).to_le_bytes()).collect();
        let (_, values) = numbers(&bytes, F32, vec![2, 3], true).unwrap();
        assert_eq!(values, [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]);
        assert!(numbers(&bytes, F32, vec![2, 4], false).is_err());
        assert!(numbers(&bytes, F32, vec![usize::MAX, 3], false).is_err());
    }

    #[test]
    fn sparse_matrices_by_column_and_by_row() {
        // [[0, 2, 0], [1, 0, 3]]
        let by_column = dense(vec![2, 3], true, &[1.0, 0.0, 1.0], &[0.0, 1.0, 2.0, 3.0], &[1.0, 2.0, 3.0]);
        let by_row = dense(vec![2, 3], false, &[1.0, 0.0, 2.0], &[0.0, 1.0, 3.0], &[2.0, 1.0, 3.0]);
        assert_eq!(by_column.unwrap().1, [0.0, 2.0, 0.0, 1.0, 0.0, 3.0]);
        assert_eq!(by_row.unwrap().1, [0.0, 2.0, 0.0, 1.0, 0.0, 3.0]);
        assert!(dense(vec![2, 3], true, &[2.0], &[0.0, 1.0, 1.0, 1.0], &[1.0]).is_err());
        assert!(dense(vec![2, 3], true, &[0.0], &[0.0, 9.0, 9.0, 9.0], &[1.0]).is_err());
        assert!(dense(vec![2, 3], true, &[f32::NAN], &[0.0, 1.0, 1.0, 1.0], &[1.0]).is_err());
        assert!(dense(vec![9, usize::MAX], true, &[], &[], &[]).is_err());
    }
}
