//! The binary container: a header of 12 bytes, a chunk of JSON, a chunk of numbers.

use crate::{Error, Result};

const MAGIC: &[u8; 4] = b"glTF";
const JSON: u32 = u32::from_le_bytes(*b"JSON");
const BIN: u32 = u32::from_le_bytes(*b"BIN\0");

/// Header and chunk headers of a file with both chunks.
const OVERHEAD: usize = 12 + 8 + 8;

/// Whether this is a `.glb`, by its first bytes.
pub(super) fn is_glb(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// Puts both chunks together, padded as the format wants.
pub(super) fn join(mut json: Vec<u8>, mut bin: Vec<u8>) -> Result<Vec<u8>> {
    json.resize(json.len().next_multiple_of(4), b' ');
    bin.resize(bin.len().next_multiple_of(4), 0);
    let total = OVERHEAD + json.len() + bin.len();
    let Ok(size) = u32::try_from(total) else {
        return Err(Error::face("glb", format!("{total} bytes: a .glb holds at most 4 GiB"))
            .with_hint("write fewer frames, or each participant into a file of its own"));
    };
    let mut out = Vec::with_capacity(total);
    out.extend_from_slice(MAGIC);
    // Both lengths are below the total, which fits.
    for number in [2, size, json.len() as u32, JSON] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.append(&mut json);
    for number in [bin.len() as u32, BIN] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.append(&mut bin);
    Ok(out)
}

/// The JSON and, if there is one, the binary chunk of a `.glb`.
pub(super) fn split<'b>(bytes: &'b [u8], place: &str) -> Result<(&'b [u8], Option<&'b [u8]>)> {
    let damaged = |what: String| {
        Error::face(place, what).with_hint("the file is cut short or damaged: get or export it again")
    };
    let version = number_at(bytes, 4).ok_or_else(|| damaged("ends within its header".to_owned()))?;
    if version != 2 {
        return Err(Error::face(place, format!("is glTF {version}, expected glTF 2"))
            .with_hint("export the head as glTF 2.0 (.glb)"));
    }
    let mut chunks = Vec::new();
    let mut rest = bytes.get(12..).unwrap_or_default();
    while chunks.len() < 2 && !rest.is_empty() {
        let (Some(length), Some(kind)) = (number_at(rest, 0), number_at(rest, 4)) else {
            break;
        };
        let Some(end) = (length as usize).checked_add(8).filter(|&end| end <= rest.len()) else {
            let what = format!("a chunk of {length} bytes in the {} left", rest.len().saturating_sub(8));
            return Err(damaged(what));
        };
        chunks.push((kind, &rest[8..end]));
        rest = &rest[end..];
    }
    match chunks.as_slice() {
        [(JSON, json)] => Ok((json, None)),
        [(JSON, json), (kind, bin)] => Ok((json, (*kind == BIN).then_some(bin))),
        _ => Err(damaged("does not begin with a chunk of JSON".to_owned())),
    }
}

fn number_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|&four| u32::from_le_bytes(four))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_come_back_padded() {
        let bytes = join(b"{\"a\":1}".to_vec(), vec![1, 2, 3, 4, 5]).unwrap();
        assert!(is_glb(&bytes) && bytes.len().is_multiple_of(4));
        let (json, bin) = split(&bytes, "test").unwrap();
        assert_eq!(json, b"{\"a\":1} ");
        assert_eq!(bin, Some([1, 2, 3, 4, 5, 0, 0, 0].as_slice()));
    }

    #[test]
    fn every_cut_is_noticed_or_harmless() {
        let bytes = join(b"{\"a\":1}".to_vec(), vec![7; 16]).unwrap();
        for end in 0..bytes.len() {
            if let Ok((json, bin)) = split(&bytes[..end], "test") {
                assert!(json == b"{\"a\":1} " && bin.is_none(), "{end}");
            }
        }
    }
}
