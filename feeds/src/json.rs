//! Reads JSON from the left, one value at a time, without building anything: the codecs say which fields they
//! want, everything else is walked over. Not a validator: what nobody asks for only has to nest and to end.
//!
//! Why not serde's derive: told which kind of frame it gets it is as fast as this (`benches/decode.rs`), but to
//! find that out by its means is another pass, over depth too, and a refusal could not name the field. Here a
//! look at the first key mostly tells, numbers stay text, and a text or a JSON number is the same to a codec.

#![expect(clippy::inline_always, reason = "else each value goes through memory: a fifth of the speed")]

mod field;

pub(crate) use field::Field;

use crate::DecodeError;

/// Deeper nesting is refused. The deepest frame seen has six levels; the limit is what fits one word of bits.
const DEPTH_MAX: u32 = 64;

/// Why a text is not the JSON we read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JsonError {
    #[error("unexpected text at byte {at}")]
    Unexpected { at: usize },
    #[error("the text ends too soon")]
    Truncated,
    #[error("nested deeper than {DEPTH_MAX} levels")]
    Deep,
    #[error("the field `{name}` comes twice")]
    Twice { name: &'static str },
}

impl From<JsonError> for DecodeError {
    #[cold]
    fn from(error: JsonError) -> Self {
        Self::Json(Box::new(error))
    }
}

/// One value, its text untouched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'f> {
    Null,
    Bool(bool),
    /// Starts like a number and has only a number's characters; whether it is one shows when it is read.
    Number(&'f str),
    /// What stands between the quotes; no escapes in it.
    Text(&'f str),
    /// A text with escapes in it, with its quotes.
    Escaped(&'f str),
    /// An object or array, with its brackets.
    Nested(&'f str),
}

/// A field's name as it stands in the text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key<'f>(Value<'f>);

impl Key<'_> {
    #[inline]
    pub(crate) fn is(self, name: &str) -> bool {
        match self.0 {
            Value::Text(text) => text == name,
            Value::Escaped(quoted) => unescape(quoted).is_some_and(|text| text == name),
            _ => false,
        }
    }
}

/// A place in a JSON text. Copy it to look ahead.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'f> {
    text: &'f str,
    at: usize,
    /// Just inside a bracket, so no comma is due.
    opened: bool,
}

impl<'f> Cursor<'f> {
    pub(crate) fn new(text: &'f str) -> Self {
        Self { text, at: 0, opened: false }
    }

    /// The next byte that is not blank, without taking it.
    #[inline(always)]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.text.as_bytes().get(self.at) {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                other => return other.copied(),
            }
        }
    }

    /// Only blanks may follow.
    pub(crate) fn end(mut self) -> Result<(), JsonError> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.unexpected()),
        }
    }

    /// Enters an object: then [`Self::key`] and a value in turn, until there is no key.
    #[inline]
    pub(crate) fn object(&mut self) -> Result<(), JsonError> {
        self.take(b'{')?;
        self.opened = true;
        Ok(())
    }

    /// Enters an array: then [`Self::element`] and a value in turn, until there is no element.
    pub(crate) fn array(&mut self) -> Result<(), JsonError> {
        self.take(b'[')?;
        self.opened = true;
        Ok(())
    }

    /// The next key of the object entered; its value comes next. `None` once the object has been left.
    #[inline(always)]
    pub(crate) fn key(&mut self) -> Result<Option<Key<'f>>, JsonError> {
        if !self.more(b'}')? {
            return Ok(None);
        }
        let key = self.string()?;
        self.take(b':')?;
        Ok(Some(Key(key)))
    }

    /// Whether the array entered has another element; it comes next. `false` once the array has been left.
    pub(crate) fn element(&mut self) -> Result<bool, JsonError> {
        self.more(b']')
    }

    /// Takes the next value whole.
    #[inline(always)]
    pub(crate) fn value(&mut self) -> Result<Value<'f>, JsonError> {
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'0'..=b'9' | b'-') => Ok(Value::Number(self.number())),
            Some(b'{' | b'[') => self.nested(),
            Some(b't') => self.literal("true", Value::Bool(true)),
            Some(b'f') => self.literal("false", Value::Bool(false)),
            Some(b'n') => self.literal("null", Value::Null),
            _ => Err(self.unexpected()),
        }
    }

    /// Takes the next value, an object, and returns the fields of these names. One that comes twice is
    /// refused: nobody can say which one is meant.
    #[inline]
    pub(crate) fn pick<const N: usize>(
        &mut self,
        names: [&'static str; N],
    ) -> Result<[Field<'f>; N], JsonError> {
        let mut fields = names.map(Field::absent);
        // Venues keep the order of their fields: the next one wanted is mostly the next one there.
        let mut next = 0;
        self.object()?;
        while let Some(key) = self.key()? {
            let value = self.value()?;
            let expected = names.get(next).is_some_and(|name| key.is(name));
            let found = if expected { Some(next) } else { names.iter().position(|name| key.is(name)) };
            if let Some(index) = found {
                if fields[index].replace(value).is_some() {
                    return Err(JsonError::Twice { name: names[index] });
                }
                next = index + 1;
            }
        }
        Ok(fields)
    }

    /// Takes the next value, an array, and returns its first elements under these names. Shorter is as good as
    /// empty fields, and what comes after them is walked over: venues append to their arrays.
    #[inline]
    pub(crate) fn items<const N: usize>(
        &mut self,
        names: [&'static str; N],
    ) -> Result<[Field<'f>; N], JsonError> {
        let mut fields = names.map(Field::absent);
        let mut next = fields.iter_mut();
        self.array()?;
        while self.element()? {
            let value = self.value()?;
            if let Some(field) = next.next() {
                field.replace(value);
            }
        }
        Ok(fields)
    }

    /// Looks ahead in the next object for the first field with one of these names. All others of them stay
    /// empty, so that a frame's kind is known without reading the rest.
    #[inline]
    pub(crate) fn first<const N: usize>(
        mut self,
        names: [&'static str; N],
    ) -> Result<[Field<'f>; N], JsonError> {
        let mut fields = names.map(Field::absent);
        self.object()?;
        while let Some(key) = self.key()? {
            let value = self.value()?;
            if let Some(index) = names.iter().position(|name| key.is(name)) {
                fields[index].replace(value);
                break;
            }
        }
        Ok(fields)
    }

    /// Enters the next object and calls `read` where the value of its field `name` starts; `read` must take that
    /// whole. All other fields are walked over. Returns whether it was there.
    #[inline]
    pub(crate) fn within<E: From<JsonError>>(
        &mut self,
        name: &'static str,
        mut read: impl FnMut(&mut Self) -> Result<(), E>,
    ) -> Result<bool, E> {
        let mut found = false;
        self.object()?;
        while let Some(key) = self.key()? {
            if !key.is(name) {
                self.value()?;
                continue;
            }
            if std::mem::replace(&mut found, true) {
                return Err(JsonError::Twice { name }.into());
            }
            read(self)?;
        }
        Ok(found)
    }

    /// Enters the next array and calls `read` where each element starts; `read` must take that whole.
    #[inline]
    pub(crate) fn each<E: From<JsonError>>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        self.array()?;
        while self.element()? {
            read(self)?;
        }
        Ok(())
    }

    /// Takes the next value whole, under a name for what may be wrong with it.
    pub(crate) fn field(&mut self, name: &'static str) -> Result<Field<'f>, JsonError> {
        Ok(Field::new(name, self.value()?))
    }

    #[inline(always)]
    fn take(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.peek() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    #[inline(always)]
    fn more(&mut self, close: u8) -> Result<bool, JsonError> {
        let opened = std::mem::take(&mut self.opened);
        match self.peek() {
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(false)
            }
            Some(b',') if !opened => {
                self.at += 1;
                Ok(true)
            }
            Some(_) if opened => Ok(true),
            _ => Err(self.unexpected()),
        }
    }

    #[inline(always)]
    fn string(&mut self) -> Result<Value<'f>, JsonError> {
        let open = self.at;
        self.take(b'"')?;
        let (start, mut escaped) = (self.at, false);
        loop {
            self.at = special(self.text.as_bytes(), self.at);
            match self.text.as_bytes().get(self.at) {
                Some(b'"') => break,
                // The byte after it is part of the escape, a quote too. It can be the first of several, which
                // are no special ones then.
                Some(b'\\') => (escaped, self.at) = (true, self.at + 2),
                _ => return Err(self.unexpected()),
            }
        }
        let end = self.at;
        self.at += 1;
        Ok(if escaped { Value::Escaped(&self.text[open..=end]) } else { Value::Text(&self.text[start..end]) })
    }

    #[inline]
    fn number(&mut self) -> &'f str {
        let start = self.at;
        let bytes = self.text.as_bytes();
        while let Some(b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E') = bytes.get(self.at) {
            self.at += 1;
        }
        &self.text[start..self.at]
    }

    fn literal(&mut self, word: &str, value: Value<'f>) -> Result<Value<'f>, JsonError> {
        if self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(value)
        } else {
            Err(self.unexpected())
        }
    }

    /// Walks over an object or array without recursion: a bit per level says which bracket is due.
    fn nested(&mut self) -> Result<Value<'f>, JsonError> {
        let (start, mut objects, mut depth) = (self.at, 0_u64, 0);
        loop {
            match self.text.as_bytes().get(self.at) {
                Some(b'"') => {
                    self.string()?;
                    continue;
                }
                Some(&open @ (b'{' | b'[')) => {
                    if depth == DEPTH_MAX {
                        return Err(JsonError::Deep);
                    }
                    (objects, depth) = (objects << 1 | u64::from(open == b'{'), depth + 1);
                }
                Some(&close @ (b'}' | b']')) => {
                    if (objects & 1 == 1) != (close == b'}') {
                        return Err(self.unexpected());
                    }
                    (objects, depth) = (objects >> 1, depth - 1);
                }
                Some(_) => {}
                None => return Err(JsonError::Truncated),
            }
            self.at += 1;
            if depth == 0 {
                return Ok(Value::Nested(&self.text[start..self.at]));
            }
        }
    }

    #[cold]
    fn unexpected(&self) -> JsonError {
        if self.at >= self.text.len() { JsonError::Truncated } else { JsonError::Unexpected { at: self.at } }
    }
}

/// The first quote, backslash or control character at or after `at`; the end where there is none. Eight bytes
/// at a time: most of a frame is inside of quotes.
#[inline(always)]
fn special(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const TOPS: u64 = ONES << 7;
    // The top bit of each byte that is below `n`. A borrow can only set one above a byte that is right.
    let below = |word: u64, n: u64| word.wrapping_sub(ONES * n) & !word & TOPS;
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*chunk);
        let quote = below(word ^ (ONES * u64::from(b'"')), 1);
        let backslash = below(word ^ (ONES * u64::from(b'\\')), 1);
        let found = quote | backslash | below(word, 0x20);
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while bytes.get(at).is_some_and(|&b| b != b'"' && b != b'\\' && b >= 0x20) {
        at += 1;
    }
    at
}

#[cold]
fn unescape(quoted: &str) -> Option<String> {
    serde_json::from_str(quoted).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_in_any_order_and_by_escaped_names() {
        let mut cursor =
            Cursor::new(r#" { "x" : [ {"p":"]}"} ] , "s":"A\u0042", "\u0070":1.50 , "n":null} "#);
        let [p, s, n] = cursor.pick(["p", "s", "n"]).unwrap();
        assert_eq!(p.price().unwrap().to_string(), "1.50");
        assert_eq!(s.text().unwrap(), "AB");
        assert!(!n.is_there());
        assert_eq!(cursor.end(), Ok(()));
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for bad in [
            "",
            "{",
            "}",
            "{]",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{,}",
            "{\"a\":1 \"b\":2}",
            "{\"a\":tru}",
            "{\"a\":\"x}",
            "{\"a\":\"\\",
            "{a:1}",
            "{\"a\":[}]}",
            "{\"a\":{\"b\":1]}",
            "{\"a\":\"\n\"}",
            "{1:2}",
        ] {
            assert!(Cursor::new(bad).pick(["a"]).is_err(), "{bad}");
        }
        assert!(Cursor::new("{\"a\":1,\"a\":2}").pick(["a"]).is_err());
    }

    #[test]
    fn nesting_is_bounded_and_takes_no_stack() {
        let deep = format!("{{\"a\":{}", "[".repeat(100_000));
        assert_eq!(Cursor::new(&deep).pick(["a"]).map(|_| ()), Err(JsonError::Deep));
        let fits = format!("{{\"a\":{}{}}}", "[".repeat(64), "]".repeat(64));
        assert!(Cursor::new(&fits).pick(["a"]).is_ok());
    }

    #[test]
    fn the_first_special_byte_is_found_at_every_distance() {
        for len in 0..40 {
            for tail in ["\"x\\", "\\\"", "\u{1f}", ""] {
                let text =
                    format!("{}{tail}", "é!\u{7f}\u{80}~".chars().cycle().take(len).collect::<String>());
                let plain = text.len() - tail.len();
                assert_eq!(special(text.as_bytes(), 0), plain, "{text:?}");
            }
        }
    }
}
