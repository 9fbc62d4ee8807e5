//! From a pickled value to JSON, by rules that a reader can state.

use serde_json::{Map, Number, Value as Json};

use super::{Kind, Object, Value};
use crate::checkpoint::shown;

/// Deepest nesting that is followed.
const DEPTH: usize = 64;
/// Most values that are written; shared values count each time.
const VALUES: usize = 1 << 18;
/// Most bytes of text that are written; shared text counts each time.
const TEXT: usize = 1 << 24;

impl Value<'_> {
    /// The value as JSON.
    ///
    /// * `None`, bools, numbers, text: their JSON counterparts. Integers beyond 64 bits become text in hexadecimal
    ///   (two's complement), NaN and infinities the text `NaN`, `Infinity`, `-Infinity`.
    /// * Tuples, lists, sets and `torch.Size` become arrays. Bytes become text if they are UTF-8, else hexadecimal.
    /// * Dictionaries, and objects filled like one, become objects; keys that are bools, numbers or `None` are
    ///   spelled as `json.dumps` does, of equal keys the last counts.
    /// * An object whose state is a dictionary (`argparse.Namespace`) becomes that dictionary, a path its text.
    /// * Every other object, class or function (a tensor, say) becomes the text `<module.name>`.
    ///
    /// # Errors
    /// A sentence, if the value is nested more than 64 deep (or contains itself), or would become larger than a
    /// quarter of a million values or 16 MB of text.
    pub fn to_json(self) -> Result<Json, String> {
        Budget { values: VALUES, text: TEXT }.json(self, 0)
    }
}

struct Budget {
    values: usize,
    text: usize,
}

impl Budget {
    fn json(&mut self, value: Value<'_>, depth: usize) -> Result<Json, String> {
        if depth > DEPTH {
            return Err(format!("is nested more than {DEPTH} deep"));
        }
        self.values = self.values.checked_sub(1).ok_or_else(|| format!("has more than {VALUES} values"))?;
        Ok(match value.kind() {
            Kind::None => Json::Null,
            Kind::Bool(value) => Json::Bool(value),
            Kind::Int(value) => value.into(),
            Kind::BigInt(bytes) => self.big(bytes)?,
            Kind::Float(value) => float(value),
            Kind::Str(text) => self.text(text)?,
            Kind::Bytes(bytes) => self.bytes(bytes)?,
            Kind::Tuple(items) | Kind::List(items) | Kind::Set(items) => self.array(items, depth)?,
            Kind::Dict(pairs) => self.object(pairs, depth)?,
            Kind::Global { module, name } => self.placeholder(module, name)?,
            Kind::Object(object) => self.described(value, object, depth)?,
            Kind::Persistent(_) => Json::String("<persistent id>".into()),
        })
    }

    fn array<'t>(&mut self, items: impl Iterator<Item = Value<'t>>, depth: usize) -> Result<Json, String> {
        items.map(|item| self.json(item, depth + 1)).collect::<Result<Vec<_>, _>>().map(Json::Array)
    }

    fn object<'t>(
        &mut self,
        pairs: impl Iterator<Item = (Value<'t>, Value<'t>)>,
        depth: usize,
    ) -> Result<Json, String> {
        let mut map = Map::new();
        for (key, value) in pairs {
            let key = match self.json(key, depth + 1)? {
                Json::String(text) => text,
                other => other.to_string(),
            };
            map.insert(key, self.json(value, depth + 1)?);
        }
        Ok(Json::Object(map))
    }

    fn described(&mut self, value: Value<'_>, object: Object<'_>, depth: usize) -> Result<Json, String> {
        if let Some(pairs) = value.entries() {
            return self.object(pairs, depth);
        }
        let (module, name) = object.callable();
        match (module, name) {
            ("torch", "Size") => {
                let sizes = object.arguments().next().and_then(Value::items);
                return sizes.map_or(Ok(Json::Array(Vec::new())), |sizes| self.array(sizes, depth));
            }
            ("builtins" | "__builtin__", "set" | "frozenset") => {
                let members = object.arguments().next().and_then(Value::items);
                return members.map_or(Ok(Json::Array(Vec::new())), |members| self.array(members, depth));
            }
            ("_codecs", "encode") => {
                if let Some(text) = object.arguments().next().and_then(Value::as_str) {
                    // before the work of decoding, which a shared text would cause again and again
                    self.charge(text.len())?;
                }
                if let Some(bytes) = value.as_bytes() {
                    return self.bytes(&bytes);
                }
            }
            ("pathlib", _) => {
                let parts: Option<Vec<_>> = object.arguments().map(Value::as_str).collect();
                return self.text(&parts.unwrap_or_default().join("/").replacen("//", "/", 1));
            }
            _ => {}
        }
        if let Some(pairs) = object.state().and_then(Value::entries) {
            return self.object(pairs, depth);
        }
        self.placeholder(module, name)
    }

    fn charge(&mut self, bytes: usize) -> Result<(), String> {
        self.text =
            self.text.checked_sub(bytes).ok_or_else(|| format!("has more than {TEXT} bytes of text"))?;
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<Json, String> {
        self.charge(text.len())?;
        Ok(Json::String(text.into()))
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<Json, String> {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.text(text),
            Err(_) => self.hexadecimal(bytes.iter()),
        }
    }

    fn big(&mut self, bytes: &[u8]) -> Result<Json, String> {
        // 2^63 .. 2^64 takes nine bytes, the last one zero
        if let [low @ .., 0] = bytes
            && let Ok(low) = <[u8; 8]>::try_from(low)
        {
            return Ok(u64::from_le_bytes(low).into());
        }
        match self.hexadecimal(bytes.iter().rev())? {
            Json::String(digits) => Ok(Json::String(format!("0x{digits}"))),
            other => Ok(other),
        }
    }

    fn hexadecimal<'b>(&mut self, bytes: impl ExactSizeIterator<Item = &'b u8>) -> Result<Json, String> {
        self.charge(bytes.len().saturating_mul(2))?;
        Ok(Json::String(bytes.map(|byte| format!("{byte:02x}")).collect()))
    }

    fn placeholder(&mut self, module: &str, name: &str) -> Result<Json, String> {
        self.text(&format!("<{}.{}>", shown(module), shown(name)))
    }
}

fn float(value: f64) -> Json {
    match Number::from_f64(value) {
        Some(number) => Json::Number(number),
        None if value.is_nan() => Json::String("NaN".into()),
        None if value > 0.0 => Json::String("Infinity".into()),
        None => Json::String("-Infinity".into()),
    }
}
