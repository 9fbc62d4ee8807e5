//! Numbers from the buffers of a file from outside: every place is checked before it is read.

use std::borrow::Cow;
use std::cell::Cell;

use super::schema::{Accessor, Root, SparsePlace, View};
use crate::face::mesh::{MAX_TRIANGLES, MAX_VERTICES, Vec3};
use crate::{Error, Result};

/// The most elements that are read from one file, however often it names them.
const MAX_ELEMENTS: usize = 1 << 26;

/// The numbers of a file.
pub(super) struct Numbers<'f> {
    pub root: &'f Root,
    pub buffers: Vec<Cow<'f, [u8]>>,
    pub place: &'f str,
    /// Elements that may still be read.
    left: Cell<usize>,
}

/// Elements of one accessor's view: as many as were declared, each `step` bytes after the last.
struct Elements<'b> {
    bytes: &'b [u8],
    step: usize,
    size: usize,
}

impl<'b> Elements<'b> {
    fn iter(&self) -> impl Iterator<Item = &'b [u8]> {
        let (bytes, size) = (self.bytes, self.size);
        (0..bytes.len()).step_by(self.step).filter_map(move |start| bytes.get(start..start + size))
    }
}

impl<'f> Numbers<'f> {
    pub(super) fn new(root: &'f Root, buffers: Vec<Cow<'f, [u8]>>, place: &'f str) -> Self {
        Self { root, buffers, place, left: Cell::new(MAX_ELEMENTS) }
    }

    fn fail(&self, index: usize, what: impl std::fmt::Display) -> Error {
        Error::face(format!("{}, accessor {index}", self.place), what)
            .with_hint("the file is damaged or its exporter has a fault: export the head again")
    }

    /// Takes `elements` from what may be read.
    pub(super) fn spend(&self, elements: usize) -> Result<()> {
        let Some(left) = self.left.get().checked_sub(elements) else {
            return Err(Error::face(self.place, format!("more than {MAX_ELEMENTS} numbers to read"))
                .with_hint("a head of fewer vertices does: reduce the mesh before exporting it"));
        };
        self.left.set(left);
        Ok(())
    }

    /// The number of elements of an accessor.
    pub(super) fn count(&self, index: usize) -> Result<usize> {
        Ok(self.get(index)?.count)
    }

    /// Whether an accessor is one of vectors of four.
    pub(super) fn is_vec4(&self, index: usize) -> bool {
        self.root.accessors.get(index).is_some_and(|accessor| accessor.kind == "VEC4")
    }

    fn get(&self, index: usize) -> Result<&'f Accessor> {
        let accessor =
            self.root.accessors.get(index).ok_or_else(|| {
                self.fail(index, format!("there are {} accessors", self.root.accessors.len()))
            })?;
        if accessor.count > MAX_VERTICES.max(3 * MAX_TRIANGLES) {
            return Err(self.fail(index, format!("{} elements are more than any head has", accessor.count)));
        }
        Ok(accessor)
    }

    /// The bytes of a view.
    pub(super) fn view(&self, index: usize) -> Result<(&[u8], &'f View)> {
        let fail = |what: String| {
            Error::face(format!("{}, buffer view {index}", self.place), what)
                .with_hint("the file is cut short or damaged: get or export it again")
        };
        let Some(view) = self.root.buffer_views.get(index) else {
            return Err(fail(format!("there are {} views", self.root.buffer_views.len())));
        };
        let Some(buffer) = self.buffers.get(view.buffer) else {
            return Err(fail(format!("buffer {} of {}", view.buffer, self.buffers.len())));
        };
        let end = view.byte_offset.checked_add(view.byte_length);
        let bytes = end.and_then(|end| buffer.get(view.byte_offset..end)).ok_or_else(|| {
            let (offset, length) = (view.byte_offset, view.byte_length);
            fail(format!("{length} bytes from {offset} of a buffer of {}", buffer.len()))
        })?;
        Ok((bytes, view))
    }

    /// `count` elements of `size` bytes in a view from `offset`.
    fn elements(
        &self,
        accessor: usize,
        (view, offset): (usize, usize),
        (size, count): (usize, usize),
        strided: bool,
    ) -> Result<Elements<'_>> {
        let (bytes, view) = self.view(view)?;
        let step = view.byte_stride.filter(|&stride| strided && stride > 0).unwrap_or(size);
        if step < size {
            return Err(self.fail(accessor, format!("elements of {size} bytes every {step} bytes")));
        }
        let length = count.saturating_sub(1).checked_mul(step).and_then(|last| last.checked_add(size));
        let length = if count == 0 { Some(0) } else { length };
        let end = length.and_then(|length| length.checked_add(offset));
        let bytes = end.and_then(|end| bytes.get(offset..end)).ok_or_else(|| {
            let what = format!("{count} elements of {size} bytes from {offset} in a view of {}", bytes.len());
            self.fail(accessor, what)
        })?;
        self.spend(count)?;
        Ok(Elements { bytes, step, size })
    }

    /// The indices of a sparse accessor, ascending and below its count.
    fn sparse_indices(
        &self,
        index: usize,
        place: &SparsePlace,
        count: usize,
        below: usize,
    ) -> Result<Vec<u32>> {
        let size = component_size(place.component_type)
            .ok_or_else(|| self.fail(index, "its sparse indices are of an unknown type"))?;
        let elements = self.elements(index, (place.buffer_view, place.byte_offset), (size, count), false)?;
        let indices: Vec<u32> = elements.iter().map(|bytes| integer(place.component_type, bytes)).collect();
        let inside = indices.last().is_none_or(|&last| (last as usize) < below);
        if !inside || !indices.is_sorted_by(|a, b| a < b) {
            return Err(self.fail(index, format!("its sparse indices are not ascending and below {below}")));
        }
        Ok(indices)
    }

    /// An accessor with an element of `N` numbers each made by `number` from its component's type and bytes; those
    /// that are nowhere in the file are zero.
    fn read<T: Copy + Default, const N: usize>(
        &self,
        index: usize,
        number: impl Fn(&Accessor, &[u8]) -> T,
    ) -> Result<Vec<[T; N]>> {
        let (accessor, size) = self.checked::<N>(index)?;
        let element = |bytes: &[u8]| -> [T; N] {
            std::array::from_fn(|i| {
                bytes.get(i * size..(i + 1) * size).map_or(T::default(), |bytes| number(accessor, bytes))
            })
        };
        let mut all = match accessor.buffer_view {
            Some(view) => {
                let place = (view, accessor.byte_offset);
                let elements = self.elements(index, place, (N * size, accessor.count), true)?;
                elements.iter().map(element).collect()
            }
            None => {
                if accessor.count > MAX_VERTICES {
                    return Err(
                        self.fail(index, format!("{} zeros are more than any head has", accessor.count))
                    );
                }
                self.spend(accessor.count)?;
                vec![[T::default(); N]; accessor.count]
            }
        };
        if let Some(sparse) = &accessor.sparse {
            let indices = self.sparse_indices(index, &sparse.indices, sparse.count, accessor.count)?;
            let place = (sparse.values.buffer_view, sparse.values.byte_offset);
            let values = self.elements(index, place, (N * size, sparse.count), false)?;
            for (at, bytes) in indices.into_iter().zip(values.iter()) {
                all[at as usize] = element(bytes);
            }
        }
        Ok(all)
    }

    /// An accessor of `N` components each, and the size of one.
    fn checked<const N: usize>(&self, index: usize) -> Result<(&'f Accessor, usize)> {
        let accessor = self.get(index)?;
        let components = match accessor.kind.as_str() {
            "SCALAR" => 1,
            "VEC2" => 2,
            "VEC3" => 3,
            "VEC4" => 4,
            "MAT4" => 16,
            _ => 0,
        };
        if components != N {
            let what =
                format!("is of type {:?}, expected {N} numbers", crate::motion::shorten(&accessor.kind));
            return Err(self.fail(index, what));
        }
        let Some(size) = component_size(accessor.component_type) else {
            let what = format!("its components are of the unknown type {}", accessor.component_type);
            return Err(self.fail(index, what));
        };
        Ok((accessor, size))
    }

    /// Vectors of f32 or of integers, normalised or not.
    pub(super) fn floats<const N: usize>(&self, index: usize) -> Result<Vec<[f32; N]>> {
        self.read(index, |accessor, bytes| float(accessor.component_type, accessor.normalized, bytes))
    }

    /// Vectors of unsigned integers.
    pub(super) fn integers<const N: usize>(&self, index: usize) -> Result<Vec<[u32; N]>> {
        if !matches!(self.get(index)?.component_type, 5121 | 5123 | 5125) {
            return Err(self.fail(index, "expected unsigned integers"));
        }
        self.read(index, |accessor, bytes| integer(accessor.component_type, bytes))
    }

    /// The displacements of a morph target that are not zero: vertices, ascending, and how far. What a sparse
    /// accessor leaves out costs nothing.
    pub(super) fn displacements(&self, index: usize) -> Result<(Vec<u32>, Vec<Vec3>)> {
        let (accessor, size) = self.checked::<3>(index)?;
        let Some(sparse) = accessor.sparse.as_ref().filter(|_| accessor.buffer_view.is_none()) else {
            if accessor.buffer_view.is_none() {
                return Ok((Vec::new(), Vec::new()));
            }
            let all = (0_u32..).zip(self.floats::<3>(index)?);
            return Ok(all.filter(|(_, delta)| *delta != [0.0; 3]).unzip());
        };
        let indices = self.sparse_indices(index, &sparse.indices, sparse.count, accessor.count)?;
        let place = (sparse.values.buffer_view, sparse.values.byte_offset);
        let values = self.elements(index, place, (3 * size, sparse.count), false)?;
        let delta = |bytes: &[u8]| -> Vec3 {
            std::array::from_fn(|i| {
                float(accessor.component_type, accessor.normalized, bytes.get(i * size..).unwrap_or_default())
            })
        };
        Ok((indices, values.iter().map(delta).collect()))
    }
}

/// Bytes of a component.
fn component_size(component: u32) -> Option<usize> {
    match component {
        5120 | 5121 => Some(1),
        5122 | 5123 => Some(2),
        5125 | 5126 => Some(4),
        _ => None,
    }
}

fn integer(component: u32, bytes: &[u8]) -> u32 {
    match (component, bytes) {
        (5121, [a, ..]) => u32::from(*a),
        (5123, [a, b, ..]) => u32::from(u16::from_le_bytes([*a, *b])),
        (5125, [a, b, c, d, ..]) => u32::from_le_bytes([*a, *b, *c, *d]),
        _ => 0,
    }
}

/// A number as f32; normalised integers become 0 to 1 or -1 to 1.
fn float(component: u32, normalized: bool, bytes: &[u8]) -> f32 {
    let (value, largest) = match (component, bytes) {
        (5126, [a, b, c, d, ..]) => return f32::from_le_bytes([*a, *b, *c, *d]),
        (5120, [a, ..]) => (f32::from(*a as i8), 127.0),
        (5121, [a, ..]) => (f32::from(*a), 255.0),
        (5122, [a, b, ..]) => (f32::from(i16::from_le_bytes([*a, *b])), 32767.0),
        (5123, [a, b, ..]) => (f32::from(u16::from_le_bytes([*a, *b])), 65535.0),
        (5125, [a, b, c, d, ..]) => return u32::from_le_bytes([*a, *b, *c, *d]) as f32,
        _ => return 0.0,
    };
    if normalized { (value / largest).max(-1.0) } else { value }
}
