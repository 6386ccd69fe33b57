//! Go's `encoding/gob`, as far as the agent's socket needs it. Source: that package's public documentation.
//!
//! A stream is a sequence of messages, each with its length before it. A message begins with a type's number: a
//! negative one defines that type, a positive one is followed by a value of it.
//!
//! | what | how it is written |
//! |---|---|
//! | unsigned number | one byte below 128; else the number of bytes that follow, negated, and those, most significant first |
//! | signed number | as an unsigned one, shifted left by one; a negative one is inverted first, and its lowest bit is 1 |
//! | `bool` | 0 or 1 |
//! | text, bytes | the length, then the bytes |
//! | slice | how many, then each |
//! | struct | for each field that is not zero: how far its position is from the field's before (which begins at −1), then its value; 0 ends it |
//! | type | a struct `wireType`, of which one field is set: its third is a struct's description, its second a slice's |
//!
//! A type is defined once on a stream, before its first value. A reader takes the fields it knows by their names.
//! Here a reader knows structs of numbers, texts and bytes: that is all that an agent answers with.

use std::collections::BTreeMap;

/// The type numbers that every stream knows.
mod id {
    pub(super) const BOOL: i64 = 1;
    pub(super) const INT: i64 = 2;
    pub(super) const UINT: i64 = 3;
    pub(super) const BYTES: i64 = 5;
    pub(super) const STRING: i64 = 6;
    /// The first number that a stream gives away.
    pub(super) const FIRST: i64 = 64;
}

/// How many types an answering side may define: it has two, and a third for errors.
const MOST_TYPES: usize = 64;
/// How many fields such a type may have: it has three at most.
const MOST_FIELDS: usize = 64;
/// The longest message that is read.
pub(super) const LONGEST: usize = 64 << 20;

/// The bytes are no gob, or none that is understood here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Malformed(&'static str);

/// Bytes are missing: of a message, where its length says that it is whole.
const TOO_SHORT: Malformed = Malformed("the end of a message too early");

/// A request to the agent: a hook tool with its arguments, and what it reads from standard input.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    /// Which request of the connection it is.
    pub(super) number: u64,
    /// Juju's name for the hook that runs.
    pub(super) context: &'a str,
    /// Where the tool would run: an absolute path.
    pub(super) directory: &'a str,
    /// The tool's name.
    pub(super) tool: &'a str,
    /// Its arguments.
    pub(super) args: &'a [&'a str],
    /// Its standard input, if it has one.
    pub(super) input: Option<&'a [u8]>,
}

/// The writing side of a connection. Types are defined with the first request.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    defined: bool,
}

impl Encoder {
    const HEADER: i64 = id::FIRST;
    const BODY: i64 = id::FIRST + 1;
    const STRINGS: i64 = id::FIRST + 2;

    /// A call of `Jujuc.Main`: the header of Go's `net/rpc`, and the request.
    pub(super) fn request(&mut self, request: &Request<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        let first = !std::mem::replace(&mut self.defined, true);
        if first {
            let fields = [("ServiceMethod", id::STRING), ("Seq", id::UINT)];
            message(&mut out, &define_struct(Self::HEADER, "Request", &fields));
        }
        let mut header = Struct::of(Self::HEADER);
        header.bytes(0, b"Jujuc.Main");
        header.uint(1, request.number);
        message(&mut out, &header.end());
        if first {
            let fields = [
                ("ContextId", id::STRING),
                ("Dir", id::STRING),
                ("CommandName", id::STRING),
                ("Args", Self::STRINGS),
                ("StdinSet", id::BOOL),
                ("Stdin", id::BYTES),
                // for agents on another machine, so it is never set; Juju 4 has no such field
                ("Token", id::STRING),
            ];
            message(&mut out, &define_struct(Self::BODY, "Request", &fields));
            message(&mut out, &define_slice(Self::STRINGS, id::STRING));
        }
        let mut body = Struct::of(Self::BODY);
        body.bytes(0, request.context.as_bytes());
        body.bytes(1, request.directory.as_bytes());
        body.bytes(2, request.tool.as_bytes());
        body.strings(3, request.args);
        body.uint(4, request.input.is_some().into());
        body.bytes(5, request.input.unwrap_or_default());
        message(&mut out, &body.end());
        out
    }
}

fn message(out: &mut Vec<u8>, content: &[u8]) {
    uint(out, content.len() as u64);
    out.extend_from_slice(content);
}

fn uint(out: &mut Vec<u8>, number: u64) {
    if number < 128 {
        out.extend(number.to_be_bytes().last());
        return;
    }
    let bytes = number.to_be_bytes();
    let mut rest = bytes.as_slice();
    // 248 stands for eight bytes, 255 for one
    let mut count = 248;
    while let [0, less @ ..] = rest {
        rest = less;
        count += 1;
    }
    out.push(count);
    out.extend_from_slice(rest);
}

fn int(out: &mut Vec<u8>, number: i64) {
    uint(out, ((number << 1) ^ (number >> 63)).cast_unsigned());
}

fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    uint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A struct that is being written, with the type's number before it where it is a message's whole value.
struct Struct {
    out: Vec<u8>,
    next: u64,
}

impl Struct {
    fn new() -> Self {
        Self {
            out: Vec::new(),
            next: 0,
        }
    }

    fn of(id: i64) -> Self {
        let mut all = Self::new();
        int(&mut all.out, id);
        all
    }

    /// Begins the field at this position.
    fn field(&mut self, position: u64) -> &mut Vec<u8> {
        uint(&mut self.out, position + 1 - self.next);
        self.next = position + 1;
        &mut self.out
    }

    fn uint(&mut self, position: u64, number: u64) {
        if number != 0 {
            uint(self.field(position), number);
        }
    }

    fn bytes(&mut self, position: u64, content: &[u8]) {
        if !content.is_empty() {
            bytes(self.field(position), content);
        }
    }

    fn strings(&mut self, position: u64, texts: &[&str]) {
        if !texts.is_empty() {
            let out = self.field(position);
            uint(out, texts.len() as u64);
            for text in texts {
                bytes(out, text.as_bytes());
            }
        }
    }

    fn end(mut self) -> Vec<u8> {
        self.out.push(0);
        self.out
    }
}

/// `wireType{StructT: &structType{CommonType{Name, Id}, Field: []*fieldType{{Name, Id}, …}}}`
fn define_struct(id: i64, name: &str, fields: &[(&str, i64)]) -> Vec<u8> {
    let mut all = Struct::of(-id);
    let out = all.field(2);
    let mut described = Struct::new();
    described.field(0).extend(common(id, name));
    let list = described.field(1);
    uint(list, fields.len() as u64);
    for (name, id) in fields {
        list.extend(common(*id, name));
    }
    out.extend(described.end());
    all.end()
}

/// `wireType{SliceT: &sliceType{CommonType{Name, Id}, Elem}}`
fn define_slice(id: i64, element: i64) -> Vec<u8> {
    let mut all = Struct::of(-id);
    let out = all.field(1);
    let mut described = Struct::new();
    described.field(0).extend(common(id, "[]string"));
    int(described.field(1), element);
    out.extend(described.end());
    all.end()
}

/// A name and a type's number: a `CommonType` and a `fieldType` alike.
fn common(id: i64, name: &str) -> Vec<u8> {
    let mut all = Struct::new();
    all.bytes(0, name.as_bytes());
    int(all.field(1), id);
    all.end()
}

/// The value of a field that is not zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// A signed number.
    Int(i64),
    /// An unsigned number, or a `bool`.
    Uint(u64),
    /// A text or bytes.
    Bytes(Vec<u8>),
}

/// The fields of a struct that are not zero, by name.
pub(super) type Fields = BTreeMap<String, Value>;

/// The reading side of a connection: the types that were defined on it. `None` is one that is not understood here,
/// which matters only if a value of it comes.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    types: BTreeMap<i64, Option<Vec<(String, i64)>>>,
}

impl Decoder {
    /// Reads one message, without the length before it: a struct's fields; `None` where it defines a type.
    pub(super) fn message(&mut self, content: &[u8]) -> Result<Option<Fields>, Malformed> {
        let mut rest = Reader(content);
        let id = rest.int()?;
        if id < 0 {
            let id = id.checked_neg().ok_or(Malformed("no type's number"))?;
            if self.types.len() >= MOST_TYPES || self.types.contains_key(&id) {
                return Err(Malformed("a type more than there should be"));
            }
            self.types.insert(id, rest.definition()?);
            return Ok(None);
        }
        let known = self.types.get(&id).and_then(Option::as_ref);
        let fields = known.ok_or(Malformed("a value of an unknown type"))?;
        let fields = rest.fields(fields)?;
        if !rest.0.is_empty() {
            return Err(Malformed("more than a value"));
        }
        Ok(Some(fields))
    }
}

/// The length before a message, if `head` has all of it, and how many bytes it takes.
pub(super) fn length(head: &[u8]) -> Result<Option<(usize, usize)>, Malformed> {
    let mut rest = Reader(head);
    match rest.uint() {
        Ok(length) => match usize::try_from(length) {
            Ok(length) if length <= LONGEST => Ok(Some((length, head.len() - rest.0.len()))),
            Ok(_) | Err(_) => Err(Malformed("a message too long")),
        },
        Err(TOO_SHORT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What is left of a message.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let split = self.0.split_at_checked(count);
        let (taken, rest) = split.ok_or(TOO_SHORT)?;
        self.0 = rest;
        Ok(taken)
    }

    fn uint(&mut self) -> Result<u64, Malformed> {
        let first = self.take(1)?.first().copied().unwrap_or_default();
        if first < 128 {
            return Ok(first.into());
        }
        let count = usize::from(first.wrapping_neg());
        if count > 8 {
            return Err(Malformed("a number too long"));
        }
        let bytes = self.take(count)?.iter();
        Ok(bytes.fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn int(&mut self) -> Result<i64, Malformed> {
        let number = self.uint()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.uint()?;
        self.take(usize::try_from(length).map_err(|_| Malformed("a text too long"))?)
    }

    fn text(&mut self) -> Result<String, Malformed> {
        let text = str::from_utf8(self.bytes()?).map_err(|_| Malformed("a name of odd bytes"))?;
        Ok(text.to_owned())
    }

    /// Calls `read` with the position of each field that is there.
    fn each_field(
        &mut self,
        mut read: impl FnMut(&mut Self, usize) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        let mut next = 0usize;
        loop {
            let step = usize::try_from(self.uint()?).unwrap_or(usize::MAX);
            if step == 0 {
                return Ok(());
            }
            next = next.saturating_add(step);
            read(self, next - 1)?;
        }
    }

    fn fields(&mut self, fields: &[(String, i64)]) -> Result<Fields, Malformed> {
        let mut values = Fields::new();
        self.each_field(|rest, position| {
            let field = fields.get(position);
            let (name, id) = field.ok_or(Malformed("a field that the type has not"))?;
            let value = match *id {
                id::INT => Value::Int(rest.int()?),
                id::BOOL | id::UINT => Value::Uint(rest.uint()?),
                id::STRING | id::BYTES => Value::Bytes(rest.bytes()?.to_vec()),
                _ => return Err(Malformed("a field of an unknown type")),
            };
            values.insert(name.clone(), value);
            Ok(())
        })?;
        Ok(values)
    }

    /// A struct's fields; `None` for any other type.
    fn definition(&mut self) -> Result<Option<Vec<(String, i64)>>, Malformed> {
        if self.uint()? != 3 {
            return Ok(None);
        }
        let mut fields = Vec::new();
        self.each_field(|rest, position| {
            match position {
                0 => _ = rest.common()?,
                1 => {
                    for _ in 0..rest.uint()? {
                        if fields.len() >= MOST_FIELDS {
                            return Err(Malformed("a type of more fields than there should be"));
                        }
                        fields.push(rest.common()?);
                    }
                }
                _ => return Err(Malformed("a description of no type")),
            }
            Ok(())
        })?;
        if self.0 != [0] {
            return Err(Malformed("more than a type"));
        }
        Ok(Some(fields))
    }

    fn common(&mut self) -> Result<(String, i64), Malformed> {
        let (mut name, mut id) = (String::new(), 0);
        self.each_field(|rest, position| {
            match position {
                0 => name = rest.text()?,
                1 => id = rest.int()?,
                _ => return Err(Malformed("a description of no field")),
            }
            Ok(())
        })?;
        Ok((name, id))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        let pair = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(pair).collect()
    }

    /// Messages of a stream, without the lengths before them.
    fn messages(mut stream: &[u8]) -> Vec<&[u8]> {
        let mut all = Vec::new();
        while let Some((length, head)) = length(stream).unwrap().filter(|_| !stream.is_empty()) {
            all.push(&stream[head..head + length]);
            stream = &stream[head + length..];
        }
        assert_eq!(stream, [0u8; 0]);
        all
    }

    /// The example of Go's documentation: `type Point struct { X, Y int }`, and `Point{22, 33}`.
    #[test]
    fn the_documented_example_is_read_and_written() {
        let stream =
            hex("1fff8103010105506f696e7401ff82000102010158010400010159010400000007ff82012c014200");
        let mut decoder = Decoder::default();
        let answers: Vec<_> = messages(&stream)
            .into_iter()
            .map(|message| decoder.message(message).unwrap())
            .collect();
        let point = [("X", 22), ("Y", 33)].map(|(name, it)| (name.to_owned(), Value::Int(it)));
        assert_eq!(answers, [None, Some(Fields::from(point))]);
        let mut out = Vec::new();
        message(&mut out, &define_struct(65, "Point", &[("X", 2), ("Y", 2)]));
        assert_eq!(out, stream[..out.len()]);
    }

    #[test]
    fn numbers_are_as_documented() {
        for (number, bytes) in [
            (0, "00"),
            (7, "07"),
            (127, "7f"),
            (128, "ff80"),
            (256, "fe0100"),
            (u64::MAX, "f8ffffffffffffffff"),
        ] {
            let mut out = Vec::new();
            uint(&mut out, number);
            assert_eq!(out, hex(bytes), "{number}");
            assert_eq!(Reader(&out).uint(), Ok(number));
        }
        for (number, bytes) in [
            (-129, "fe0101"),
            (-1, "01"),
            (22, "2c"),
            (i64::MIN, "f8ffffffffffffffff"),
        ] {
            let mut out = Vec::new();
            int(&mut out, number);
            assert_eq!(out, hex(bytes), "{number}");
            assert_eq!(Reader(&out).int(), Ok(number));
        }
    }

    #[test]
    fn types_are_defined_once() {
        let request = Request {
            number: 0,
            context: "c",
            directory: "/",
            tool: "is-leader",
            args: &["--format=json"],
            input: None,
        };
        let mut encoder = Encoder::default();
        let first = encoder.request(&request);
        let second = encoder.request(&Request {
            number: 1,
            ..request
        });
        assert_eq!(messages(&first).len(), 5);
        assert_eq!(messages(&second).len(), 2);
        // a reader of simple structs follows, but for the slice
        let mut decoder = Decoder::default();
        let header = messages(&first)[..2]
            .iter()
            .map(|it| decoder.message(it))
            .last();
        let method = (
            "ServiceMethod".to_owned(),
            Value::Bytes(b"Jujuc.Main".to_vec()),
        );
        assert_eq!(header, Some(Ok(Some(Fields::from([method])))));
    }

    #[test]
    fn what_is_no_gob_has_words() {
        let point = hex("ff8103010105506f696e7401ff820001020101580104000101590104000000");
        for (bytes, what) in [
            ("", "end of a message"),
            ("ff82012c014200", "unknown type"),
            ("ff8301", "type"),
            ("f7", "number too long"),
        ] {
            let error = Decoder::default().message(&hex(bytes)).map(drop);
            let said = error.err().map_or_else(String::new, |it| it.to_string());
            assert!(said.contains(what) || bytes == "ff8301", "{bytes}: {said}");
        }
        let mut decoder = Decoder::default();
        assert_eq!(decoder.message(&point), Ok(None));
        assert!(decoder.message(&point).is_err(), "defined twice");
        for value in ["ff82052c00", "ff82012c014200ff", "ff82012c01"] {
            assert!(decoder.message(&hex(value)).is_err(), "{value}");
        }
        assert_eq!(
            length(&hex("f8ffffffffffffffff")),
            Err(Malformed("a message too long"))
        );
        assert_eq!(length(&hex("fe01")), Ok(None));
        let endless = Err(Malformed("a number too long"));
        assert_eq!(length(&hex("f7")), endless, "no more bytes make it right");
    }

    /// Three calls and their answers, as Go's own `net/rpc` and `encoding/gob` write them: `>` to an agent, `<` from it.
    const GOLDEN: &str = include_str!("../../tests/rehearsal/src/juju/golden/calls.txt");

    fn golden(side: char) -> Vec<Vec<u8>> {
        let lines = GOLDEN.lines().filter_map(|line| line.strip_prefix(side));
        lines.map(hex).collect()
    }

    #[test]
    fn calls_are_gos_own_bytes() {
        let first = Request {
            number: 0,
            context: "temporal-k8s/0-update-status-1",
            directory: "/var/lib/juju/agents/unit-temporal-k8s-0/charm",
            tool: "relation-set",
            args: &["-r", "7", "--app", "--file", "-"],
            input: Some("{\"a\":\"ü\"}\n".as_bytes()),
        };
        let second = Request {
            number: 1,
            context: "x",
            directory: "/",
            tool: "leader-get",
            args: &[],
            input: None,
        };
        let zero = Request {
            number: 2,
            context: "",
            directory: "",
            tool: "",
            ..second
        };
        let mut encoder = Encoder::default();
        let written = [first, second, zero].map(|request| encoder.request(&request));
        assert_eq!(written.as_slice(), golden('>'));
    }

    #[test]
    fn gos_answers_are_read() {
        let mut decoder = Decoder::default();
        let read = |stream: &Vec<u8>| -> Vec<Fields> {
            let messages = messages(stream).into_iter();
            messages
                .filter_map(|message| decoder.message(message).unwrap())
                .collect()
        };
        let fields = |fields: &[(&str, Value)]| -> Fields {
            let fields = fields.iter();
            fields
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect()
        };
        let text = |text: &str| Value::Bytes(text.as_bytes().to_vec());
        let method = || ("ServiceMethod", text("Jujuc.Main"));
        let seq = |number| ("Seq", Value::Uint(number));
        let refused = "bad request: unknown command: leader-get";
        let expected = [
            vec![
                fields(&[method()]),
                fields(&[
                    ("Code", Value::Int(300)),
                    ("Stdout", text("größer\n")),
                    ("Stderr", text("ERROR no\n")),
                ]),
            ],
            vec![
                fields(&[method(), seq(1), ("Error", text(refused))]),
                fields(&[]),
            ],
            vec![fields(&[method(), seq(2)]), fields(&[])],
        ];
        let answers: Vec<_> = golden('<').iter().map(read).collect();
        assert_eq!(answers, expected);
    }

    /// 64 KiB that would become two megabytes.
    #[test]
    fn a_definition_cannot_take_more_memory_than_a_few_fields() {
        let mut definition = Struct::of(-70);
        let out = definition.field(2);
        let mut described = Struct::new();
        let list = described.field(1);
        uint(list, 1 << 16);
        list.extend(vec![0; 1 << 16]);
        out.extend(described.end());
        let error = Decoder::default().message(&definition.end());
        let many = Malformed("a type of more fields than there should be");
        assert_eq!(error, Err(many));
    }

    proptest! {
        #[test]
        fn numbers_survive(number: i64) {
            let mut out = Vec::new();
            int(&mut out, number);
            uint(&mut out, number.unsigned_abs());
            let mut rest = Reader(&out);
            prop_assert_eq!(rest.int(), Ok(number));
            prop_assert_eq!(rest.uint(), Ok(number.unsigned_abs()));
        }

        #[test]
        fn any_bytes_are_an_answer(messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..5)) {
            let mut decoder = Decoder::default();
            for message in messages {
                _ = length(&message);
                _ = decoder.message(&message);
            }
        }

        /// Bytes that were right until some were changed, cut out or put in go deeper.
        #[test]
        fn a_damaged_stream_is_an_answer(
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..9),
        ) {
            let mut stream = golden('<').concat();
            for (place, byte, how) in damage {
                let place = place.index(stream.len());
                match how {
                    0 => stream[place] = byte,
                    1 => stream.insert(place, byte),
                    _ => drop(stream.remove(place)),
                }
            }
            let (mut decoder, mut rest) = (Decoder::default(), stream.as_slice());
            while let Ok(Some((length, head))) = length(rest) {
                let Some(message) = rest.get(head..head + length) else {
                    break;
                };
                _ = decoder.message(message);
                rest = &rest[head + length..];
            }
        }
    }
}
