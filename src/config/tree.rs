//! The text as a tree of values that know where they stand. Pure; it knows YAML and nothing of keepstart.
//!
//! The parser tells places only in its errors. But a string that it lends instead of copying is a piece of the
//! text, so its address says where it stands: this places every plain or quoted key and nearly every string,
//! and what is not lent (numbers, lists, block scalars) begins where the text goes on after its key.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{
    Deserialize as _, DeserializeSeed, Deserializer, EnumAccess, Error, IgnoredAny, MapAccess,
    SeqAccess, VariantAccess, Visitor,
};

use super::fault::Offset;

/// The most values of a file, each counted wherever an alias repeats it: room for 40,000 instances, and no
/// room for ten lines of aliases that unfold into gigabytes.
const VALUES_MAX: u32 = 1_000_000;

/// The most brackets that may be open at once, wherever they stand. The parser refuses what is nested deeper
/// than 128, but only after its scanner, whose time grows with the square of the open brackets, has seen all.
/// The limit is far above 128 because brackets inside texts are counted too, and need not be closed.
const OPEN_BRACKETS_MAX: u32 = 10_000;

/// A value and where it stands.
#[derive(Debug)]
pub(super) struct Node<'t> {
    pub(super) at: Offset,
    pub(super) value: Value<'t>,
}

/// What stands there, as YAML 1.2 reads it. Where a boolean is expected, the words of YAML 1.1 are
/// [`Value::Text`] that the reader of the field understands.
#[derive(Debug)]
pub(super) enum Value<'t> {
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(Cow<'t, str>),
    List(Vec<Node<'t>>),
    /// In the order of the file, with duplicates and merge keys as they are written.
    Mapping(Vec<Entry<'t>>),
    /// A value with a tag of somebody's own (`!name`).
    Tagged(String),
}

/// A key, where it stands, and its value. Whatever a key looks like, it is text.
#[derive(Debug)]
pub(super) struct Entry<'t> {
    pub(super) at: Offset,
    pub(super) key: Cow<'t, str>,
    pub(super) value: Node<'t>,
}

impl Value<'_> {
    /// The text, if it is one.
    pub(super) fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self {
            Some(text)
        } else {
            None
        }
    }

    /// What a person calls it, for "found …".
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Null => "nothing".into(),
            Self::Bool(value) => format!("the boolean {value}"),
            Self::Integer(number) => format!("the number {number}"),
            Self::Float(number) => format!("the number {number:?}"),
            Self::Text(text) => format!("the text {}", quoted(text)),
            Self::List(_) => "a list".into(),
            Self::Mapping(_) => "a mapping".into(),
            Self::Tagged(tag) => format!("a value with the tag !{tag}"),
        }
    }
}

/// A text from the file inside a message: in quotes, without control characters, at most 60 characters.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}

/// Why a text is no tree.
pub(super) struct Malformed {
    pub(super) at: Offset,
    pub(super) message: String,
}

/// Parses the one document of a text (without a byte order mark).
pub(super) fn parse(text: &str) -> Result<Node<'_>, Malformed> {
    refuse_unreadable(text)?;
    let mut documents = serde_yaml::Deserializer::from_str(text);
    let left = Cell::new(VALUES_MAX);
    let seed = Seed {
        text,
        left: &left,
        at: 0,
    };
    let root = match documents.next() {
        Some(document) => seed
            .deserialize(document)
            .map_err(|error| malformed(&error, text, left.get()))?,
        None => Node {
            at: 0,
            value: Value::Null,
        },
    };
    if let Some(second) = documents.next()
        && let Err(error) = Nothing::deserialize(second)
    {
        let mut fault = malformed(&error, text, left.get());
        if fault.message.contains(NOTHING) {
            fault.message = "a second document begins here, expected one in a file".into();
        }
        return Err(fault);
    }
    Ok(root)
}

/// Finds what the parser would refuse without saying where, or accept only after a very long time.
fn refuse_unreadable(text: &str) -> Result<(), Malformed> {
    let mut open: u32 = 0;
    for (index, c) in text.char_indices() {
        let message = match c {
            '[' | '{' => {
                open += 1;
                if open <= OPEN_BRACKETS_MAX {
                    continue;
                }
                format!(
                    "more than {OPEN_BRACKETS_MAX} brackets are open here, expected each to be closed"
                )
            }
            ']' | '}' => {
                open = open.saturating_sub(1);
                continue;
            }
            '\t'
            | '\n'
            | '\r'
            | ' '..='~'
            | '\u{85}'
            | '\u{a0}'..='\u{fefe}'
            | '\u{ff00}'..='\u{fffd}'
            | '\u{10000}'.. => continue,
            _ => format!(
                "the character U+{:04X} is not allowed in YAML; in a text in double quotes it is written as an escape",
                u32::from(c)
            ),
        };
        let at = offset(index);
        return Err(Malformed { at, message });
    }
    Ok(())
}

/// Says what the parser said, without the place that stands before the message anyway.
fn malformed(error: &serde_yaml::Error, text: &str, values_left: u32) -> Malformed {
    let mut message = error.to_string();
    if let Some(location) = error.location() {
        let place = format!(" at line {} column {}", location.line(), location.column());
        message = message.replacen(&place, "", 1);
    }
    let at = place(error);
    let rest = text.get(at as usize..).unwrap_or_default();
    let message = if values_left == 0 {
        format!("more than {VALUES_MAX} values, counting each one wherever an alias repeats it")
    } else if message == "recursion limit exceeded" {
        "nested deeper than 128 levels".into()
    } else if message == "repetition limit exceeded" {
        "aliases repeat aliases too often".into()
    } else if rest.starts_with('\t') {
        "not valid YAML: found a tab, expected blanks to indent with".into()
    } else if rest.starts_with("::") {
        "not valid YAML: an address that begins with \"::\" is written in quotes between brackets"
            .into()
    } else {
        format!("not valid YAML: {message}")
    };
    Malformed { at, message }
}

fn place(error: &serde_yaml::Error) -> Offset {
    error.location().map_or(0, |at| offset(at.index()))
}

fn offset(index: usize) -> Offset {
    Offset::try_from(index).unwrap_or(Offset::MAX)
}

/// What a second document should be: no value fits, so that the error says where it begins.
struct Nothing;

const NOTHING: &str = "no second document";

impl<'de> serde::Deserialize<'de> for Nothing {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Nothing)
    }
}

impl Visitor<'_> for Nothing {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NOTHING)
    }
}

/// Makes one node.
#[derive(Clone, Copy)]
struct Seed<'s, 't> {
    text: &'t str,
    /// How many more values there may be.
    left: &'s Cell<u32>,
    /// Where the node stands if the parser does not say better.
    at: Offset,
}

impl<'t> Seed<'_, 't> {
    #[expect(
        clippy::unnecessary_wraps,
        reason = "each method of a Visitor ends with it"
    )]
    fn here<E>(self, value: Value<'t>) -> Result<Node<'t>, E> {
        let at = self.at;
        Ok(Node { at, value })
    }

    fn spend<E: Error>(self) -> Result<(), E> {
        let left = self.left.get().saturating_sub(1);
        self.left.set(left);
        if left == 0 {
            return Err(E::custom("too many values"));
        }
        Ok(())
    }

    /// Where a lent string stands: at its opening quote, if it has one.
    fn lent(self, string: &'t str) -> Offset {
        let distance = string
            .as_ptr()
            .addr()
            .checked_sub(self.text.as_ptr().addr());
        let Some(before) = distance.and_then(|distance| self.text.get(..distance)) else {
            return self.at;
        };
        let quote = before.ends_with(['"', '\'']);
        offset(before.len() - usize::from(quote))
    }

    /// Where the value of a key stands: past the colon, blanks, line breaks and comments. Where the text is
    /// written otherwise (`? key`), the key itself.
    fn after_key(self, key_at: Offset, key: &str) -> Offset {
        let after = |start: usize| {
            let rest = self.text.get(start..)?;
            let rest = rest.trim_start_matches(['"', '\'']).trim_start();
            let mut rest = rest.strip_prefix(':')?.trim_start();
            while let Some(comment) = rest.strip_prefix('#') {
                let (_, next) = comment.split_once('\n')?;
                rest = next.trim_start();
            }
            Some(self.text.len() - rest.len())
        };
        let quote = usize::from(
            self.text
                .get(key_at as usize..)
                .is_some_and(|rest| rest.starts_with(['"', '\'']) && !rest.starts_with(key)),
        );
        after(key_at as usize + key.len() + quote).map_or(key_at, offset)
    }
}

impl<'t> DeserializeSeed<'t> for Seed<'_, 't> {
    type Value = Node<'t>;

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<Node<'t>, D::Error> {
        self.spend()?;
        deserializer.deserialize_any(self)
    }
}

impl<'t> Visitor<'t> for Seed<'_, 't> {
    type Value = Node<'t>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_none<E>(self) -> Result<Node<'t>, E> {
        self.here(Value::Null)
    }

    fn visit_unit<E>(self) -> Result<Node<'t>, E> {
        self.here(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node<'t>, E> {
        self.here(Value::Bool(value))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Node<'t>, E> {
        self.here(Value::Integer(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Node<'t>, E> {
        self.here(Value::Integer(number.into()))
    }

    fn visit_i128<E>(self, number: i128) -> Result<Node<'t>, E> {
        self.here(Value::Integer(number))
    }

    fn visit_u128<E>(self, number: u128) -> Result<Node<'t>, E> {
        // Both are far beyond what any field takes.
        let number = i128::try_from(number).unwrap_or(i128::MAX);
        self.here(Value::Integer(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Node<'t>, E> {
        self.here(Value::Float(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Node<'t>, E> {
        self.here(Value::Text(Cow::Owned(text.into())))
    }

    fn visit_borrowed_str<E>(self, text: &'t str) -> Result<Node<'t>, E> {
        Ok(Node {
            at: self.lent(text),
            value: Value::Text(Cow::Borrowed(text)),
        })
    }

    fn visit_seq<A: SeqAccess<'t>>(self, mut items: A) -> Result<Node<'t>, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        self.here(Value::List(list))
    }

    fn visit_map<A: MapAccess<'t>>(self, mut entries: A) -> Result<Node<'t>, A::Error> {
        let mut mapping = Vec::new();
        while let Some((at, key)) = entries.next_key_seed(KeySeed(self))? {
            let at_value = self.after_key(at, &key);
            let value = entries.next_value_seed(Seed {
                at: at_value,
                ..self
            })?;
            mapping.push(Entry { at, key, value });
        }
        self.here(Value::Mapping(mapping))
    }

    fn visit_enum<A: EnumAccess<'t>>(self, tagged: A) -> Result<Node<'t>, A::Error> {
        let (tag, value) = tagged.variant::<String>()?;
        value.newtype_variant::<IgnoredAny>()?;
        self.here(Value::Tagged(tag))
    }
}

/// Makes a key. Asked for a string, the parser lends `1`, `true` and `~` too.
struct KeySeed<'s, 't>(Seed<'s, 't>);

impl<'t> DeserializeSeed<'t> for KeySeed<'_, 't> {
    type Value = (Offset, Cow<'t, str>);

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        self.0.spend()?;
        deserializer.deserialize_str(self)
    }
}

impl<'t> Visitor<'t> for KeySeed<'_, 't> {
    type Value = (Offset, Cow<'t, str>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key that is a single word or text")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok((self.0.at, Cow::Owned(key.into())))
    }

    fn visit_borrowed_str<E>(self, key: &'t str) -> Result<Self::Value, E> {
        Ok((self.0.lent(key), Cow::Borrowed(key)))
    }
}
