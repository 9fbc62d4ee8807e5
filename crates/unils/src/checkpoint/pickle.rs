//! Pickles read as data: a stack machine that builds a tree of inert values and never runs anything.
//!
//! First stage of reading a PyTorch checkpoint (its `data.pkl`), and general enough for pickles of NumPy, SciPy and
//! Python 2. Python's own reader imports and calls whatever a pickle names; this one only writes down that "the file
//! asks for `module.name` with these arguments" ([`Object`]), after the caller's [`Policy`] has agreed to the name.
//! Anything else ends the reading with an error that names it.
//!
//! What a hostile file can cost is bounded: lengths are checked against the bytes that are there, values are counted
//! ([`Limits`]), shared values are stored once, and the tree lives in one flat table, so that neither deep nesting
//! nor a list that contains itself can overflow the stack when it is built or dropped. Whoever walks a tree by
//! recursion must bound depth and number of visits, as [`Value::to_json`] does.
//!
//! Protocols 0 to 5, as described by CPython's `Lib/pickletools.py`; out-of-band buffers and the extension registry
//! are refused, because their content is not in the file.
//!
//! ```
//! use unils::checkpoint::pickle::{AllowList, Tree};
//!
//! // pickle.dumps({"fps": 25}, protocol=2)
//! let tree = Tree::parse(b"\x80\x02}U\x03fpsK\x19s.", "demo.pkl", &AllowList(&[]))?;
//! assert_eq!(tree.root().get("fps").and_then(|fps| fps.as_i64()), Some(25));
//!
//! // what os.system("true") looks like
//! let refused = Tree::parse(b"cos\nsystem\n(U\x04truetR.", "evil.pkl", &AllowList(&[])).unwrap_err();
//! assert!(refused.to_string().contains("os.system"));
//! # Ok::<(), unils::Error>(())
//! ```

mod input;
mod json;
mod machine;
mod opcodes;
mod text;

use std::borrow::Cow;

use crate::Result;

/// What a caller lets a pickle name.
pub trait Policy {
    /// May the file name the Python class or function `module.name`? Nothing is imported or called either way.
    fn allows(&self, module: &str, name: &str) -> bool;

    /// May the file hold this persistent id (a reference to something outside the pickle)? Default: no.
    fn allows_persistent(&self, id: Value<'_>) -> bool {
        let _ = id;
        false
    }
}

/// The simplest policy: these `(module, name)` pairs and no persistent ids.
#[derive(Debug, Clone, Copy)]
pub struct AllowList<'l>(pub &'l [(&'l str, &'l str)]);

impl Policy for AllowList<'_> {
    fn allows(&self, module: &str, name: &str) -> bool {
        self.0.contains(&(module, name))
    }
}

/// Bounds on what one pickle may build. A value needs at least one byte of input in any case.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most values in the tree.
    pub values: usize,
    /// Most values waiting on the machine's stack.
    pub stack: usize,
}

impl Default for Limits {
    /// 4 million values (about 250 MB at worst): a released checkpoint has some ten thousand.
    fn default() -> Self {
        Self { values: 1 << 22, stack: 1 << 20 }
    }
}

/// Position of a value in its tree's table.
type Id = u32;

/// One value; children are positions in the same table.
#[derive(Debug)]
enum Node<'a> {
    None,
    Bool(bool),
    Int(i64),
    /// Two's complement, little-endian.
    BigInt(Cow<'a, [u8]>),
    Float(f64),
    Str(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
    Tuple(Box<[Id]>),
    List(Vec<Id>),
    Set(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global(Box<(Cow<'a, str>, Cow<'a, str>)>),
    Object(Box<ObjectNode>),
    Persistent(Id),
}

/// An object as its pickle describes it: what would be called with what, and what would be put into it.
#[derive(Debug)]
struct ObjectNode {
    callable: Id,
    arguments: Id,
    keywords: Option<Id>,
    state: Option<Id>,
    items: Vec<Id>,
    pairs: Vec<(Id, Id)>,
}

/// A parsed pickle: all values in one table, strings borrowed from the input where they are stored plainly.
#[derive(Debug)]
pub struct Tree<'a> {
    nodes: Vec<Node<'a>>,
    root: Id,
    consumed: usize,
}

impl<'a> Tree<'a> {
    /// Reads the pickle at the start of `input` within the default [`Limits`]; `place` names it in errors.
    ///
    /// # Errors
    /// [`Error::Checkpoint`](crate::Error::Checkpoint) if the policy refuses a name, the pickle is damaged or
    /// truncated, or a limit is passed.
    pub fn parse(input: &'a [u8], place: &str, policy: &impl Policy) -> Result<Self> {
        Self::parse_within(input, place, policy, Limits::default())
    }

    /// [`Tree::parse`] within the caller's limits.
    ///
    /// # Errors
    /// As for [`Tree::parse`].
    pub fn parse_within(input: &'a [u8], place: &str, policy: &impl Policy, limits: Limits) -> Result<Self> {
        machine::Machine::new(input, place, policy, limits).run()
    }

    /// The value that the pickle ends with.
    pub fn root(&self) -> Value<'_> {
        Value { tree: self, id: self.root }
    }

    /// Number of bytes up to and including the pickle's STOP.
    pub fn consumed(&self) -> usize {
        self.consumed
    }
}

/// A value of a [`Tree`]: a cheap copyable cursor.
#[derive(Debug, Clone, Copy)]
pub struct Value<'t> {
    tree: &'t Tree<'t>,
    id: Id,
}

/// What a [`Value`] is.
#[derive(Debug, Clone)]
pub enum Kind<'t> {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer of at most 64 bits.
    Int(i64),
    /// A larger integer: two's complement, little-endian.
    BigInt(&'t [u8]),
    /// A float.
    Float(f64),
    /// Text.
    Str(&'t str),
    /// Bytes, or a Python 2 string.
    Bytes(&'t [u8]),
    /// A tuple.
    Tuple(Items<'t>),
    /// A list.
    List(Items<'t>),
    /// A set or frozen set.
    Set(Items<'t>),
    /// A plain dictionary.
    Dict(Pairs<'t>),
    /// A class or function, by name only.
    Global {
        /// Module, e.g. `collections`.
        module: &'t str,
        /// Name inside the module, e.g. `OrderedDict`.
        name: &'t str,
    },
    /// An object that would be made by calling a global.
    Object(Object<'t>),
    /// A reference to something outside the pickle.
    Persistent(Value<'t>),
}

impl<'t> Value<'t> {
    fn at(self, id: Id) -> Self {
        Self { tree: self.tree, id }
    }

    fn items_of(self, ids: &'t [Id]) -> Items<'t> {
        Items { tree: self.tree, ids: ids.iter() }
    }

    fn pairs_of(self, ids: &'t [(Id, Id)]) -> Pairs<'t> {
        Pairs { tree: self.tree, ids: ids.iter() }
    }

    /// What it is.
    pub fn kind(self) -> Kind<'t> {
        match &self.tree.nodes[self.id as usize] {
            Node::None => Kind::None,
            Node::Bool(value) => Kind::Bool(*value),
            Node::Int(value) => Kind::Int(*value),
            Node::BigInt(bytes) => Kind::BigInt(bytes),
            Node::Float(value) => Kind::Float(*value),
            Node::Str(text) => Kind::Str(text),
            Node::Bytes(bytes) => Kind::Bytes(bytes),
            Node::Tuple(ids) => Kind::Tuple(self.items_of(ids)),
            Node::List(ids) => Kind::List(self.items_of(ids)),
            Node::Set(ids) => Kind::Set(self.items_of(ids)),
            Node::Dict(pairs) => Kind::Dict(self.pairs_of(pairs)),
            Node::Global(names) => Kind::Global { module: &names.0, name: &names.1 },
            Node::Object(object) => Kind::Object(Object { value: self, object }),
            Node::Persistent(id) => Kind::Persistent(self.at(*id)),
        }
    }

    /// What it is, in a word for error messages.
    pub fn noun(self) -> &'static str {
        match self.kind() {
            Kind::None => "None",
            Kind::Bool(_) => "a bool",
            Kind::Int(_) | Kind::BigInt(_) => "an integer",
            Kind::Float(_) => "a float",
            Kind::Str(_) => "a string",
            Kind::Bytes(_) => "bytes",
            Kind::Tuple(_) => "a tuple",
            Kind::List(_) => "a list",
            Kind::Set(_) => "a set",
            Kind::Dict(_) => "a dictionary",
            Kind::Global { .. } => "a class or function",
            Kind::Object(_) => "an object",
            Kind::Persistent(_) => "a persistent id",
        }
    }

    /// Text, also that of a Python 2 string which is UTF-8.
    pub fn as_str(self) -> Option<&'t str> {
        match self.kind() {
            Kind::Str(text) => Some(text),
            Kind::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// Bytes: a bytes value, a Python 2 string, or Python 3's spelling for old protocols,
    /// `_codecs.encode(text, 'latin1')`.
    pub fn as_bytes(self) -> Option<Cow<'t, [u8]>> {
        match self.kind() {
            Kind::Bytes(bytes) => Some(Cow::Borrowed(bytes)),
            Kind::Object(object) if object.is("_codecs", "encode") => {
                let mut arguments = object.arguments();
                let text = arguments.next()?.as_str()?;
                match arguments.next()?.as_str()? {
                    "latin1" => text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect(),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// An integer of at most 64 bits (a bool is not one).
    pub fn as_i64(self) -> Option<i64> {
        match self.kind() {
            Kind::Int(value) => Some(value),
            _ => None,
        }
    }

    /// A non-negative integer that fits an index.
    pub fn as_usize(self) -> Option<usize> {
        usize::try_from(self.as_i64()?).ok()
    }

    /// Members of a tuple, list or set.
    pub fn items(self) -> Option<Items<'t>> {
        match self.kind() {
            Kind::Tuple(items) | Kind::List(items) | Kind::Set(items) => Some(items),
            _ => None,
        }
    }

    /// Entries of a dictionary or of an object that is filled like one (`OrderedDict`, a `dict` subclass).
    pub fn entries(self) -> Option<Pairs<'t>> {
        match self.kind() {
            Kind::Dict(pairs) => Some(pairs),
            Kind::Object(object) => object.entries(),
            _ => None,
        }
    }

    /// The entry of a dictionary under a text key; the last one, as in Python, if there are several.
    pub fn get(self, key: &str) -> Option<Value<'t>> {
        self.entries()?
            .filter(|(name, _)| match name.kind() {
                Kind::Str(text) => text == key,
                Kind::Bytes(bytes) => bytes == key.as_bytes(),
                _ => false,
            })
            .last()
            .map(|(_, value)| value)
    }

    /// The object, if it is one.
    pub fn as_object(self) -> Option<Object<'t>> {
        match self.kind() {
            Kind::Object(object) => Some(object),
            _ => None,
        }
    }
}

/// An object that a pickle describes: a call that was not made.
#[derive(Debug, Clone, Copy)]
pub struct Object<'t> {
    value: Value<'t>,
    object: &'t ObjectNode,
}

impl<'t> Object<'t> {
    /// Module and name of the class or function that Python would call.
    pub fn callable(self) -> (&'t str, &'t str) {
        match self.value.at(self.object.callable).kind() {
            Kind::Global { module, name } => (module, name),
            // the machine makes no other
            _ => ("", ""),
        }
    }

    /// Whether Python would call `module.name`.
    pub fn is(self, module: &str, name: &str) -> bool {
        self.callable() == (module, name)
    }

    /// Positional arguments.
    pub fn arguments(self) -> Items<'t> {
        self.value.at(self.object.arguments).items().unwrap_or(self.value.items_of(&[]))
    }

    /// Keyword arguments, a dictionary.
    pub fn keywords(self) -> Option<Value<'t>> {
        self.object.keywords.map(|id| self.value.at(id))
    }

    /// What `__setstate__` would get.
    pub fn state(self) -> Option<Value<'t>> {
        self.object.state.map(|id| self.value.at(id))
    }

    /// What would be appended (a `list` or `set` subclass).
    pub fn items(self) -> Items<'t> {
        self.value.items_of(&self.object.items)
    }

    /// What would be set by key. The standard mappings count as such even when they are empty.
    fn entries(self) -> Option<Pairs<'t>> {
        let mapping = matches!(self.callable().1, "OrderedDict" | "defaultdict" | "Counter");
        (mapping || !self.object.pairs.is_empty()).then(|| self.value.pairs_of(&self.object.pairs))
    }
}

/// Iterator over the members of a sequence.
#[derive(Debug, Clone)]
pub struct Items<'t> {
    tree: &'t Tree<'t>,
    ids: std::slice::Iter<'t, Id>,
}

impl<'t> Iterator for Items<'t> {
    type Item = Value<'t>;

    fn next(&mut self) -> Option<Value<'t>> {
        self.ids.next().map(|&id| Value { tree: self.tree, id })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.ids.size_hint()
    }
}

impl ExactSizeIterator for Items<'_> {}

/// Iterator over the entries of a dictionary, in the order of the file.
#[derive(Debug, Clone)]
pub struct Pairs<'t> {
    tree: &'t Tree<'t>,
    ids: std::slice::Iter<'t, (Id, Id)>,
}

impl<'t> Iterator for Pairs<'t> {
    type Item = (Value<'t>, Value<'t>);

    fn next(&mut self) -> Option<Self::Item> {
        let &(key, value) = self.ids.next()?;
        Some((Value { tree: self.tree, id: key }, Value { tree: self.tree, id: value }))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.ids.size_hint()
    }
}

impl ExactSizeIterator for Pairs<'_> {}
