//! The stack machine: one opcode after the other, every length checked, nothing called.

use std::borrow::Cow;
use std::collections::HashMap;

use super::input::Input;
use super::opcodes as op;
use super::{Id, Limits, Node, ObjectNode, Policy, Tree, Value, text};
use crate::checkpoint::shown;
use crate::{Error, Result};

/// Newest protocol there is.
const NEWEST_PROTOCOL: u8 = 5;

pub(super) struct Machine<'a, 'p, P> {
    input: Input<'a, 'p>,
    stack: Vec<Id>,
    /// Stack heights of the open MARKs; what lies below the last one is out of reach.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    tree: Tree<'a>,
    limits: Limits,
    policy: &'p P,
}

impl<'a, 'p, P: Policy> Machine<'a, 'p, P> {
    pub(super) fn new(input: &'a [u8], place: &'p str, policy: &'p P, limits: Limits) -> Self {
        let tree = Tree { nodes: Vec::new(), root: 0, consumed: 0 };
        let input = Input::new(input, place);
        Self { input, stack: Vec::new(), marks: Vec::new(), memo: HashMap::new(), tree, limits, policy }
    }

    /// Runs to STOP and hands out the tree.
    pub(super) fn run(mut self) -> Result<Tree<'a>> {
        loop {
            let code = self.input.byte()?;
            if code == op::STOP {
                self.tree.root = self.pop()?;
                self.tree.consumed = self.input.consumed();
                return Ok(self.tree);
            }
            self.step(code)?;
        }
    }

    fn step(&mut self, code: u8) -> Result<()> {
        match code {
            op::PROTO => match self.input.byte()? {
                version if version <= NEWEST_PROTOCOL => Ok(()),
                version => {
                    Err(self.input.fault(format!("pickle protocol {version}, of which 0 to 5 are known")))
                }
            },
            op::FRAME => {
                let length = self.input.length8()?;
                self.input.require(length)
            }
            op::NONE => self.push(Node::None),
            op::NEWTRUE => self.push(Node::Bool(true)),
            op::NEWFALSE => self.push(Node::Bool(false)),
            op::INT | op::LONG | op::BININT | op::BININT1 | op::BININT2 | op::LONG1 | op::LONG4 => {
                self.integer(code)
            }
            op::FLOAT | op::BINFLOAT => self.float(code),
            op::STRING
            | op::BINSTRING
            | op::SHORT_BINSTRING
            | op::BINBYTES
            | op::SHORT_BINBYTES
            | op::BINBYTES8
            | op::BYTEARRAY8 => self.bytes(code),
            op::UNICODE | op::BINUNICODE | op::SHORT_BINUNICODE | op::BINUNICODE8 => self.text(code),
            op::MARK | op::POP | op::POP_MARK | op::DUP => self.shuffle(code),
            op::GET | op::BINGET | op::LONG_BINGET => self.recall(code),
            op::PUT | op::BINPUT | op::LONG_BINPUT | op::MEMOIZE => self.remember(code),
            op::EMPTY_TUPLE
            | op::TUPLE
            | op::TUPLE1
            | op::TUPLE2
            | op::TUPLE3
            | op::EMPTY_LIST
            | op::LIST
            | op::EMPTY_DICT
            | op::DICT
            | op::EMPTY_SET
            | op::FROZENSET => self.container(code),
            op::APPEND | op::APPENDS | op::ADDITEMS | op::SETITEM | op::SETITEMS => self.fill(code),
            op::GLOBAL | op::STACK_GLOBAL => self.global(code),
            op::REDUCE | op::NEWOBJ | op::NEWOBJ_EX | op::INST | op::OBJ | op::BUILD => self.object(code),
            op::PERSID | op::BINPERSID => self.persistent(code),
            op::EXT1 | op::EXT2 | op::EXT4 => {
                Err(self.input.fault("the pickle refers to Python's extension registry"))
            }
            op::NEXT_BUFFER | op::READONLY_BUFFER => {
                Err(self.input.fault("the pickle keeps data in buffers outside of the file"))
            }
            unknown => {
                Err(self.input.fault(format!("0x{unknown:02x} is no pickle operation: the file is damaged")))
            }
        }
    }

    // The stack.

    fn push(&mut self, node: Node<'a>) -> Result<()> {
        if self.tree.nodes.len() >= self.limits.values {
            return Err(self.input.fault(format!("more than {} values", self.limits.values)));
        }
        let id = Id::try_from(self.tree.nodes.len()).map_err(|_| self.input.fault("too many values"))?;
        self.tree.nodes.push(node);
        self.push_id(id)
    }

    fn push_id(&mut self, id: Id) -> Result<()> {
        if self.stack.len() >= self.limits.stack {
            return Err(self.input.fault(format!("more than {} values on the stack", self.limits.stack)));
        }
        self.stack.push(id);
        Ok(())
    }

    fn pop(&mut self) -> Result<Id> {
        let id = self.top()?;
        self.stack.pop();
        Ok(id)
    }

    fn top(&self) -> Result<Id> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.last() {
            Some(&id) if self.stack.len() > floor => Ok(id),
            _ => Err(self.input.fault("an operation finds no value on the stack: the file is damaged")),
        }
    }

    /// Takes everything above the last MARK, and the MARK.
    fn pop_marked(&mut self) -> Result<Vec<Id>> {
        match self.marks.pop() {
            Some(mark) => Ok(self.stack.split_off(mark)),
            None => Err(self.input.fault("an operation finds no mark on the stack: the file is damaged")),
        }
    }

    fn node(&self, id: Id) -> &Node<'a> {
        &self.tree.nodes[id as usize]
    }

    fn noun(&self, id: Id) -> &'static str {
        Value { tree: &self.tree, id }.noun()
    }

    fn shuffle(&mut self, code: u8) -> Result<()> {
        match code {
            op::MARK if self.marks.len() >= self.limits.stack => Err(self.input.fault("too many marks")),
            op::MARK => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            op::POP if self.marks.last() == Some(&self.stack.len()) => {
                self.marks.pop();
                Ok(())
            }
            op::POP => self.pop().map(drop),
            op::POP_MARK => self.pop_marked().map(drop),
            _ => {
                let id = self.top()?;
                self.push_id(id)
            }
        }
    }

    fn memo_key(&mut self, code: u8) -> Result<u32> {
        match code {
            op::BINGET | op::BINPUT => self.input.byte().map(u32::from),
            op::LONG_BINGET | op::LONG_BINPUT => self.input.array().map(u32::from_le_bytes),
            op::MEMOIZE => {
                u32::try_from(self.memo.len()).map_err(|_| self.input.fault("too many memo entries"))
            }
            _ => {
                let line = self.input.line()?;
                text::number(line).ok_or_else(|| self.input.fault("a memo key is no number"))
            }
        }
    }

    fn recall(&mut self, code: u8) -> Result<()> {
        let key = self.memo_key(code)?;
        match self.memo.get(&key) {
            Some(&id) => self.push_id(id),
            None => Err(self.input.fault(format!("memo entry {key} was never stored: the file is damaged"))),
        }
    }

    fn remember(&mut self, code: u8) -> Result<()> {
        let key = self.memo_key(code)?;
        let id = self.top()?;
        self.memo.insert(key, id);
        Ok(())
    }

    // Values.

    fn integer(&mut self, code: u8) -> Result<()> {
        let value = match code {
            op::BININT1 => i64::from(self.input.byte()?),
            op::BININT2 => i64::from(u16::from_le_bytes(self.input.array()?)),
            op::BININT => i64::from(i32::from_le_bytes(self.input.array()?)),
            op::LONG1 | op::LONG4 => {
                let length =
                    if code == op::LONG1 { usize::from(self.input.byte()?) } else { self.input.length4()? };
                let bytes = self.input.take(length)?;
                return self.push(long(bytes));
            }
            _ => {
                let line = self.input.line()?;
                match (code, line) {
                    (op::INT, b"00") => return self.push(Node::Bool(false)),
                    (op::INT, b"01") => return self.push(Node::Bool(true)),
                    _ => {}
                }
                let digits = if code == op::LONG { line.strip_suffix(b"L").unwrap_or(line) } else { line };
                let value: i128 = text::number(digits)
                    .ok_or_else(|| self.input.fault("a decimal integer is malformed or beyond 128 bits"))?;
                match i64::try_from(value) {
                    Ok(value) => value,
                    Err(_) => return self.push(Node::BigInt(Cow::Owned(text::shortest(value)))),
                }
            }
        };
        self.push(Node::Int(value))
    }

    fn float(&mut self, code: u8) -> Result<()> {
        let value = if code == op::BINFLOAT {
            f64::from_be_bytes(self.input.array()?)
        } else {
            let line = self.input.line()?;
            text::number(line).ok_or_else(|| self.input.fault("a decimal number is malformed"))?
        };
        self.push(Node::Float(value))
    }

    fn bytes(&mut self, code: u8) -> Result<()> {
        let length = match code {
            op::SHORT_BINSTRING | op::SHORT_BINBYTES => usize::from(self.input.byte()?),
            // Python 2 writes a signed length; a negative one is damage, and too long as an unsigned one
            op::BINSTRING | op::BINBYTES => self.input.length4()?,
            op::BINBYTES8 | op::BYTEARRAY8 => self.input.length8()?,
            _ => {
                let line = self.input.line()?;
                let bytes = text::quoted_bytes(line)
                    .ok_or_else(|| self.input.fault("a quoted string is malformed"))?;
                return self.push(Node::Bytes(bytes));
            }
        };
        let bytes = self.input.take(length)?;
        self.push(Node::Bytes(Cow::Borrowed(bytes)))
    }

    fn text(&mut self, code: u8) -> Result<()> {
        let length = match code {
            op::SHORT_BINUNICODE => usize::from(self.input.byte()?),
            op::BINUNICODE => self.input.length4()?,
            op::BINUNICODE8 => self.input.length8()?,
            _ => {
                let line = self.input.line()?;
                let text = text::raw_unicode(line)
                    .ok_or_else(|| self.input.fault("a Unicode string is malformed"))?;
                return self.push(Node::Str(text));
            }
        };
        let bytes = self.input.take(length)?;
        let text = std::str::from_utf8(bytes).map_err(|_| self.input.fault("a string is not UTF-8"))?;
        self.push(Node::Str(Cow::Borrowed(text)))
    }

    // Containers.

    fn container(&mut self, code: u8) -> Result<()> {
        let node = match code {
            op::EMPTY_TUPLE => Node::Tuple(Box::default()),
            op::TUPLE => Node::Tuple(self.pop_marked()?.into()),
            op::TUPLE1 => Node::Tuple([self.pop()?].into()),
            op::TUPLE2 => {
                let second = self.pop()?;
                Node::Tuple([self.pop()?, second].into())
            }
            op::TUPLE3 => {
                let (third, second) = (self.pop()?, self.pop()?);
                Node::Tuple([self.pop()?, second, third].into())
            }
            op::EMPTY_LIST => Node::List(Vec::new()),
            op::LIST => Node::List(self.pop_marked()?),
            op::EMPTY_DICT => Node::Dict(Vec::new()),
            op::DICT => {
                let ids = self.pop_marked()?;
                Node::Dict(self.paired(&ids)?)
            }
            op::EMPTY_SET => Node::Set(Vec::new()),
            _ => Node::Set(self.pop_marked()?),
        };
        self.push(node)
    }

    fn paired(&self, ids: &[Id]) -> Result<Vec<(Id, Id)>> {
        let (pairs, rest) = ids.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(self.input.fault("a dictionary has a key without a value"));
        }
        Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
    }

    /// Adds to the list, set, dictionary or object below the new values.
    fn fill(&mut self, code: u8) -> Result<()> {
        let new = match code {
            op::APPEND => vec![self.pop()?],
            op::SETITEM => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
            _ => self.pop_marked()?,
        };
        let target = self.top()?;
        let by_key = matches!(code, op::SETITEM | op::SETITEMS);
        let pairs = if by_key { self.paired(&new)? } else { Vec::new() };
        match (&mut self.tree.nodes[target as usize], code) {
            (Node::Dict(entries), _) if by_key => entries.extend(pairs),
            (Node::Object(object), _) if by_key => object.pairs.extend(pairs),
            (Node::List(items), op::APPEND | op::APPENDS) | (Node::Set(items), op::ADDITEMS) => {
                items.extend(new)
            }
            (Node::Object(object), _) if !by_key => object.items.extend(new),
            _ => return Err(self.input.fault(format!("cannot add entries to {}", self.noun(target)))),
        }
        Ok(())
    }

    // Names and objects: written down, never looked up or called.

    fn global(&mut self, code: u8) -> Result<()> {
        if code == op::GLOBAL {
            let (module, name) = (self.input.text_line()?, self.input.text_line()?);
            return self.push_global(Cow::Borrowed(module), Cow::Borrowed(name));
        }
        let (name, module) = (self.pop()?, self.pop()?);
        let (Node::Str(module), Node::Str(name)) = (self.node(module), self.node(name)) else {
            return Err(self.input.fault("a class or function is named by something that is not text"));
        };
        self.check_global(module, name)?;
        let names = (module.clone(), name.clone());
        self.push(Node::Global(Box::new(names)))
    }

    fn check_global(&self, module: &str, name: &str) -> Result<()> {
        if self.policy.allows(module, name) {
            return Ok(());
        }
        let (module, name) = (shown(module), shown(name));
        Err(Error::checkpoint(shown(self.input.place()), format!("this file asks to run `{module}.{name}`; refused"))
            .with_hint(
                "a file with weights alone names nothing but tensors and dictionaries. Do not open this one in Python \
                 if you do not trust its source; if you do, save only its tensors: \
                 torch.save({\"model\": model.state_dict()}, \"weights.pt\")",
            ))
    }

    fn push_global(&mut self, module: Cow<'a, str>, name: Cow<'a, str>) -> Result<()> {
        self.check_global(&module, &name)?;
        self.push(Node::Global(Box::new((module, name))))
    }

    fn object(&mut self, code: u8) -> Result<()> {
        let (callable, arguments, keywords) = match code {
            op::BUILD => return self.build(),
            op::REDUCE | op::NEWOBJ => {
                let arguments = self.pop()?;
                (self.pop()?, arguments, None)
            }
            op::NEWOBJ_EX => {
                let (keywords, arguments) = (self.pop()?, self.pop()?);
                (self.pop()?, arguments, Some(keywords))
            }
            op::INST => {
                let arguments = self.pop_marked()?;
                let (module, name) = (self.input.text_line()?, self.input.text_line()?);
                self.push_global(Cow::Borrowed(module), Cow::Borrowed(name))?;
                let callable = self.pop()?;
                self.push(Node::Tuple(arguments.into()))?;
                (callable, self.pop()?, None)
            }
            _ => {
                let mut values = self.pop_marked()?.into_iter();
                let Some(callable) = values.next() else {
                    return Err(self.input.fault("an object without a class"));
                };
                self.push(Node::Tuple(values.collect()))?;
                (callable, self.pop()?, None)
            }
        };
        if !matches!(self.node(callable), Node::Global(_)) {
            let noun = self.noun(callable);
            return Err(self.input.fault(format!("the pickle asks to call {noun}; refused")));
        }
        if !matches!(self.node(arguments), Node::Tuple(_)) {
            return Err(self
                .input
                .fault(format!("an object's arguments are {}, not a tuple", self.noun(arguments))));
        }
        let (items, pairs) = (Vec::new(), Vec::new());
        self.push(Node::Object(Box::new(ObjectNode {
            callable,
            arguments,
            keywords,
            state: None,
            items,
            pairs,
        })))
    }

    fn build(&mut self) -> Result<()> {
        let state = self.pop()?;
        let target = self.top()?;
        match &mut self.tree.nodes[target as usize] {
            Node::Object(object) => object.state = Some(state),
            _ => return Err(self.input.fault(format!("cannot set the state of {}", self.noun(target)))),
        }
        Ok(())
    }

    fn persistent(&mut self, code: u8) -> Result<()> {
        if code == op::PERSID {
            let text = self.input.text_line()?;
            self.push(Node::Str(Cow::Borrowed(text)))?;
        }
        let id = self.pop()?;
        if !self.policy.allows_persistent(Value { tree: &self.tree, id }) {
            return Err(self
                .input
                .fault("the pickle refers to something outside of it that this reader does not know"));
        }
        self.push(Node::Persistent(id))
    }
}

/// An integer in two's complement, little-endian; no bytes are zero.
fn long(bytes: &[u8]) -> Node<'_> {
    if bytes.len() > 8 {
        return Node::BigInt(Cow::Borrowed(bytes));
    }
    let sign = if bytes.last().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 };
    let mut padded = [sign; 8];
    padded[..bytes.len()].copy_from_slice(bytes);
    Node::Int(i64::from_le_bytes(padded))
}
