//! The text spellings of protocol 0: escaped byte strings, escaped Unicode, decimal numbers.

use std::borrow::Cow;

/// Value of one hexadecimal digit.
fn hex(byte: u8) -> Option<u32> {
    char::from(byte).to_digit(16)
}

/// The content of a quoted Python 2 string literal (`'a\x00b'`), or `None` if it is none.
pub(super) fn quoted_bytes(line: &[u8]) -> Option<Cow<'_, [u8]>> {
    let (&quote, rest) = line.split_first()?;
    let (&end, inner) = rest.split_last()?;
    if quote != end || !matches!(quote, b'\'' | b'"') {
        return None;
    }
    if !inner.contains(&b'\\') {
        return Some(Cow::Borrowed(inner));
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let escape = bytes.next()?;
        let decoded = match escape {
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'a' => 0x07,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'v' => 0x0b,
            b'\\' | b'\'' | b'"' => escape,
            b'x' => u8::try_from(hex(bytes.next()?)? * 16 + hex(bytes.next()?)?).ok()?,
            b'0'..=b'7' => {
                let mut value = u32::from(escape - b'0');
                for _ in 0..2 {
                    let Some(digit) = bytes.next_if(|byte| matches!(byte, b'0'..=b'7')) else { break };
                    value = value * 8 + u32::from(digit - b'0');
                }
                // Python keeps the low eight bits of \777
                value.to_le_bytes()[0]
            }
            _ => {
                out.push(b'\\');
                escape
            }
        };
        out.push(decoded);
    }
    Some(Cow::Owned(out))
}

/// Python's `raw-unicode-escape`: `\uXXXX` and `\UXXXXXXXX` are characters, other bytes are Latin-1.
///
/// Surrogate pairs, as narrow builds of Python 2 wrote them, are joined; a lone surrogate is no text (`None`).
pub(super) fn raw_unicode(line: &[u8]) -> Option<Cow<'_, str>> {
    if line.is_ascii() && !line.contains(&b'\\') {
        return std::str::from_utf8(line).ok().map(Cow::Borrowed);
    }
    let mut units = Vec::with_capacity(line.len());
    let mut rest = line;
    while let Some((&byte, tail)) = rest.split_first() {
        let digits = match (byte, tail.first()) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            _ => 0,
        };
        if digits == 0 {
            units.push(u16::from(byte));
            rest = tail;
            continue;
        }
        let code =
            tail.get(1..=digits)?.iter().try_fold(0_u32, |code, &digit| Some((code << 4) | hex(digit)?))?;
        match u16::try_from(code) {
            Ok(unit) => units.push(unit),
            Err(_) => units.extend_from_slice(char::from_u32(code)?.encode_utf16(&mut [0; 2])),
        }
        rest = &tail[1 + digits..];
    }
    String::from_utf16(&units).ok().map(Cow::Owned)
}

/// A decimal number, surrounding blanks allowed as in Python.
pub(super) fn number<T: std::str::FromStr>(line: &[u8]) -> Option<T> {
    std::str::from_utf8(line).ok()?.trim().parse().ok()
}

/// Two's complement, little-endian, without bytes that only repeat the sign: what the binary protocols write.
pub(super) fn shortest(value: i128) -> Vec<u8> {
    let mut bytes = value.to_le_bytes().to_vec();
    while let [.., before, last] = bytes.as_slice() {
        let negative = before & 0x80 != 0;
        if *last != if negative { 0xff } else { 0 } {
            break;
        }
        bytes.pop();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_strings_follow_python() {
        // each right side is what Python 3's codecs.escape_decode gives
        let cases: [(&[u8], Option<&[u8]>); 8] = [
            (b"'plain'", Some(b"plain")),
            (b"\"it's\"", Some(b"it's")),
            (br"'a\x00\xffb'", Some(b"a\x00\xffb")),
            (br"'\n\t\\\''", Some(b"\n\t\\'")),
            (br"'\101\7\777\q'", Some(b"A\x07\xff\\q")),
            (br"'\x4'", None),
            (b"'open", None),
            (b"'", None),
        ];
        for (line, expected) in cases {
            assert_eq!(quoted_bytes(line).as_deref(), expected, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn integers_are_shortest() {
        // pickle.encode_long of the same numbers
        assert_eq!(shortest(1 << 70), [0, 0, 0, 0, 0, 0, 0, 0, 0x40]);
        assert_eq!(shortest(-(1 << 90)), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xfc]);
        assert_eq!(shortest(1 << 63), [0, 0, 0, 0, 0, 0, 0, 0x80, 0]);
        assert_eq!(shortest(-1), [0xff]);
    }

    #[test]
    fn unicode_follows_python() {
        assert_eq!(raw_unicode(b"plain").as_deref(), Some("plain"));
        assert_eq!(raw_unicode(br"\u00e9\U0001F600\n").as_deref(), Some("é😀\\n"));
        assert_eq!(raw_unicode(b"\xe9").as_deref(), Some("é"));
        assert_eq!(raw_unicode(br"\ud83d\ude00").as_deref(), Some("😀"));
        for damaged in [&br"\ud83d"[..], br"\u12", br"\U00110000", br"\uzzzz"] {
            assert_eq!(raw_unicode(damaged), None, "{}", damaged.escape_ascii());
        }
    }
}
