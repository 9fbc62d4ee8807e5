//! Element types of stored tensors and their conversion to `f32`.

use std::fmt;

use half::{bf16, f16};
use serde::Serialize;

/// Type of a tensor's elements in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// 64-bit float.
    F64,
    /// 32-bit float.
    F32,
    /// IEEE half precision.
    F16,
    /// bfloat16: the upper half of an `f32`.
    Bf16,
    /// Signed 64-bit integer.
    I64,
    /// Signed 32-bit integer.
    I32,
    /// Signed 16-bit integer.
    I16,
    /// Signed 8-bit integer.
    I8,
    /// Unsigned 64-bit integer.
    U64,
    /// Unsigned 32-bit integer.
    U32,
    /// Unsigned 16-bit integer.
    U16,
    /// Unsigned 8-bit integer.
    U8,
    /// A byte that is 0 or not.
    Bool,
}

impl Dtype {
    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 | Self::U64 => 8,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F16 | Self::Bf16 | Self::I16 | Self::U16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// The spelling of PyTorch's legacy storage classes, `torch.FloatStorage` without its end.
    pub(super) fn from_storage_class(name: &str) -> Option<Self> {
        Some(match name.strip_suffix("Storage")? {
            "Double" => Self::F64,
            "Float" => Self::F32,
            "Half" => Self::F16,
            "BFloat16" => Self::Bf16,
            "Long" => Self::I64,
            "Int" => Self::I32,
            "Short" => Self::I16,
            "Char" => Self::I8,
            "Byte" => Self::U8,
            "Bool" => Self::Bool,
            _ => return None,
        })
    }

    /// PyTorch's name, `torch.float32` without the module.
    pub(super) fn from_torch(name: &str) -> Option<Self> {
        Some(match name {
            "float64" => Self::F64,
            "float32" => Self::F32,
            "float16" => Self::F16,
            "bfloat16" => Self::Bf16,
            "int64" => Self::I64,
            "int32" => Self::I32,
            "int16" => Self::I16,
            "int8" => Self::I8,
            "uint64" => Self::U64,
            "uint32" => Self::U32,
            "uint16" => Self::U16,
            "uint8" => Self::U8,
            "bool" => Self::Bool,
            _ => return None,
        })
    }

    /// The safetensors type, `None` for those that this reader does not know (8-bit floats and smaller, complex).
    pub(super) fn from_safetensors(dtype: safetensors::Dtype) -> Option<Self> {
        use safetensors::Dtype as Theirs;
        Some(match dtype {
            Theirs::F64 => Self::F64,
            Theirs::F32 => Self::F32,
            Theirs::F16 => Self::F16,
            Theirs::BF16 => Self::Bf16,
            Theirs::I64 => Self::I64,
            Theirs::I32 => Self::I32,
            Theirs::I16 => Self::I16,
            Theirs::I8 => Self::I8,
            Theirs::U64 => Self::U64,
            Theirs::U32 => Self::U32,
            Theirs::U16 => Self::U16,
            Theirs::U8 => Self::U8,
            Theirs::BOOL => Self::Bool,
            _ => return None,
        })
    }

    /// The same type in safetensors' terms.
    pub(super) fn to_safetensors(self) -> safetensors::Dtype {
        use safetensors::Dtype as Theirs;
        match self {
            Self::F64 => Theirs::F64,
            Self::F32 => Theirs::F32,
            Self::F16 => Theirs::F16,
            Self::Bf16 => Theirs::BF16,
            Self::I64 => Theirs::I64,
            Self::I32 => Theirs::I32,
            Self::I16 => Theirs::I16,
            Self::I8 => Theirs::I8,
            Self::U64 => Theirs::U64,
            Self::U32 => Theirs::U32,
            Self::U16 => Theirs::U16,
            Self::U8 => Theirs::U8,
            Self::Bool => Theirs::BOOL,
        }
    }

    /// Elements, little-endian and packed, as `f32` (nearest; bools become 0 and 1), appended to `out`.
    pub(super) fn extend_f32(self, bytes: &[u8], out: &mut Vec<f32>) {
        fn each<const N: usize>(bytes: &[u8], out: &mut Vec<f32>, convert: impl Fn([u8; N]) -> f32) {
            out.extend(bytes.as_chunks::<N>().0.iter().map(|&chunk| convert(chunk)));
        }
        match self {
            Self::F64 => each(bytes, out, |b| f64::from_le_bytes(b) as f32),
            Self::F32 => each(bytes, out, f32::from_le_bytes),
            Self::F16 => each(bytes, out, |b| f16::from_le_bytes(b).to_f32()),
            Self::Bf16 => each(bytes, out, |b| bf16::from_le_bytes(b).to_f32()),
            Self::I64 => each(bytes, out, |b| i64::from_le_bytes(b) as f32),
            Self::I32 => each(bytes, out, |b| i32::from_le_bytes(b) as f32),
            Self::I16 => each(bytes, out, |b| f32::from(i16::from_le_bytes(b))),
            Self::I8 => each(bytes, out, |b| f32::from(i8::from_le_bytes(b))),
            Self::U64 => each(bytes, out, |b| u64::from_le_bytes(b) as f32),
            Self::U32 => each(bytes, out, |b| u32::from_le_bytes(b) as f32),
            Self::U16 => each(bytes, out, |b| f32::from(u16::from_le_bytes(b))),
            Self::U8 => each(bytes, out, |[b]| f32::from(b)),
            Self::Bool => each(bytes, out, |[b]| f32::from(u8::from(b != 0))),
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F64 => "f64",
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::I64 => "i64",
            Self::I32 => "i32",
            Self::I16 => "i16",
            Self::I8 => "i8",
            Self::U64 => "u64",
            Self::U32 => "u32",
            Self::U16 => "u16",
            Self::U8 => "u8",
            Self::Bool => "bool",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn f32s(dtype: Dtype, bytes: &[u8]) -> Vec<f32> {
        let mut out = Vec::new();
        dtype.extend_f32(bytes, &mut out);
        out
    }

    #[test]
    fn every_type_converts() {
        assert_eq!(f32s(Dtype::F64, &(-1.5_f64).to_le_bytes()), [-1.5]);
        assert_eq!(f32s(Dtype::F32, &0.1_f32.to_le_bytes()), [0.1]);
        assert_eq!(f32s(Dtype::F16, &[0x00, 0x3c, 0x01, 0x00, 0xff, 0x7b]), [1.0, 5.960_464_5e-8, 65504.0]);
        assert_eq!(f32s(Dtype::Bf16, &[0x80, 0x3f, 0x49, 0x40]), [1.0, 3.140_625]);
        assert_eq!(f32s(Dtype::I64, &(-7_i64).to_le_bytes()), [-7.0]);
        assert_eq!(f32s(Dtype::I32, &i32::MIN.to_le_bytes()), [-2_147_483_648.0]);
        assert_eq!(f32s(Dtype::I16, &(-300_i16).to_le_bytes()), [-300.0]);
        assert_eq!(f32s(Dtype::I8, &[0x80, 0x7f]), [-128.0, 127.0]);
        assert_eq!(f32s(Dtype::U64, &u64::MAX.to_le_bytes()), [18_446_744_073_709_551_615.0]);
        assert_eq!(f32s(Dtype::U32, &u32::MAX.to_le_bytes()), [4_294_967_295.0]);
        assert_eq!(f32s(Dtype::U16, &[0xff, 0xff]), [65535.0]);
        assert_eq!(f32s(Dtype::U8, &[0, 255]), [0.0, 255.0]);
        assert_eq!(f32s(Dtype::Bool, &[0, 1, 2]), [0.0, 1.0, 1.0]);
    }
}
