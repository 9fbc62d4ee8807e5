//! NumPy's array files (`.npy`, and the entries of `.npz`), read with suspicion.
//!
//! Reads format versions 1 to 3 in C and Fortran order, either byte order, with elements of bool, 8 to 64 bit
//! integers, float16, float32, float64 and text (`U`, `S`); writes version 1 (2 where the header needs it),
//! little-endian, C order. Arrays of pickled objects and records are refused: nothing from a file is ever run.
//!
//! Own code, small, and not the `npyz` crate, because headers come from outside: `npyz` allocates what a header
//! declares, up to 4 GiB, before it reads it, and hands the text to a recursive parser that deep nesting
//! overflows. Here a header is at most 64 KiB and not recursive, and memory grows only with bytes that are there.
//! Format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.
//!
//! ```
//! use unils::file::npy::{Array, Data};
//! let array = Array::new(&[2, 3], Data::from(&[0.0_f32, 1.0, 2.0, 3.0, 4.0, 5.0][..]))?;
//! let mut bytes = Vec::new();
//! array.write(&mut bytes).unwrap();
//! assert_eq!(Array::from_bytes(&bytes, "example.npy")?, array);
//! # Ok::<(), unils::Error>(())
//! ```

mod header;

use std::borrow::Cow;
use std::io::{self, Read, Write};

use half::f16;

pub use header::{Dtype, Header, Kind};

use super::read_fault;
use crate::{Error, Result};

/// Bytes of the largest array that is read: 2 GiB, a day of a dyad's motion.
pub const MAX_BYTES: u64 = 1 << 31;

/// Bytes of the largest array of text that is read: 4 MiB, for texts take far more room than their bytes.
const MAX_TEXT_BYTES: u64 = 1 << 22;

/// Bytes that are converted at a time.
const CHUNK_BYTES: usize = 1 << 16;

/// An array's numbers or texts, in C order. Integers are widened to 64 bit, truth values become 0 and 1.
#[derive(Debug, Clone, PartialEq)]
pub enum Data<'a> {
    /// float16.
    F16(Cow<'a, [f16]>),
    /// float32.
    F32(Cow<'a, [f32]>),
    /// float64.
    F64(Cow<'a, [f64]>),
    /// int8 to int64.
    I64(Cow<'a, [i64]>),
    /// bool and uint8 to uint64.
    U64(Cow<'a, [u64]>),
    /// Text, without the zeros that pad it.
    Text(Cow<'a, [String]>),
}

macro_rules! data_from {
    ($($element:ty => $variant:ident),* $(,)?) => {
        $(impl<'a> From<&'a [$element]> for Data<'a> {
            fn from(values: &'a [$element]) -> Self {
                Self::$variant(Cow::Borrowed(values))
            }
        }
        impl From<Vec<$element>> for Data<'_> {
            fn from(values: Vec<$element>) -> Self {
                Self::$variant(Cow::Owned(values))
            }
        })*
    };
}

data_from!(f16 => F16, f32 => F32, f64 => F64, i64 => I64, u64 => U64, String => Text);

impl Data<'_> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Self::F16(values) => values.len(),
            Self::F32(values) => values.len(),
            Self::F64(values) => values.len(),
            Self::I64(values) => values.len(),
            Self::U64(values) => values.len(),
            Self::Text(values) => values.len(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// NumPy's type that these elements are written as.
    fn descr(&self) -> String {
        match self {
            Self::F16(_) => "<f2".to_owned(),
            Self::F32(_) => "<f4".to_owned(),
            Self::F64(_) => "<f8".to_owned(),
            Self::I64(_) => "<i8".to_owned(),
            Self::U64(_) => "<u8".to_owned(),
            Self::Text(texts) => format!("<U{}", text_chars(texts)),
        }
    }
}

/// Characters of the longest text, at least 1: NumPy has no use for elements of no size.
fn text_chars(texts: &[String]) -> usize {
    texts.iter().map(|text| text.chars().count()).max().unwrap_or(0).max(1)
}

/// An array: its shape (empty for a scalar) and its elements in C order.
#[derive(Debug, Clone, PartialEq)]
pub struct Array<'a> {
    shape: Vec<usize>,
    data: Data<'a>,
}

impl<'a> Array<'a> {
    /// An array from its parts.
    ///
    /// # Errors
    /// [`Error::Argument`] if the shape does not have that many elements.
    pub fn new(shape: &[usize], data: Data<'a>) -> Result<Self> {
        let elements = shape.iter().try_fold(1_usize, |product, &length| product.checked_mul(length));
        if elements != Some(data.len()) {
            let what = format!("{} elements do not make the shape {shape:?}", data.len());
            return Err(Error::argument("array", what));
        }
        Ok(Self { shape: shape.to_vec(), data })
    }

    /// Length of each dimension, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements, in C order.
    pub fn data(&self) -> &Data<'a> {
        &self.data
    }

    /// The elements, given away.
    pub fn into_data(self) -> Data<'a> {
        self.data
    }

    /// Writes the array as a `.npy` file.
    ///
    /// # Errors
    /// Those of `writer`.
    pub fn write(&self, mut writer: impl Write) -> io::Result<()> {
        writer.write_all(&header::encode(&self.data.descr(), &self.shape))?;
        match &self.data {
            Data::F16(values) => write_elements(writer, values, |value| value.to_le_bytes()),
            Data::F32(values) => write_elements(writer, values, |value| value.to_le_bytes()),
            Data::F64(values) => write_elements(writer, values, |value| value.to_le_bytes()),
            Data::I64(values) => write_elements(writer, values, |value| value.to_le_bytes()),
            Data::U64(values) => write_elements(writer, values, |value| value.to_le_bytes()),
            Data::Text(texts) => {
                let width = text_chars(texts);
                texts.iter().try_for_each(|text| {
                    let padded = text.chars().map(u32::from).chain(std::iter::repeat(0)).take(width);
                    let bytes: Vec<u8> = padded.flat_map(u32::to_le_bytes).collect();
                    writer.write_all(&bytes)
                })
            }
        }
    }
}

fn write_elements<T: Copy, const N: usize>(
    mut writer: impl Write,
    values: &[T],
    encode: impl Fn(T) -> [u8; N],
) -> io::Result<()> {
    let mut chunk = Vec::with_capacity(CHUNK_BYTES.min(values.len() * N));
    for values in values.chunks(CHUNK_BYTES / N) {
        chunk.clear();
        values.iter().for_each(|&value| chunk.extend_from_slice(&encode(value)));
        writer.write_all(&chunk)?;
    }
    Ok(())
}

impl Array<'static> {
    /// Reads the array of a `.npy` file held in memory; `place` names it in messages.
    ///
    /// # Errors
    /// [`Error::Motion`] if it is no such file, is cut short, or holds elements that are not read.
    pub fn from_bytes(bytes: &[u8], place: &str) -> Result<Self> {
        Source::new(bytes, place, bytes.len() as u64)?.array()
    }
}

/// A `.npy` stream whose header has been read and found to fit the bytes that follow.
#[derive(Debug)]
pub(crate) struct Source<'p, R> {
    header: Header,
    place: &'p str,
    reader: R,
}

impl<'p, R: Read> Source<'p, R> {
    /// Reads the header from `reader`, of which at most `available` bytes are to come.
    pub(crate) fn new(mut reader: R, place: &'p str, available: u64) -> Result<Self> {
        let header = header::read(&mut reader, place)?;
        let bytes = header.data_bytes();
        if bytes > MAX_BYTES {
            let what = format!("{} declares {bytes} bytes, more than 2 GiB", header.summary());
            return Err(Error::motion(place, what));
        }
        if bytes > available.saturating_sub(header.encoded_bytes()) {
            let what =
                format!("{} needs {bytes} bytes of data, the file does not have them", header.summary());
            return Err(
                Error::motion(place, what).with_hint("the file is cut short or damaged: get it again")
            );
        }
        Ok(Self { header, place, reader })
    }

    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// The whole array in its own element type.
    pub(crate) fn array(&mut self) -> Result<Array<'static>> {
        let data = match self.header.dtype().kind() {
            Kind::F16 => self.elements(f16::from_bits, u16::from_le_bytes)?.into(),
            Kind::F32 => self.elements(f32::from_bits, u32::from_le_bytes)?.into(),
            Kind::F64 => self.elements(f64::from_bits, u64::from_le_bytes)?.into(),
            Kind::I8 => self.elements(i64::from, i8::from_le_bytes)?.into(),
            Kind::I16 => self.elements(i64::from, i16::from_le_bytes)?.into(),
            Kind::I32 => self.elements(i64::from, i32::from_le_bytes)?.into(),
            Kind::I64 => self.elements(i64::from, i64::from_le_bytes)?.into(),
            Kind::Bool => self.elements(|value| u64::from(value != 0), u8::from_le_bytes)?.into(),
            Kind::U8 => self.elements(u64::from, u8::from_le_bytes)?.into(),
            Kind::U16 => self.elements(u64::from, u16::from_le_bytes)?.into(),
            Kind::U32 => self.elements(u64::from, u32::from_le_bytes)?.into(),
            Kind::U64 => self.elements(u64::from, u64::from_le_bytes)?.into(),
            Kind::Unicode | Kind::Bytes => self.texts()?.into(),
        };
        Ok(Array { shape: self.header.shape().to_vec(), data })
    }

    /// All elements as f32, in C order, converted as they are read: one copy in memory (two for Fortran order).
    pub(crate) fn f32_values(&mut self) -> Result<Vec<f32>> {
        match self.header.dtype().kind() {
            Kind::F16 => self.elements(|bits| f16::from_bits(bits).to_f32(), u16::from_le_bytes),
            Kind::F32 => self.elements(f32::from_bits, u32::from_le_bytes),
            Kind::F64 => self.elements(|bits| f64::from_bits(bits) as f32, u64::from_le_bytes),
            Kind::I8 => self.elements(f32::from, i8::from_le_bytes),
            Kind::I16 => self.elements(f32::from, i16::from_le_bytes),
            Kind::I32 => self.elements(|value| value as f32, i32::from_le_bytes),
            Kind::I64 => self.elements(|value| value as f32, i64::from_le_bytes),
            Kind::Bool => self.elements(|value| f32::from(u8::from(value != 0)), u8::from_le_bytes),
            Kind::U8 => self.elements(f32::from, u8::from_le_bytes),
            Kind::U16 => self.elements(f32::from, u16::from_le_bytes),
            Kind::U32 => self.elements(|value| value as f32, u32::from_le_bytes),
            Kind::U64 => self.elements(|value| value as f32, u64::from_le_bytes),
            Kind::Unicode | Kind::Bytes => {
                let what = format!("{} holds text, expected numbers", self.header.summary());
                Err(Error::motion(self.place, what))
            }
        }
    }

    /// The rest of the stream, for its owner to check.
    pub(crate) fn into_reader(self) -> R {
        self.reader
    }

    fn elements<T: Copy, V, const N: usize>(
        &mut self,
        convert: impl Fn(V) -> T,
        decode: impl Fn([u8; N]) -> V,
    ) -> Result<Vec<T>> {
        let swap = self.header.dtype().big_endian();
        let mut values = Vec::new();
        self.chunks(|chunk| {
            values.extend(chunk.as_chunks::<N>().0.iter().map(|&(mut bytes)| {
                if swap {
                    bytes.reverse();
                }
                convert(decode(bytes))
            }));
            Ok(())
        })?;
        Ok(self.c_order(values))
    }

    fn texts(&mut self) -> Result<Vec<String>> {
        let dtype = self.header.dtype();
        let place = self.place;
        if self.header.data_bytes() > MAX_TEXT_BYTES {
            let what = format!("{} holds more than 4 MiB of text", self.header.summary());
            return Err(Error::motion(place, what));
        }
        let mut texts = Vec::new();
        self.chunks(|chunk| {
            for item in chunk.chunks_exact(dtype.item_bytes()) {
                let text = if dtype.kind() == Kind::Unicode {
                    item.as_chunks::<4>()
                        .0
                        .iter()
                        .map(|&bytes| code_point(bytes, dtype.big_endian()))
                        .collect()
                } else {
                    std::str::from_utf8(item).ok().map(str::to_owned)
                };
                let text: String =
                    text.ok_or_else(|| Error::motion(place, "holds text that is not Unicode"))?;
                texts.push(text.trim_end_matches('\0').to_owned());
            }
            Ok(())
        })?;
        Ok(self.c_order(texts))
    }

    /// Reads the data in whole elements, a bounded number of bytes at a time.
    fn chunks(&mut self, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let item = self.header.dtype().item_bytes();
        let per_chunk = (CHUNK_BYTES / item).max(1) * item;
        let mut left = self.header.data_bytes();
        let mut chunk = Vec::new();
        while left > 0 {
            let step = left.min(per_chunk as u64);
            chunk.clear();
            // Grows with what is there, so that a single huge element is no bomb either.
            let got = self.reader.by_ref().take(step).read_to_end(&mut chunk);
            let got = got.map_err(|error| read_fault(self.place, error))?;
            if (got as u64) < step {
                let what = format!("ends {} bytes before its data does", left - got as u64);
                return Err(Error::motion(self.place, what)
                    .with_hint("the file is cut short or damaged: get it again"));
            }
            take(&chunk)?;
            left -= step;
        }
        Ok(())
    }

    /// Brings elements that stand in Fortran order to C order.
    fn c_order<T: Clone>(&self, values: Vec<T>) -> Vec<T> {
        let shape = self.header.shape();
        if !self.header.fortran_order() || shape.len() < 2 {
            return values;
        }
        let mut index = vec![0_usize; shape.len()];
        let mut ordered = Vec::with_capacity(values.len());
        for _ in 0..values.len() {
            let source = index.iter().zip(shape).rev().fold(0, |sum, (&at, &length)| sum * length + at);
            ordered.push(values[source].clone());
            for (at, &length) in index.iter_mut().zip(shape).rev() {
                *at += 1;
                if *at < length {
                    break;
                }
                *at = 0;
            }
        }
        ordered
    }
}

fn code_point(mut bytes: [u8; 4], big_endian: bool) -> Option<char> {
    if big_endian {
        bytes.reverse();
    }
    char::from_u32(u32::from_le_bytes(bytes))
}
