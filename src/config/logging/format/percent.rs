//! Formats like `%(levelname)-8s`: Python's printf-style formatting with a mapping. Pure.

use super::{Align, Kind, Parser, Sign, Spec};

impl Parser<'_> {
    /// Takes the whole text.
    pub(super) fn percent(&mut self) {
        while self.text_to(&['%']) {
            let whole = self.rest;
            self.eat("%");
            if self.eat("%") {
                self.push("%");
            } else if self.conversion().is_none() {
                let shown: String = whole.chars().take(12).collect();
                self.odd.push(format!(
                    "found {shown:?}, expected a field such as %(message)s, or %%; it stands for itself"
                ));
                self.push("%");
                self.rest = whole.get(1..).unwrap_or_default();
            }
        }
    }

    /// What follows the percent sign: `(name)`, flags, width, precision and the letter of the conversion.
    fn conversion(&mut self) -> Option<()> {
        if !self.eat("(") {
            return None;
        }
        let name = self.take_while(|c| c != ')');
        if !self.eat(")") {
            return None;
        }
        let flags = self.take_while(|c| "#0- +".contains(c));
        let has = |flag: char| flags.contains(flag);
        let width = self.number();
        let precision = self.eat(".").then(|| self.number().unwrap_or(0));
        // Python has no lengths and skips the letters of C's.
        self.take_while(|c| "hlL".contains(c));
        let letter = self.rest.chars().next()?;
        let kind = match letter {
            's' | 'c' => Kind::Text,
            'r' | 'a' => Kind::Repr,
            'd' | 'i' | 'u' => Kind::Integer,
            'f' | 'F' => Kind::Fixed,
            'x' => Kind::Hex,
            'X' => Kind::UpperHex,
            'o' => Kind::Octal,
            'e' | 'E' | 'g' | 'G' => {
                self.odd
                    .push(format!("%{letter} is not written here; %f is, for {name}"));
                Kind::Fixed
            }
            _ => return None,
        };
        self.rest = self.rest.get(letter.len_utf8()..).unwrap_or_default();
        if has('#') {
            self.odd.push(format!("the flag # is left out of {name}"));
        }
        let is_number = !matches!(kind, Kind::Text | Kind::Repr);
        let (align, fill) = match () {
            () if has('-') => (Align::Left, ' '),
            () if has('0') && is_number => (Align::BehindSign, '0'),
            () => (Align::Right, ' '),
        };
        let sign = match () {
            () if has('+') => Sign::Plus,
            () if has(' ') => Sign::Blank,
            () => Sign::Nothing,
        };
        let spec = Spec {
            kind,
            align,
            fill,
            sign,
            width: width.unwrap_or(0),
            precision,
        };
        self.field(name, spec);
        Some(())
    }
}
