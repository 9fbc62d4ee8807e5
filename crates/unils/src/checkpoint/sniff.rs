//! Files that are no checkpoints, recognised by their first bytes, so that the error says what to do.

use super::shown;
use crate::Error;

/// How many first bytes are looked at.
const HEAD: usize = 1024;

/// First bytes of torch files before version 1.6: the pickled number 0x1950a86a20f9469cfc6c.
const LEGACY_TORCH: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";

/// The error for a file that is neither a torch zip nor safetensors.
pub(super) fn refusal(bytes: &[u8], place: &str) -> Error {
    let head = &bytes[..bytes.len().min(HEAD)];
    let (what, hint) = recognise(head);
    Error::checkpoint(place, what).with_hint(hint)
}

fn recognise(head: &[u8]) -> (String, String) {
    let (what, hint) = match head {
        [] => ("is empty", "a download or copy was interrupted: fetch the file again"),
        _ if head.starts_with(LEGACY_TORCH) || head.get(257..262) == Some(b"ustar") => (
            "is a PyTorch file in the format before version 1.6, which is not read",
            "convert it once with any newer PyTorch: python -c \"import torch; \
             torch.save(torch.load('old.pt', map_location='cpu', weights_only=True), 'new.pt')\"",
        ),
        _ if head.starts_with(b"version https://git-lfs") => (
            "is a Git LFS pointer, not the weights themselves",
            "run `git lfs pull` in that folder, or download the file from its web page",
        ),
        _ if is_web_page(head) => (
            "is a web page, not a checkpoint",
            "the download link led to a page: open it in a browser, or fetch the file with a token if it asks for one",
        ),
        [b'R', b'I', b'F', b'F', ..]
        | [b'f', b'L', b'a', b'C', ..]
        | [b'O', b'g', b'g', b'S', ..]
        | [b'I', b'D', b'3', ..]
        | [0xff, 0xf0..=0xff, ..] => {
            ("is an audio file, not a checkpoint", "are the arguments in the right order?")
        }
        _ if head.get(4..8) == Some(b"ftyp") => {
            ("is an MP4 media file, not a checkpoint", "are the arguments in the right order?")
        }
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => (
            "is a NumPy array (.npy), not a checkpoint",
            "motion and style clips are .npy; the checkpoint is a .pt or .safetensors file",
        ),
        [0x1f, 0x8b, ..]
        | [b'7', b'z', 0xbc, 0xaf, ..]
        | [0xfd, b'7', b'z', ..]
        | [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            ("is a compressed archive", "unpack it and name the checkpoint inside")
        }
        [b'G', b'G', b'U', b'F', ..] => {
            ("is a GGUF file, which is not read", "use the model's .safetensors or .pt file")
        }
        [0x89, b'H', b'D', b'F', ..] => {
            ("is an HDF5 file, which is not read", "use the model's .safetensors or .pt file")
        }
        [0x80, 0..=5, ..] => (
            "is a bare pickle, not a file of torch.save",
            "a face model (.pkl) goes where the face is asked for; a checkpoint is a .pt or .safetensors file",
        ),
        _ if head.iter().all(|&byte| byte == 0) => {
            ("starts with nothing but zeros", "a download or copy was interrupted: fetch the file again")
        }
        _ => return unknown(head),
    };
    (what.to_owned(), hint.to_owned())
}

fn unknown(head: &[u8]) -> (String, String) {
    let text = std::str::from_utf8(head).is_ok_and(|text| !text.contains('\0'));
    let start = &head[..head.len().min(12)];
    let what = if text {
        format!("is text, not a checkpoint; it starts with `{}`", shown(&String::from_utf8_lossy(start)))
    } else {
        format!("is no checkpoint that is known; it starts with the bytes {start:02x?}")
    };
    (
        what,
        "checkpoints are .pt or .bin files of torch.save, .safetensors files and Hugging Face folders".into(),
    )
}

fn is_web_page(head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(head).trim_start_matches('\u{feff}').trim_start().to_ascii_lowercase();
    ["<!doctype", "<html", "<?xml", "<head"].iter().any(|start| text.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_files_are_named() {
        let cases: [(&[u8], &str); 12] = [
            (b"", "empty"),
            (LEGACY_TORCH, "before version 1.6"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "Git LFS"),
            (b"\n<!DOCTYPE html><html>", "web page"),
            (b"RIFF\x24\x08\0\0WAVEfmt ", "audio"),
            (b"\xff\xfb\x90\x64", "audio"),
            (b"\0\0\0\x20ftypM4A ", "MP4"),
            (b"\x1f\x8b\x08\0", "archive"),
            (b"\x80\x04\x95\0", "bare pickle"),
            (&[0; 64], "zeros"),
            (b"motion_dim = 108\n", "text"),
            (b"\x01\x02\x03\xfe\xff", "01, 02, 03, fe, ff"),
        ];
        for (bytes, expected) in cases {
            let error = refusal(bytes, "weights.pt");
            assert!(error.to_string().contains(expected), "{error}");
            assert!(error.hint().is_some_and(|hint| !hint.is_empty()), "{error}");
        }
    }
}
