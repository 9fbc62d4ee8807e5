//! The boxes that MP4 files are made of (ISO/IEC 14496-12, 4.2): a length, a four-letter name, contents.

/// Appends a box whose contents `fill` appends.
pub(super) fn boxed(out: &mut Vec<u8>, name: &[u8; 4], fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([0; 4]);
    out.extend(name);
    fill(out);
    // Callers keep tables below 4 GiB: a day of video has 18 MB of them.
    let length = (out.len() - start) as u32;
    if let Some(place) = out.get_mut(start..start + 4) {
        place.copy_from_slice(&length.to_be_bytes());
    }
}

/// Appends a box that starts with a version and flags.
pub(super) fn full_box(
    out: &mut Vec<u8>,
    name: &[u8; 4],
    version: u8,
    flags: u32,
    fill: impl FnOnce(&mut Vec<u8>),
) {
    boxed(out, name, |out| {
        u32s(out, &[u32::from(version) << 24 | flags]);
        fill(out);
    });
}

/// Appends big-endian numbers of 16 bits.
pub(super) fn u16s(out: &mut Vec<u8>, values: &[u16]) {
    out.extend(values.iter().flat_map(|value| value.to_be_bytes()));
}

/// Appends big-endian numbers of 32 bits.
pub(super) fn u32s(out: &mut Vec<u8>, values: &[u32]) {
    out.extend(values.iter().flat_map(|value| value.to_be_bytes()));
}
