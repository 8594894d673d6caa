//! The format of a line in Python's three styles, taken apart once so that writing a line parses nothing. Pure.

mod brace;
mod percent;

/// A format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    /// As it is written.
    pub written: String,
    /// How it is written.
    pub style: Style,
    /// What it means.
    pub pieces: Vec<Piece>,
}

/// How fields are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `%(message)s`.
    Percent,
    /// `{message}`.
    Brace,
    /// `$message` or `${message}`.
    Dollar,
}

/// A part of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// This text.
    Text(String),
    /// A field of the record.
    Field(Field, Spec),
}

/// A field of Python's `LogRecord` that has a meaning here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// The time, by the formatter's `datefmt`.
    Asctime,
    /// The time in seconds since 1970.
    Created,
    /// The source file without its directory.
    Filename,
    /// `(unknown function)`: Python's own word where it cannot tell.
    FuncName,
    /// The name of the level.
    Levelname,
    /// The number of the level.
    Levelno,
    /// The line in the source file.
    Lineno,
    /// What is said.
    Message,
    /// The last part of the module's path.
    Module,
    /// The milliseconds of the time.
    Msecs,
    /// The name of the logger.
    Name,
    /// The source file.
    Pathname,
    /// The process id.
    Process,
    /// `MainProcess`, as in a Python program that is one process.
    ProcessName,
    /// Milliseconds since the log was set up.
    RelativeCreated,
    /// `None`, as in a Python program without tasks.
    TaskName,
    /// The thread's number.
    Thread,
    /// The thread's name.
    ThreadName,
}

/// How a field is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spec {
    /// As what.
    pub kind: Kind,
    /// Where it stands in its width.
    pub align: Align,
    /// What fills the rest of the width.
    pub fill: char,
    /// What stands before a number that is not negative.
    pub sign: Sign,
    /// The least number of characters, at most 1000.
    pub width: usize,
    /// The digits behind the point, the least digits of a whole number, or the most characters of a text.
    pub precision: Option<usize>,
}

/// As what a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// As `str()` does.
    Text,
    /// As `repr()` does.
    Repr,
    /// As a whole number.
    Integer,
    /// As a decimal fraction.
    Fixed,
    /// As a hexadecimal number.
    Hex,
    /// The same in capitals.
    UpperHex,
    /// As an octal number.
    Octal,
}

/// Where a value stands in its width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// At the left.
    Left,
    /// At the right.
    Right,
    /// In the middle.
    Centre,
    /// At the right, and what fills stands behind the sign.
    BehindSign,
}

/// What stands before a number that is not negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// Nothing.
    Nothing,
    /// `+`.
    Plus,
    /// A blank.
    Blank,
}

/// The widest field and the longest fraction: nobody's, but no typing error fills the disk.
const WIDTH_MAX: usize = 1_000;

const FIELDS: [(&str, Field); 19] = [
    ("asctime", Field::Asctime),
    ("created", Field::Created),
    ("filename", Field::Filename),
    ("funcName", Field::FuncName),
    ("levelname", Field::Levelname),
    ("levelno", Field::Levelno),
    ("lineno", Field::Lineno),
    ("message", Field::Message),
    ("msg", Field::Message),
    ("module", Field::Module),
    ("msecs", Field::Msecs),
    ("name", Field::Name),
    ("pathname", Field::Pathname),
    ("process", Field::Process),
    ("processName", Field::ProcessName),
    ("relativeCreated", Field::RelativeCreated),
    ("taskName", Field::TaskName),
    ("thread", Field::Thread),
    ("threadName", Field::ThreadName),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nature {
    Text,
    Integer,
    Fraction,
}

impl Field {
    fn named(name: &str) -> Option<Self> {
        let found = FIELDS.iter().find(|(known, _)| *known == name);
        found.map(|&(_, field)| field)
    }

    fn nature(self) -> Nature {
        match self {
            Self::Created | Self::Msecs | Self::RelativeCreated => Nature::Fraction,
            Self::Levelno | Self::Lineno | Self::Process | Self::Thread => Nature::Integer,
            Self::Asctime
            | Self::Filename
            | Self::FuncName
            | Self::Levelname
            | Self::Message
            | Self::Module
            | Self::Name
            | Self::Pathname
            | Self::ProcessName
            | Self::TaskName
            | Self::ThreadName => Nature::Text,
        }
    }
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            kind: Kind::Text,
            align: Align::Right,
            fill: ' ',
            sign: Sign::Nothing,
            width: 0,
            precision: None,
        }
    }
}

impl Default for Format {
    /// Python's default: the message alone.
    fn default() -> Self {
        Self {
            written: "%(message)s".into(),
            style: Style::Percent,
            pieces: vec![Piece::Field(Field::Message, Spec::default())],
        }
    }
}

impl Format {
    /// Takes a format apart; also says what is odd in it, and what is taken instead.
    pub(super) fn parse(text: &str, style: Style) -> (Self, Vec<String>) {
        let mut parser = Parser {
            rest: text,
            pieces: Vec::new(),
            odd: Vec::new(),
        };
        match style {
            Style::Percent => parser.percent(),
            Style::Brace => parser.brace(),
            Style::Dollar => parser.dollar(),
        }
        let Parser {
            pieces, mut odd, ..
        } = parser;
        let is_field = |piece: &Piece| matches!(piece, Piece::Field(..));
        if odd.is_empty() && !pieces.iter().any(is_field) {
            odd.push("it has no field, so that every line is the same".into());
        }
        let format = Self {
            written: text.into(),
            style,
            pieces,
        };
        (format, odd)
    }
}

struct Parser<'t> {
    rest: &'t str,
    pieces: Vec<Piece>,
    odd: Vec<String>,
}

impl<'t> Parser<'t> {
    /// Takes the text up to the first of these characters; says whether there is one.
    fn text_to(&mut self, stops: &[char]) -> bool {
        let end = self.rest.find(stops);
        let (text, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.push(text);
        self.rest = rest;
        end.is_some()
    }

    fn push(&mut self, text: &str) {
        match self.pieces.last_mut() {
            Some(Piece::Text(before)) => before.push_str(text),
            Some(Piece::Field(..)) | None if text.is_empty() => {}
            Some(Piece::Field(..)) | None => self.pieces.push(Piece::Text(text.into())),
        }
    }

    fn eat(&mut self, prefix: &str) -> bool {
        let rest = self.rest.strip_prefix(prefix);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Takes the characters that fit.
    fn take_while(&mut self, fits: impl Fn(char) -> bool) -> &'t str {
        let end = self.rest.find(|c| !fits(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    /// Takes a number; `None` where there is none.
    fn number(&mut self) -> Option<usize> {
        let digits = self.take_while(|c| c.is_ascii_digit());
        (!digits.is_empty()).then(|| digits.parse().unwrap_or(usize::MAX).min(WIDTH_MAX))
    }

    /// Takes a field in, its kind corrected to one that its value can have.
    fn field(&mut self, name: &str, mut spec: Spec) {
        let Some(field) = Field::named(name) else {
            self.odd.push(format!(
                "records have no field {name:?}; nothing stands there"
            ));
            return;
        };
        let fits = match (spec.kind, field.nature()) {
            (kind @ (Kind::Text | Kind::Repr), _)
            | (kind, Nature::Integer)
            | (kind @ (Kind::Integer | Kind::Fixed), Nature::Fraction) => kind,
            (Kind::Hex | Kind::UpperHex | Kind::Octal, Nature::Fraction) => Kind::Integer,
            (
                Kind::Integer | Kind::Fixed | Kind::Hex | Kind::UpperHex | Kind::Octal,
                Nature::Text,
            ) => Kind::Text,
        };
        if fits != spec.kind {
            let instead = if fits == Kind::Text {
                "a text"
            } else {
                "a whole number"
            };
            self.odd.push(format!(
                "{name} cannot be written like this; it is written as {instead}"
            ));
            spec.kind = fits;
        }
        self.pieces.push(Piece::Field(field, spec));
    }

    /// `$name`, `${name}` and `$$`.
    fn dollar(&mut self) {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        while self.text_to(&['$']) {
            self.eat("$");
            if self.eat("$") {
                self.push("$");
                continue;
            }
            let before = self.rest;
            let braced = self.eat("{");
            let name = self.take_while(is_word);
            if name.is_empty() || (braced && !self.eat("}")) {
                self.odd.push(
                    "found a $ that begins no field, expected $$; it stands for itself".into(),
                );
                self.push("$");
                self.rest = before;
                continue;
            }
            self.field(name, Spec::default());
        }
    }
}

#[cfg(test)]
mod tests;
