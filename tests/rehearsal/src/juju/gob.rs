//! `encoding/gob` for the messages between a hook tool and the agent, written from Go's public
//! documentation of that package (<https://pkg.go.dev/encoding/gob>).
//!
//! ```text
//! frame   = uint(length) message             message = int(-id) definition | int(id) value
//! struct  = (uint(step) value)* uint(0)      step: from the last field, the first from -1
//! string  = uint(length) byte*               slice = uint(count) value*
//! uint    = byte < 128 | ^(count - 1) big-endian   int = uint: bit 0 tells whether to complement
//! ```
//!
//! Fields are matched by name, fields that are zero are not sent, a type is defined once on each way
//! of a connection, under an id that its sender chose. Whoever sends may have other fields than whoever
//! reads; those are skipped. What a peer sends is never trusted: every length is checked against what
//! is there, and nothing here needs more than some bytes for each byte that came.

use std::any::TypeId;
use std::collections::BTreeMap;

/// A longer frame is refused; Go itself would take a gigabyte.
const LONGEST_FRAME: usize = 64 << 20;
/// A longer definition of a type is refused, and so is one more type than this.
const LONGEST_DEFINITION: usize = 16 << 10;
const MOST_TYPES: usize = 64;
/// No command line has more arguments than this; each costs us more than the byte it came in.
const MOST_STRINGS: usize = 1 << 18;
/// Values within values, of fields that are skipped.
const DEEPEST: u8 = 16;

const BOOL: i64 = 1;
const INT: i64 = 2;
const UINT: i64 = 3;
const FLOAT: i64 = 4;
const BYTES: i64 = 5;
const STRING: i64 = 6;
const COMPLEX: i64 = 7;
/// Ids up to here are the documentation's own.
const LAST_RESERVED: i64 = 23;
/// The first id that an encoder of Go gives away.
const FIRST_FREE: i64 = 64;

/// Why bytes are no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("message ends too early")]
    Short,
    #[error("message goes on after its end")]
    Long,
    #[error("a number has more than 64 bits")]
    Number,
    #[error("a frame of {0} bytes is too large")]
    Frame(u64),
    #[error("text is not UTF-8")]
    Text,
    #[error("a struct has no field {0}")]
    Field(u64),
    #[error("type {0} is not defined")]
    Unknown(i64),
    #[error("type {0} cannot be defined: {1}")]
    Definition(i64, &'static str),
    #[error("field {0} has another type here")]
    Mismatch(String),
    #[error("no field of this message is known here")]
    Foreign,
    #[error("a message is no struct")]
    NoStruct,
    #[error("values are nested too deeply")]
    Deep,
    #[error("a list is too long")]
    Many,
}

type Outcome<T> = Result<T, Malformed>;

/// A field of a message: its value, and by that its type.
#[derive(Debug)]
pub(super) enum Field<'a> {
    Bool(&'a mut bool),
    Int(&'a mut i64),
    Uint(&'a mut u64),
    Bytes(&'a mut Vec<u8>),
    Text(&'a mut String),
    Texts(&'a mut Vec<String>),
}

impl Field<'_> {
    /// The type's id; `texts` is the id of `[]string`, which is no type of the documentation's own.
    fn id(&self, texts: i64) -> i64 {
        match self {
            Self::Bool(_) => BOOL,
            Self::Int(_) => INT,
            Self::Uint(_) => UINT,
            Self::Bytes(_) => BYTES,
            Self::Text(_) => STRING,
            Self::Texts(_) => texts,
        }
    }

    fn is_zero(&self) -> bool {
        match self {
            Self::Bool(it) => !**it,
            Self::Int(it) => **it == 0,
            Self::Uint(it) => **it == 0,
            Self::Bytes(it) => it.is_empty(),
            Self::Text(it) => it.is_empty(),
            Self::Texts(it) => it.is_empty(),
        }
    }
}

/// A struct that goes over the wire.
pub(super) trait Message: Default + 'static {
    /// The name of its type, which no reader looks at.
    const NAME: &'static str;

    /// Its fields with Go's names, in the order in which they are sent.
    fn fields(&mut self) -> Vec<(&'static str, Field<'_>)>;
}

/// One way of a connection, towards the peer.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    /// The types that the peer knows; a place in it is an id.
    defined: Vec<TypeId>,
}

impl Encoder {
    /// Appends a message to `out`, after the definitions that the peer does not have yet.
    pub(super) fn encode<M: Message>(&mut self, mut message: M, out: &mut Vec<u8>) {
        let fields = message.fields();
        let (id, new) = self.id::<M>();
        if new {
            self.define(M::NAME, id, &fields, out);
        }
        let mut body = Vec::new();
        int(id, &mut body);
        let mut step = 0;
        for (_, field) in fields {
            step += 1;
            if field.is_zero() {
                continue;
            }
            uint(step, &mut body);
            step = 0;
            match field {
                Field::Bool(it) => uint(u64::from(*it), &mut body),
                Field::Int(it) => int(*it, &mut body),
                Field::Uint(it) => uint(*it, &mut body),
                Field::Bytes(it) => bytes(it, &mut body),
                Field::Text(it) => bytes(it.as_bytes(), &mut body),
                Field::Texts(it) => {
                    uint(it.len() as u64, &mut body);
                    for text in it.iter() {
                        bytes(text.as_bytes(), &mut body);
                    }
                }
            }
        }
        body.push(0);
        frame(&body, out);
    }

    /// The id of a type, and whether it is new to the peer.
    fn id<T: 'static>(&mut self) -> (i64, bool) {
        let known = self.defined.iter().position(|it| *it == TypeId::of::<T>());
        let at = known.unwrap_or(self.defined.len());
        if known.is_none() {
            self.defined.push(TypeId::of::<T>());
        }
        let id = FIRST_FREE + i64::try_from(at).unwrap_or_default();
        (id, known.is_none())
    }

    /// Defines a struct, and the slice of strings if it is in it and new.
    fn define(&mut self, name: &str, id: i64, fields: &[(&str, Field)], out: &mut Vec<u8>) {
        let has_texts = fields.iter().any(|(_, it)| matches!(it, Field::Texts(_)));
        let (texts, new) = if has_texts {
            self.id::<Vec<String>>()
        } else {
            (0, false)
        };
        // StructT is field 2 of a definition; in it, the list of fields is field 1.
        let mut body = Vec::new();
        int(-id, &mut body);
        uint(3, &mut body);
        common(name, id, &mut body);
        if !fields.is_empty() {
            uint(1, &mut body);
            uint(fields.len() as u64, &mut body);
        }
        for (name, field) in fields {
            uint(1, &mut body);
            bytes(name.as_bytes(), &mut body);
            uint(1, &mut body);
            int(field.id(texts), &mut body);
            body.push(0);
        }
        body.extend([0, 0]);
        frame(&body, out);
        if new {
            // SliceT is field 1 of a definition; in it, Elem is field 1.
            let mut body = Vec::new();
            int(-texts, &mut body);
            uint(2, &mut body);
            common("[]string", texts, &mut body);
            uint(1, &mut body);
            int(STRING, &mut body);
            body.extend([0, 0]);
            frame(&body, out);
        }
    }
}

fn frame(body: &[u8], out: &mut Vec<u8>) {
    bytes(body, out);
}

/// The part of a definition that every kind of type has: field 0, a struct of name and id.
fn common(name: &str, id: i64, out: &mut Vec<u8>) {
    uint(1, out);
    if name.is_empty() {
        uint(2, out);
    } else {
        uint(1, out);
        bytes(name.as_bytes(), out);
        uint(1, out);
    }
    int(id, out);
    out.push(0);
}

fn bytes(bytes: &[u8], out: &mut Vec<u8>) {
    uint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn uint(number: u64, out: &mut Vec<u8>) {
    match u8::try_from(number) {
        Ok(small) if small < 128 => out.push(small),
        _ => {
            let count = 8 - number.leading_zeros() / 8;
            out.push(!u8::try_from(count - 1).unwrap_or_default());
            out.extend(number.to_be_bytes().iter().skip(8 - count as usize));
        }
    }
}

fn int(number: i64, out: &mut Vec<u8>) {
    let number = if number < 0 {
        (!number.cast_unsigned() << 1) | 1
    } else {
        number.cast_unsigned() << 1
    };
    uint(number, out);
}

/// The first frame of `bytes`: what is in it, and how many bytes it takes with its length. `None`
/// while it is not whole.
pub(super) fn first_frame(bytes: &[u8]) -> Outcome<Option<(&[u8], usize)>> {
    let mut rest = Bytes(bytes);
    let length = match rest.uint() {
        Ok(length) => length,
        Err(Malformed::Short) => return Ok(None),
        Err(error) => return Err(error),
    };
    let length = usize::try_from(length)
        .ok()
        .filter(|length| *length <= LONGEST_FRAME)
        .ok_or(Malformed::Frame(length))?;
    if length == 0 {
        return Err(Malformed::Short);
    }
    let whole = bytes.len() - rest.0.len() + length;
    Ok(rest.take(length).ok().map(|content| (content, whole)))
}

/// What a peer defined.
#[derive(Debug)]
enum Type {
    /// Arrays and slices, of values of this type.
    List(i64),
    Struct(Vec<(String, i64)>),
    Map(i64, i64),
    /// A value that its own type encodes: bytes.
    Opaque,
}

/// One way of a connection, from the peer.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    types: BTreeMap<i64, Type>,
}

impl Decoder {
    /// Reads the content of a frame: a message, or `None` if it defined a type.
    pub(super) fn decode<M: Message>(&mut self, content: &[u8]) -> Outcome<Option<M>> {
        let mut rest = Bytes(content);
        let id = rest.int()?;
        if id < 0 {
            return self.define(id, rest).map(|()| None);
        }
        let mut message = M::default();
        self.message(id, &mut rest, message.fields())?;
        rest.end().map(|()| Some(message))
    }

    /// Reads the content of a frame whose message nobody wants; whether it was one.
    pub(super) fn skip(&mut self, content: &[u8]) -> Outcome<bool> {
        let mut rest = Bytes(content);
        let id = rest.int()?;
        if id < 0 {
            return self.define(id, rest).map(|()| false);
        }
        // A value that is no struct is sent as the one field of a struct without an end.
        if !matches!(self.types.get(&id), Some(Type::Struct(_))) && rest.uint()? != 0 {
            return Err(Malformed::NoStruct);
        }
        self.pass(id, &mut rest, DEEPEST)?;
        rest.end().map(|()| true)
    }

    fn define(&mut self, id: i64, mut rest: Bytes) -> Outcome<()> {
        let id = id.checked_neg().ok_or(Malformed::Number)?;
        let refused = |why| Err(Malformed::Definition(id, why));
        if id <= LAST_RESERVED {
            return refused("the id is reserved");
        }
        if self.types.contains_key(&id) {
            return refused("it is defined already");
        }
        if self.types.len() == MOST_TYPES || rest.0.len() > LONGEST_DEFINITION {
            return refused("too many or too large");
        }
        let mut kind = None;
        rest.each_field(|rest, number| {
            if kind.is_some() {
                return refused("it is of two kinds");
            }
            kind = Some(match number {
                0 | 1 => {
                    let [elem, ..] = definition(rest, number == 0)?;
                    Type::List(elem)
                }
                2 => Type::Struct(struct_definition(rest)?),
                3 => {
                    let [key, elem] = definition(rest, true)?;
                    Type::Map(key, elem)
                }
                4..=6 => {
                    definition(rest, false)?;
                    Type::Opaque
                }
                _ => return Err(Malformed::Field(number)),
            });
            Ok(())
        })?;
        let Some(kind) = kind else {
            return refused("it is of no kind");
        };
        self.types.insert(id, kind);
        rest.end()
    }

    fn message(&self, id: i64, rest: &mut Bytes, wanted: Vec<(&str, Field)>) -> Outcome<()> {
        let sent = match self.types.get(&id) {
            Some(Type::Struct(fields)) => fields,
            Some(_) => return Err(Malformed::NoStruct),
            None if id <= LAST_RESERVED => return Err(Malformed::NoStruct),
            None => return Err(Malformed::Unknown(id)),
        };
        // As in Go, types are compared before any value is looked at.
        let mut places: Vec<Option<Field>> = sent.iter().map(|_| None).collect();
        let (mut matched, none_wanted) = (0, wanted.is_empty());
        for (name, field) in wanted {
            let Some(at) = sent.iter().position(|(it, _)| it == name) else {
                continue;
            };
            let (Some((_, id)), Some(place)) = (sent.get(at), places.get_mut(at)) else {
                continue;
            };
            let same = match field {
                Field::Texts(_) => matches!(self.types.get(id), Some(Type::List(STRING))),
                Field::Bool(_)
                | Field::Int(_)
                | Field::Uint(_)
                | Field::Bytes(_)
                | Field::Text(_) => field.id(0) == *id,
            };
            if !same {
                return Err(Malformed::Mismatch(name.to_owned()));
            }
            *place = Some(field);
            matched += 1;
        }
        if matched == 0 && !sent.is_empty() && !none_wanted {
            return Err(Malformed::Foreign);
        }
        rest.each_field(|rest, number| {
            let at = usize::try_from(number).map_err(|_| Malformed::Field(number))?;
            let (_, id) = sent.get(at).ok_or(Malformed::Field(number))?;
            match places.get_mut(at).and_then(Option::as_mut) {
                Some(field) => rest.field(field),
                None => self.pass(*id, rest, DEEPEST),
            }
        })
    }

    /// Goes past a value of any type.
    fn pass(&self, id: i64, rest: &mut Bytes, depth: u8) -> Outcome<()> {
        let depth = depth.checked_sub(1).ok_or(Malformed::Deep)?;
        match id {
            BOOL | INT | UINT | FLOAT => return rest.uint().map(drop),
            BYTES | STRING => return rest.counted().map(drop),
            COMPLEX => return rest.uint().and_then(|_| rest.uint()).map(drop),
            _ => {}
        }
        match self.types.get(&id).ok_or(Malformed::Unknown(id))? {
            Type::Opaque => rest.counted().map(drop),
            Type::List(elem) => {
                for _ in 0..rest.count()? {
                    self.pass(*elem, rest, depth)?;
                }
                Ok(())
            }
            Type::Map(key, elem) => {
                for _ in 0..rest.count()? {
                    self.pass(*key, rest, depth)?;
                    self.pass(*elem, rest, depth)?;
                }
                Ok(())
            }
            Type::Struct(fields) => rest.each_field(|rest, number| {
                let field = usize::try_from(number).ok().and_then(|at| fields.get(at));
                let (_, id) = field.ok_or(Malformed::Field(number))?;
                self.pass(*id, rest, depth)
            }),
        }
    }
}

/// The fields of a definition but its name and id, which tell nothing: up to two types, or for arrays a
/// type and a length.
fn definition(rest: &mut Bytes, two: bool) -> Outcome<[i64; 2]> {
    let mut types = [0; 2];
    rest.each_field(|rest, number| {
        match number {
            0 => skip_common(rest)?,
            1 => types[0] = rest.int()?,
            2 if two => types[1] = rest.int()?,
            _ => return Err(Malformed::Field(number)),
        }
        Ok(())
    })?;
    Ok(types)
}

fn struct_definition(rest: &mut Bytes) -> Outcome<Vec<(String, i64)>> {
    let mut fields = Vec::new();
    rest.each_field(|rest, number| {
        match number {
            0 => skip_common(rest)?,
            1 => {
                for _ in 0..rest.count()? {
                    let (mut name, mut id) = (String::new(), 0);
                    rest.each_field(|rest, number| {
                        match number {
                            0 => name = rest.text()?,
                            1 => id = rest.int()?,
                            _ => return Err(Malformed::Field(number)),
                        }
                        Ok(())
                    })?;
                    fields.push((name, id));
                }
            }
            _ => return Err(Malformed::Field(number)),
        }
        Ok(())
    })?;
    Ok(fields)
}

fn skip_common(rest: &mut Bytes) -> Outcome<()> {
    rest.each_field(|rest, number| match number {
        0 => rest.text().map(drop),
        1 => rest.int().map(drop),
        _ => Err(Malformed::Field(number)),
    })
}

/// What is left of a message.
#[derive(Debug)]
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Outcome<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn end(&self) -> Outcome<()> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Malformed::Long)
        }
    }

    fn uint(&mut self) -> Outcome<u64> {
        let &[first] = self.take(1)? else {
            return Err(Malformed::Short);
        };
        if first < 128 {
            return Ok(u64::from(first));
        }
        let count = usize::from(!first) + 1;
        if count > 8 {
            return Err(Malformed::Number);
        }
        let digits = self.take(count)?.iter();
        Ok(digits.fold(0, |number, digit| (number << 8) | u64::from(*digit)))
    }

    fn int(&mut self) -> Outcome<i64> {
        let number = self.uint()?;
        let half = (number >> 1).cast_signed();
        Ok(if number & 1 == 1 { !half } else { half })
    }

    /// A number of values that follow, each of a byte at least.
    fn count(&mut self) -> Outcome<usize> {
        let count = usize::try_from(self.uint()?).map_err(|_| Malformed::Short)?;
        if count > self.0.len() {
            return Err(Malformed::Short);
        }
        Ok(count)
    }

    fn counted(&mut self) -> Outcome<&'a [u8]> {
        let count = self.count()?;
        self.take(count)
    }

    fn text(&mut self) -> Outcome<String> {
        let text = std::str::from_utf8(self.counted()?);
        text.map(str::to_owned).map_err(|_| Malformed::Text)
    }

    /// Calls `read` with the number of each field that was sent.
    fn each_field(&mut self, mut read: impl FnMut(&mut Self, u64) -> Outcome<()>) -> Outcome<()> {
        let mut next: u64 = 0;
        loop {
            let step = self.uint()?;
            if step == 0 {
                return Ok(());
            }
            // From the last field; before the first it stands at -1.
            let number = next.checked_add(step - 1).ok_or(Malformed::Number)?;
            read(self, number)?;
            next = number.checked_add(1).ok_or(Malformed::Number)?;
        }
    }

    fn field(&mut self, field: &mut Field) -> Outcome<()> {
        match field {
            Field::Bool(it) => **it = self.uint()? != 0,
            Field::Int(it) => **it = self.int()?,
            Field::Uint(it) => **it = self.uint()?,
            Field::Bytes(it) => **it = self.counted()?.to_vec(),
            Field::Text(it) => **it = self.text()?,
            Field::Texts(it) => {
                let count = self.count()?;
                if count > MOST_STRINGS {
                    return Err(Malformed::Many);
                }
                let texts = (0..count).map(|_| self.text());
                **it = texts.collect::<Outcome<_>>()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::protocol::{Answer, Answered, Call, METHOD, Nothing, Request};
    use super::{Decoder, Encoder, Malformed, Message, first_frame};

    /// Three calls and their answers in Go's own bytes: what `go-rpc golden` of the rehearsal's parts
    /// prints.
    const GOLDEN: &str = include_str!("golden/calls.txt");

    fn golden(side: char) -> Vec<Vec<u8>> {
        let lines = GOLDEN.lines().filter_map(|line| line.strip_prefix(side));
        let bytes = |line: &str| {
            let digits = line.trim().as_bytes().chunks(2);
            let byte = |it| u8::from_str_radix(str::from_utf8(it).unwrap(), 16).unwrap();
            digits.map(byte).collect()
        };
        lines.map(bytes).collect()
    }

    fn requests() -> [Request; 3] {
        [
            Request {
                context: "temporal-k8s/0-update-status-1".to_owned(),
                directory: "/var/lib/juju/agents/unit-temporal-k8s-0/charm".to_owned(),
                tool: "relation-set".to_owned(),
                args: ["-r", "7", "--app", "--file", "-"]
                    .map(str::to_owned)
                    .to_vec(),
                has_stdin: true,
                stdin: "{\"a\":\"ü\"}\n".into(),
                token: String::new(),
            },
            Request {
                context: "x".to_owned(),
                directory: "/".to_owned(),
                tool: "leader-get".to_owned(),
                ..Request::default()
            },
            Request::default(),
        ]
    }

    fn call(number: u64) -> Call {
        Call {
            method: METHOD.to_owned(),
            number,
        }
    }

    fn answered(number: u64, error: &str) -> Answered {
        Answered {
            method: METHOD.to_owned(),
            number,
            error: error.to_owned(),
        }
    }

    /// The next message of a stream.
    fn message<M: Message>(decoder: &mut Decoder, rest: &mut &[u8]) -> M {
        loop {
            let (content, length) = first_frame(rest).unwrap().expect("a whole frame");
            *rest = &rest[length..];
            if let Some(message) = decoder.decode(content).unwrap() {
                return message;
            }
        }
    }

    #[test]
    fn calls_are_gos_own_bytes() {
        let mut encoder = Encoder::default();
        for (number, (request, bytes)) in (0..).zip(requests().into_iter().zip(golden('>'))) {
            let mut out = Vec::new();
            encoder.encode(call(number), &mut out);
            encoder.encode(request, &mut out);
            assert_eq!(out, bytes, "call {number}");
        }
    }

    #[test]
    fn gos_calls_are_understood() {
        let mut decoder = Decoder::default();
        for (number, (request, bytes)) in (0..).zip(requests().into_iter().zip(golden('>'))) {
            let rest = &mut bytes.as_slice();
            assert_eq!(message::<Call>(&mut decoder, rest), call(number));
            assert_eq!(message::<Request>(&mut decoder, rest), request);
            assert!(rest.is_empty());
        }
    }

    #[test]
    fn gos_answers_are_understood() {
        let answers = golden('<');
        let mut decoder = Decoder::default();
        let rest = &mut answers[0].as_slice();
        assert_eq!(message::<Answered>(&mut decoder, rest), answered(0, ""));
        let answer = Answer {
            code: 300,
            stdout: "größer\n".into(),
            stderr: "ERROR no\n".into(),
        };
        assert_eq!(message::<Answer>(&mut decoder, rest), answer);
        let rest = &mut answers[1].as_slice();
        let refused = answered(1, "bad request: unknown command: leader-get");
        assert_eq!(message::<Answered>(&mut decoder, rest), refused);
        message::<Nothing>(&mut decoder, rest);
        let rest = &mut answers[2].as_slice();
        assert_eq!(message::<Answered>(&mut decoder, rest), answered(2, ""));
        assert_eq!(message::<Answer>(&mut decoder, rest), Answer::default());
        assert!(rest.is_empty());
    }

    /// An answer of which every field is another kind of type, and the last is ours.
    #[derive(Debug, Default, PartialEq)]
    struct Last(Vec<u8>);

    impl Message for Last {
        const NAME: &'static str = "Last";

        fn fields(&mut self) -> Vec<(&'static str, super::Field<'_>)> {
            vec![("Stderr", super::Field::Bytes(&mut self.0))]
        }
    }

    #[test]
    fn fields_that_nobody_wants_are_skipped() {
        let mut decoder = Decoder::default();
        let bytes = golden('<').concat();
        let rest = &mut bytes.as_slice();
        message::<Answered>(&mut decoder, rest);
        let last = message::<Last>(&mut decoder, rest);
        assert_eq!(last, Last("ERROR no\n".into()));
    }

    /// The content of the only frame.
    fn content(bytes: &[u8]) -> &[u8] {
        first_frame(bytes).unwrap().unwrap().0
    }

    #[test]
    fn what_is_malformed_is_refused() {
        let mut known = Decoder::default();
        for bytes in golden('<') {
            let rest = &mut bytes.as_slice();
            while let Some((content, length)) = first_frame(rest).unwrap() {
                known.skip(content).unwrap();
                *rest = &rest[length..];
            }
        }
        let answer: &[u8] = &[0xff, 0x88, 0x01, 0x02, 0x00];
        let decoded = known.decode::<Answer>(answer).unwrap().unwrap();
        assert_eq!(decoded.code, 1);
        for (bytes, error) in [
            (&answer[..4], Malformed::Short),
            (&[answer, &[0]].concat(), Malformed::Long),
            (&[0xff, 0x88, 0x04, 0x02, 0x00], Malformed::Field(3)),
            (&[0xff, 0x98, 0x00], Malformed::Unknown(76)),
            (&[0x0c, 0x00, 0x01, b'x'], Malformed::NoStruct),
            (&[0xff, 0x88, 0x02, 0x7f, b'x', 0x00], Malformed::Short),
            (&[0xf0], Malformed::Number),
            (
                &[0xff, 0x87, 0x03, 0x00, 0x00],
                Malformed::Definition(68, "it is defined already"),
            ),
            (
                &[0x0b, 0x03, 0x00, 0x00],
                Malformed::Definition(6, "the id is reserved"),
            ),
            (
                &[0xff, 0x97, 0x00],
                Malformed::Definition(76, "it is of no kind"),
            ),
            (&[0xff, 0x97, 0x08, 0x00], Malformed::Field(7)),
        ] {
            assert_eq!(known.decode::<Answer>(bytes), Err(error), "{bytes:x?}");
        }
        assert_eq!(first_frame(&[0x05, 0x00]), Ok(None));
        assert_eq!(first_frame(&[0xfc, 0x7f]), Ok(None));
        assert_eq!(
            first_frame(&[0xfc, 0x7f, 0, 0, 0]),
            Err(Malformed::Frame(0x7f00_0000))
        );
    }

    #[test]
    fn types_are_compared_before_values() {
        let mut encoder = Encoder::default();
        let (mut out, mut decoder) = (Vec::new(), Decoder::default());
        encoder.encode(Last::default(), &mut out);
        let (definition, length) = first_frame(&out).unwrap().unwrap();
        decoder.decode::<Answer>(definition).unwrap();
        let value = content(&out[length..]);
        assert_eq!(decoder.decode::<Answer>(value), Ok(Some(Answer::default())));
        assert_eq!(decoder.decode::<Call>(value), Err(Malformed::Foreign));
        let mut other = definition.to_vec();
        let id = other.len() - 4;
        assert_eq!(other[id], 0x0a, "the field's type, `[]byte`");
        other[id] = 0x0c;
        let mut decoder = Decoder::default();
        decoder.decode::<Answer>(&other).unwrap();
        assert_eq!(
            decoder.decode::<Answer>(value),
            Err(Malformed::Mismatch("Stderr".to_owned()))
        );
    }

    fn request() -> impl Strategy<Value = Request> {
        let text = || "\\PC{0,200}";
        let stdin = (any::<bool>(), vec(any::<u8>(), 0..300));
        let what = (text(), text(), text(), vec(text(), 0..9), stdin, text());
        what.prop_map(|(context, directory, tool, args, stdin, token)| Request {
            context,
            directory,
            tool,
            args,
            has_stdin: stdin.0,
            stdin: stdin.1,
            token,
        })
    }

    fn answer() -> impl Strategy<Value = Answer> {
        let bytes = || vec(any::<u8>(), 0..300);
        let what = (any::<i64>(), bytes(), bytes());
        what.prop_map(|(code, stdout, stderr)| Answer {
            code,
            stdout,
            stderr,
        })
    }

    /// Goes through a stream as a reader does that trusts nobody.
    fn read_all<M: Message + Debug>(bytes: &[u8]) {
        let (mut decoder, mut rest) = (Decoder::default(), bytes);
        while let Ok(Some((content, length))) = first_frame(rest) {
            if decoder.decode::<M>(content).is_err() && decoder.skip(content).is_err() {
                return;
            }
            rest = &rest[length..];
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(
            calls in vec((request(), answer(), any::<u64>(), ".{0,40}"), 1..5)
        ) {
            let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
            for (request, answer, number, error) in calls {
                let mut out = Vec::new();
                encoder.encode(call(number), &mut out);
                encoder.encode(request.clone(), &mut out);
                encoder.encode(answered(number, &error), &mut out);
                encoder.encode(Nothing, &mut out);
                encoder.encode(answer.clone(), &mut out);
                let rest = &mut out.as_slice();
                prop_assert_eq!(message::<Call>(&mut decoder, rest), call(number));
                prop_assert_eq!(message::<Request>(&mut decoder, rest), request);
                let head: Answered = message(&mut decoder, rest);
                prop_assert_eq!(head, answered(number, &error));
                message::<Nothing>(&mut decoder, rest);
                prop_assert_eq!(message::<Answer>(&mut decoder, rest), answer);
                prop_assert!(rest.is_empty());
            }
        }

        #[test]
        fn any_bytes_are_answered(bytes in vec(any::<u8>(), 0..600)) {
            read_all::<Request>(&bytes);
            read_all::<Answer>(&bytes);
        }

        /// Bytes that were right until some were changed, cut out or put in go deeper.
        #[test]
        fn damaged_messages_are_answered(
            request in request(),
            answer in answer(),
            damage in vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..9),
        ) {
            let (mut encoder, mut out) = (Encoder::default(), Vec::new());
            encoder.encode(request, &mut out);
            encoder.encode(answer, &mut out);
            for (at, byte, how) in damage {
                let at = at.index(out.len());
                match how {
                    0 => out[at] = byte,
                    1 => out.insert(at, byte),
                    _ => drop(out.remove(at)),
                }
            }
            read_all::<Request>(&out);
            read_all::<Answer>(&out);
        }
    }
}
