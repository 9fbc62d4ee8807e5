//! Checkpoints: tensors and configuration from files that others made, without running or trusting them.
//!
//! First in the pipeline: every model is built from a [`TensorFile`]. One reader serves the release's PyTorch files
//! ([`FileKind::Torch`]), safetensors, our own form (safetensors with a TOML beside it) and Hugging Face folders;
//! [`pickle`] is the machine under the first and can read other pickles; [`write_safetensors`] writes the own form.
//!
//! ```
//! use std::collections::BTreeMap;
//! use unils::checkpoint::{StoredAs, TensorFile, TensorSpec, write_safetensors};
//!
//! let folder = std::env::temp_dir().join(format!("unils-doc-{}", std::process::id()));
//! std::fs::create_dir_all(&folder).unwrap();
//! let path = folder.join("tiny.safetensors");
//! let weight = [0.5_f32, -1.0, 2.0];
//! write_safetensors(&path, [("layer.weight", &[3][..], &weight[..], StoredAs::F32)], &BTreeMap::new())?;
//!
//! let file = TensorFile::open(&path)?;
//! assert_eq!(file.read_f32("layer.weight")?, weight);
//! # std::fs::remove_dir_all(&folder).unwrap();
//! # Ok::<(), unils::Error>(())
//! ```

mod directory;
mod dtype;
mod part;
pub mod pickle;
mod safe;
mod sniff;
mod summary;
mod tensor_file;
mod torch;
mod write;

pub use dtype::Dtype;
pub use summary::{DtypeCount, FileSummary, Group};
pub use tensor_file::{FileKind, TensorFile, TensorInfo};
pub(crate) use write::stored_as;
pub use write::{StoredAs, TensorSpec, write_safetensors, write_tensors};

/// Text from a file, fit for an error message: control characters escaped, at most some 200 characters.
pub(crate) fn shown(text: &str) -> String {
    const MOST: usize = 200;
    let mut out = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == MOST {
            out.push_str("...");
            break;
        }
        if c.is_control() || is_direction(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// A fault in a TOML text on one line: the text itself, which the error would quote, may be of any length.
pub fn toml_fault(text: &str, error: &toml::de::Error) -> String {
    let message = shown(error.message());
    match error.span().and_then(|span| text.get(..span.start)) {
        Some(before) => format!("line {}: {message}", before.matches('\n').count() + 1),
        None => message,
    }
}

/// Characters that reorder the text around them on a terminal.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn shown_text_is_tame() {
        assert_eq!(shown("layer.weight"), "layer.weight");
        assert_eq!(shown("a\x1b[31mb\n\u{202e}"), "a\\u{1b}[31mb\\u{a}\\u{202e}");
        assert_eq!(shown(&"x".repeat(1000)).len(), 203);
    }
}
