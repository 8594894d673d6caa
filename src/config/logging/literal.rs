//! Python literals, read and never evaluated: texts, numbers, `None`, `True`, tuples, lists, dictionaries, and
//! the dotted names that mean something in a logging.conf. Pure.

/// How deep brackets may stand within each other.
const DEPTH_MAX: usize = 16;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Literal {
    None,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    /// A tuple or a list.
    List(Vec<Literal>),
    /// A dictionary whose keys are texts.
    Mapping(Vec<(String, Literal)>),
    /// A name such as `sys.stdout`.
    Name(String),
}

impl Literal {
    /// The values of a tuple, or the one value that stands for one.
    pub(super) fn into_list(self) -> Vec<Self> {
        if let Self::List(values) = self {
            values
        } else {
            vec![self]
        }
    }
}

/// Reads a text that is one literal.
pub(super) fn literal(text: &str) -> Result<Literal, String> {
    let mut reader = Reader { rest: text };
    let value = reader.value(DEPTH_MAX)?;
    reader.blanks();
    if reader.eat(',') {
        // `args=sys.stdout,` is a tuple too.
        let mut values = vec![value];
        while !reader.at_end() {
            values.push(reader.value(DEPTH_MAX)?);
            reader.blanks();
            if !reader.eat(',') {
                break;
            }
        }
        return reader.end(Literal::List(values));
    }
    reader.end(value)
}

struct Reader<'t> {
    rest: &'t str,
}

impl<'t> Reader<'t> {
    fn blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn at_end(&mut self) -> bool {
        self.blanks();
        self.rest.is_empty()
    }

    fn eat(&mut self, c: char) -> bool {
        let rest = self.rest.strip_prefix(c);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn take_while(&mut self, fits: impl Fn(char) -> bool) -> &'t str {
        let end = self.rest.find(|c| !fits(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn end(mut self, value: Literal) -> Result<Literal, String> {
        if self.at_end() {
            Ok(value)
        } else {
            Err(self.odd())
        }
    }

    fn odd(&self) -> String {
        let shown: String = self.rest.chars().take(20).collect();
        format!(
            "found {shown:?}, which is more than a plain Python value, and nothing is evaluated here"
        )
    }

    fn value(&mut self, depth: usize) -> Result<Literal, String> {
        self.blanks();
        let depth = depth.checked_sub(1).ok_or("brackets are nested too deep")?;
        let first = self.rest.chars().next().ok_or("the value ends too early")?;
        match first {
            '(' => self.tuple(depth),
            '[' => {
                self.eat('[');
                Ok(Literal::List(self.list(']', depth)?.0))
            }
            '{' => self.mapping(depth),
            '\'' | '"' => self.texts(),
            '0'..='9' | '-' | '+' | '.' => self.number(),
            c if c.is_alphabetic() || c == '_' => self.word(),
            _ => Err(self.odd()),
        }
    }

    /// A tuple, or a value in brackets.
    fn tuple(&mut self, depth: usize) -> Result<Literal, String> {
        self.eat('(');
        let (mut values, commas) = self.list(')', depth)?;
        match values.pop() {
            Some(only) if values.is_empty() && commas == 0 => Ok(only),
            Some(last) => {
                values.push(last);
                Ok(Literal::List(values))
            }
            None => Ok(Literal::List(values)),
        }
    }

    /// Values up to the closing bracket, and how many commas there were.
    fn list(&mut self, close: char, depth: usize) -> Result<(Vec<Literal>, usize), String> {
        let (mut values, mut commas) = (Vec::new(), 0);
        loop {
            self.blanks();
            if self.eat(close) {
                return Ok((values, commas));
            }
            if values.len() > commas {
                return Err(self.odd());
            }
            values.push(self.value(depth)?);
            self.blanks();
            commas += usize::from(self.eat(','));
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Literal, String> {
        self.eat('{');
        let mut entries = Vec::new();
        loop {
            self.blanks();
            if self.eat('}') {
                return Ok(Literal::Mapping(entries));
            }
            let Literal::Text(key) = self.value(depth)? else {
                return Err("found a key that is no text".into());
            };
            self.blanks();
            if !self.eat(':') {
                return Err(self.odd());
            }
            entries.push((key, self.value(depth)?));
            self.blanks();
            if !self.eat(',') && !self.rest.starts_with('}') {
                return Err(self.odd());
            }
        }
    }

    fn number(&mut self) -> Result<Literal, String> {
        let whole = self.rest;
        let text = self.take_while(|c| c.is_ascii_alphanumeric() || "+-._".contains(c));
        let plain = text.replace('_', "");
        let (sign, digits) = match plain.strip_prefix('-') {
            Some(digits) => (-1, digits),
            None => (1, plain.strip_prefix('+').unwrap_or(&plain)),
        };
        let based = |prefix: &str, radix| {
            let digits = digits.strip_prefix(prefix)?;
            i128::from_str_radix(digits, radix).ok()
        };
        let integer = based("0x", 16)
            .or_else(|| based("0o", 8))
            .or_else(|| based("0b", 2))
            .or_else(|| digits.parse().ok());
        if let Some(number) = integer {
            // A product such as 10*1024 is common, and the only sum that is worked out.
            return self.product(sign * number);
        }
        plain.parse().map(Literal::Float).map_err(|_| {
            self.rest = whole;
            self.odd()
        })
    }

    fn product(&mut self, first: i128) -> Result<Literal, String> {
        self.blanks();
        if self.rest.starts_with("**") || !self.eat('*') {
            return Ok(Literal::Integer(first));
        }
        self.blanks();
        let Literal::Integer(second) = self.number()? else {
            return Err(self.odd());
        };
        let product = first.checked_mul(second).map(Literal::Integer);
        product.ok_or_else(|| "a number is too large".into())
    }

    /// A name, or a text with a prefix such as `r'…'`.
    fn word(&mut self) -> Result<Literal, String> {
        let whole = self.rest;
        let word = self.take_while(|c| c.is_alphanumeric() || "_.".contains(c));
        if self.rest.starts_with(['\'', '"']) {
            self.rest = whole;
            return self.texts();
        }
        if self.rest.trim_start().starts_with(['(', '[']) {
            self.rest = whole;
            return Err(self.odd());
        }
        Ok(match word {
            "None" => Literal::None,
            "True" => Literal::Bool(true),
            "False" => Literal::Bool(false),
            name => Literal::Name(name.into()),
        })
    }

    /// Texts that stand side by side are one.
    fn texts(&mut self) -> Result<Literal, String> {
        let mut text = String::new();
        loop {
            let whole = self.rest;
            let prefix = self
                .take_while(|c| c.is_ascii_alphabetic())
                .to_ascii_lowercase();
            if !matches!(&*prefix, "" | "r" | "u" | "b" | "br" | "rb") {
                self.rest = whole;
                return Err(self.odd());
            }
            self.text(prefix.contains('r'), &mut text)?;
            self.blanks();
            let next = self
                .rest
                .trim_start_matches(|c: char| c.is_ascii_alphabetic());
            if !next.starts_with(['\'', '"']) {
                return Ok(Literal::Text(text));
            }
        }
    }

    fn text(&mut self, is_raw: bool, text: &mut String) -> Result<(), String> {
        let quote = if self.eat('"') { '"' } else { '\'' };
        if quote == '\'' && !self.eat('\'') {
            return Err(self.odd());
        }
        loop {
            text.push_str(self.take_while(|c| c != quote && c != '\\'));
            if self.eat(quote) {
                return Ok(());
            }
            if !self.eat('\\') {
                return Err("a text has no closing quote".into());
            }
            let Some(c) = self.rest.chars().next() else {
                return Err("a text has no closing quote".into());
            };
            if is_raw {
                text.push('\\');
                text.push(c);
                self.eat(c);
            } else {
                self.eat(c);
                self.escape(c, text)?;
            }
        }
    }

    /// What follows a backslash, as Python's string literals have it.
    fn escape(&mut self, c: char, text: &mut String) -> Result<(), String> {
        let digits = match c {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => 0,
        };
        if digits > 0 {
            let (code, rest) = self
                .rest
                .split_at_checked(digits)
                .ok_or_else(|| self.odd())?;
            let code = u32::from_str_radix(code, 16).ok().and_then(char::from_u32);
            text.push(code.ok_or_else(|| self.odd())?);
            self.rest = rest;
            return Ok(());
        }
        match c {
            'n' => text.push('\n'),
            't' => text.push('\t'),
            'r' => text.push('\r'),
            'a' => text.push('\x07'),
            'b' => text.push('\x08'),
            'f' => text.push('\x0c'),
            'v' => text.push('\x0b'),
            '\n' => {}
            '\\' | '\'' | '"' => text.push(c),
            '0'..='7' => {
                let more = self.take_while(|c| ('0'..='7').contains(&c));
                let code = u32::from_str_radix(&format!("{c}{more}"), 8).ok();
                text.push(code.and_then(char::from_u32).ok_or_else(|| self.odd())?);
            }
            other => {
                text.push('\\');
                text.push(other);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
