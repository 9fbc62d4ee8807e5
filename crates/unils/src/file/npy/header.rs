//! The header of a `.npy` file: a magic number, a length, and a Python dictionary literal of three keys.

use std::io::Read;

use crate::file::read_fault;
use crate::motion::shorten;
use crate::{Error, Result};

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Bytes of the longest header text that is read; NumPy itself stops at 10 000.
const MAX_TEXT_BYTES: usize = 1 << 16;
/// Most dimensions that are read, as in NumPy 1.
const MAX_DIMENSIONS: usize = 32;
/// The data of a written file begins at a multiple of this.
const ALIGNMENT: usize = 64;

/// What an element is, regardless of its byte order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are NumPy's")]
pub enum Kind {
    Bool,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    F16,
    F32,
    F64,
    /// Text in four bytes a character, padded with zeros.
    Unicode,
    /// Text in one byte a character, padded with zeros.
    Bytes,
}

/// An element type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dtype {
    kind: Kind,
    big_endian: bool,
    item_bytes: usize,
}

impl Dtype {
    /// What an element is.
    pub fn kind(self) -> Kind {
        self.kind
    }

    /// Whether its most significant byte comes first.
    pub fn big_endian(self) -> bool {
        self.big_endian
    }

    /// Bytes of an element, at least 1.
    pub fn item_bytes(self) -> usize {
        self.item_bytes
    }

    /// From NumPy's type string, as `<f4`; `None` for what is not read.
    fn parse(descr: &str) -> Option<Self> {
        let mut chars = descr.chars();
        let order = chars.next().filter(|order| matches!(order, '<' | '>' | '|' | '='))?;
        let letter = chars.next()?;
        let size: usize = chars.as_str().parse().ok()?;
        let kind = match (letter, size) {
            ('b', 1) => Kind::Bool,
            ('i', 1) => Kind::I8,
            ('i', 2) => Kind::I16,
            ('i', 4) => Kind::I32,
            ('i', 8) => Kind::I64,
            ('u', 1) => Kind::U8,
            ('u', 2) => Kind::U16,
            ('u', 4) => Kind::U32,
            ('u', 8) => Kind::U64,
            ('f', 2) => Kind::F16,
            ('f', 4) => Kind::F32,
            ('f', 8) => Kind::F64,
            ('U', 1..) => Kind::Unicode,
            ('S', 1..) => Kind::Bytes,
            _ => return None,
        };
        let item_bytes = if kind == Kind::Unicode { size.checked_mul(4)? } else { size };
        Some(Self { kind, big_endian: order == '>', item_bytes })
    }
}

/// What a `.npy` file says about its array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    dtype: Dtype,
    fortran_order: bool,
    shape: Vec<usize>,
    data_bytes: u64,
    encoded_bytes: u64,
}

impl Header {
    /// The element type.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Whether the first index moves fastest in the file.
    pub fn fortran_order(&self) -> bool {
        self.fortran_order
    }

    /// Length of each dimension, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Bytes of all elements.
    pub fn data_bytes(&self) -> u64 {
        self.data_bytes
    }

    /// Bytes of the header itself.
    pub(super) fn encoded_bytes(&self) -> u64 {
        self.encoded_bytes
    }

    /// For messages, as `an array of shape [2, 50, 108]`.
    pub(super) fn summary(&self) -> String {
        format!("an array of shape {:?}", self.shape)
    }
}

/// A header for C order, little-endian, padded so that the data is aligned.
pub(super) fn encode(descr: &str, shape: &[usize]) -> Vec<u8> {
    let mut dimensions: String = shape.iter().map(|length| format!("{length}, ")).collect();
    if shape.len() > 1 {
        dimensions.truncate(dimensions.len() - 2);
    }
    let dimensions = dimensions.trim_end();
    let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({dimensions}), }}");
    let padded = |prefix: usize| (prefix + text.len() + 1).next_multiple_of(ALIGNMENT);
    let mut bytes = MAGIC.to_vec();
    let total = match u16::try_from(padded(10) - 10) {
        Ok(length) => {
            bytes.extend([1, 0]);
            bytes.extend(length.to_le_bytes());
            padded(10)
        }
        Err(_) => {
            bytes.extend([2, 0]);
            bytes.extend(((padded(12) - 12) as u32).to_le_bytes());
            padded(12)
        }
    };
    bytes.extend(text.as_bytes());
    bytes.resize(total - 1, b' ');
    bytes.push(b'\n');
    bytes
}

/// Reads and checks a header.
pub(super) fn read(reader: &mut impl Read, place: &str) -> Result<Header> {
    let mut start = [0; 8];
    let mut take = |bytes: &mut [u8]| reader.read_exact(bytes).map_err(|error| read_fault(place, error));
    take(&mut start)?;
    if !start.starts_with(MAGIC) {
        return Err(Error::motion(place, "not a NumPy array file (its first bytes differ)")
            .with_hint("write it with numpy.save or numpy.savez"));
    }
    let (length, length_bytes) = match start[6] {
        1 => {
            let mut length = [0; 2];
            take(&mut length)?;
            (usize::from(u16::from_le_bytes(length)), 2)
        }
        2 | 3 => {
            let mut length = [0; 4];
            take(&mut length)?;
            (u32::from_le_bytes(length) as usize, 4)
        }
        version => {
            let what = format!("NumPy format version {version}, versions 1 to 3 are read");
            return Err(Error::motion(place, what));
        }
    };
    if length > MAX_TEXT_BYTES {
        let what = format!("declares a header of {length} bytes, more than {MAX_TEXT_BYTES}");
        return Err(Error::motion(place, what));
    }
    let mut text = vec![0; length];
    take(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    parse(&text, place, (start.len() + length_bytes + length) as u64)
}

fn parse(text: &str, place: &str, encoded_bytes: u64) -> Result<Header> {
    let malformed = || {
        Error::motion(place, format!("malformed NumPy header {:?}", shorten(text.trim_end())))
            .with_hint("the file is damaged or was not written by NumPy")
    };
    let mut literal = Literal { rest: text };
    let (mut descr, mut fortran_order, mut shape) = (None, None, None);
    literal.expect('{').ok_or_else(malformed)?;
    while literal.expect('}').is_none() {
        let key = literal.string().ok_or_else(malformed)?;
        literal.expect(':').ok_or_else(malformed)?;
        match key {
            "descr" if literal.expect('[').is_some() => {
                return Err(Error::motion(place, "holds records, expected plain numbers")
                    .with_hint("save one plain array: numpy.savez(path, motion=array)"));
            }
            "descr" => descr = Some(literal.string().ok_or_else(malformed)?),
            "fortran_order" => fortran_order = Some(literal.truth().ok_or_else(malformed)?),
            "shape" => shape = Some(literal.shape().ok_or_else(malformed)?),
            _ => return Err(malformed()),
        }
        if literal.expect(',').is_none() {
            literal.expect('}').ok_or_else(malformed)?;
            break;
        }
    }
    let (Some(descr), Some(fortran_order), Some(shape)) = (descr, fortran_order, shape) else {
        return Err(malformed());
    };
    if descr.contains('O') {
        return Err(Error::motion(place, "holds pickled Python objects, which are never loaded").with_hint(
            "save numbers: numpy.savez(path, motion=numpy.asarray(motion, dtype=numpy.float32))",
        ));
    }
    let Some(dtype) = Dtype::parse(descr) else {
        let what = format!("elements of type {:?} are not read", shorten(descr));
        return Err(Error::motion(place, what)
            .with_hint("read are bool, integers, float16, float32, float64 and text"));
    };
    let data_bytes = shape
        .iter()
        .try_fold(dtype.item_bytes as u64, |bytes, &length| bytes.checked_mul(length as u64))
        .ok_or_else(|| Error::motion(place, format!("the shape {shape:?} is absurd")))?;
    Ok(Header { dtype, fortran_order, shape, data_bytes, encoded_bytes })
}

/// The rest of a Python literal; blanks before each token are skipped.
struct Literal<'t> {
    rest: &'t str,
}

impl<'t> Literal<'t> {
    fn expect(&mut self, token: char) -> Option<()> {
        self.rest = self.rest.trim_start().strip_prefix(token)?;
        Some(())
    }

    /// A quoted string without escapes: keys and type strings have none.
    fn string(&mut self) -> Option<&'t str> {
        let text = self.rest.trim_start();
        let quote = text.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
        let (content, rest) = text[1..].split_once(quote)?;
        self.rest = rest;
        (!content.contains('\\')).then_some(content)
    }

    fn truth(&mut self) -> Option<bool> {
        let text = self.rest.trim_start();
        for (word, value) in [("True", true), ("False", false)] {
            if let Some(rest) = text.strip_prefix(word) {
                self.rest = rest;
                return Some(value);
            }
        }
        None
    }

    /// A tuple of lengths; Python 2 wrote long integers with a trailing L.
    fn shape(&mut self) -> Option<Vec<usize>> {
        self.expect('(')?;
        let mut shape = Vec::new();
        while self.expect(')').is_none() {
            let text = self.rest.trim_start();
            let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
            shape.push(text[..digits].parse().ok()?);
            let rest = &text[digits..];
            self.rest = rest.strip_prefix('L').unwrap_or(rest);
            if self.expect(',').is_none() {
                self.expect(')')?;
                break;
            }
        }
        (shape.len() <= MAX_DIMENSIONS).then_some(shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text: &str) -> Result<Header> {
        parse(text, "x.npy", 0)
    }

    #[test]
    fn headers_of_all_spellings_are_read() {
        let plain = header("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }\n").unwrap();
        assert_eq!((plain.shape(), plain.data_bytes()), ([3, 4].as_slice(), 48));
        let odd = header(r#" { "shape":(7L,) ,"fortran_order":True,"descr":">i2" } "#).unwrap();
        assert!(odd.fortran_order() && odd.dtype().big_endian());
        assert_eq!((odd.shape(), odd.data_bytes()), ([7].as_slice(), 14));
        let scalar = header("{'descr': '<U5', 'fortran_order': False, 'shape': ()}").unwrap();
        assert_eq!((scalar.shape().len(), scalar.data_bytes()), (0, 20));
    }

    #[test]
    fn hostile_headers_are_refused() {
        let with_shape =
            |shape: &str| format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
        let with_descr =
            |descr: &str| format!("{{'descr': {descr}, 'fortran_order': False, 'shape': (1,), }}");
        let many = format!("({})", "1,".repeat(33));
        let nested = "(".repeat(60_000);
        for text in [
            "",
            "{",
            "{}",
            "[]",
            "__import__('os').system('true')",
            &with_shape("(3, -4)"),
            &with_shape("(4611686018427387904, 8)"),
            &with_shape("(99999999999999999999999,)"),
            &with_shape("(3"),
            &with_shape("(,)"),
            &with_shape(&many),
            &with_shape(&nested),
            &with_descr("'|O'"),
            &with_descr("'<c8'"),
            &with_descr("'<U0'"),
            &with_descr("'<f3'"),
            &with_descr("'é4'"),
            &with_descr("[('a', '<f4')]"),
            &with_descr("'<U9999999999999999999'"),
            &with_descr("'<U4611686018427387904'"),
        ] {
            assert!(header(text).is_err(), "{text}");
        }
        assert!(header(&with_descr("'|O'")).unwrap_err().to_string().contains("pickled"));
    }

    #[test]
    fn written_headers_are_aligned_and_read_back() {
        for shape in [&[][..], &[5], &[2, 50, 108], &[1; 32]] {
            let bytes = encode("<f4", shape);
            assert!(bytes.len().is_multiple_of(ALIGNMENT));
            let back = read(&mut &bytes[..], "x.npy").unwrap();
            assert_eq!(back.shape(), shape);
            assert_eq!(back.encoded_bytes(), bytes.len() as u64);
        }
        assert_eq!(encode("<f4", &vec![1; 30_000])[6], 2, "a long header takes version 2");
    }
}
