//! Formats like `{levelname:<8}`: Python's format strings. Pure.

use super::{Align, Field, Kind, Nature, Parser, Sign, Spec};

impl Parser<'_> {
    /// Takes the whole text.
    pub(super) fn brace(&mut self) {
        while self.text_to(&['{', '}']) {
            let whole = self.rest;
            let (first, rest) = whole.split_at(1);
            self.rest = rest;
            if self.eat(first) {
                self.push(first);
            } else if first == "}" || self.replacement().is_none() {
                let shown: String = whole.chars().take(12).collect();
                self.odd.push(format!(
                    "found {shown:?}, expected a field such as {{message}}, or the bracket twice; it stands for itself"
                ));
                self.push(first);
                self.rest = rest;
            }
        }
    }

    /// What follows the opening bracket: `name!conversion:specification}`.
    fn replacement(&mut self) -> Option<()> {
        let name = self.take_while(|c| c.is_alphanumeric() || c == '_');
        let conversion = if self.eat("!") {
            let letter = self.take_while(|c| "rsa".contains(c));
            Some(if letter == "s" {
                Kind::Text
            } else {
                Kind::Repr
            })
        } else {
            None
        };
        let spec = if self.eat(":") {
            self.specification(name, conversion)?
        } else {
            Spec {
                kind: conversion.unwrap_or(Kind::Text),
                ..Spec::default()
            }
        };
        if !self.eat("}") {
            return None;
        }
        self.field(name, spec);
        Some(())
    }

    /// `[[fill]align][sign][0][width][.precision][type]`.
    fn specification(&mut self, name: &str, conversion: Option<Kind>) -> Option<Spec> {
        let nature = match conversion {
            Some(_) => Nature::Text,
            None => Field::named(name).map_or(Nature::Text, Field::nature),
        };
        let (mut fill, mut align) = (' ', None);
        let mut ahead = self.rest.chars();
        let (first, second) = (ahead.next()?, ahead.next());
        if let Some(found) = second.and_then(align_of) {
            (fill, align) = (first, Some(found));
            self.rest = ahead.as_str();
        } else if let Some(found) = align_of(first) {
            align = Some(found);
            self.rest = self.rest.get(1..)?;
        }
        let sign = match () {
            () if self.eat("+") => Sign::Plus,
            () if self.eat(" ") => Sign::Blank,
            () => {
                self.eat("-");
                Sign::Nothing
            }
        };
        if self.rest.starts_with('0') && align.is_none() {
            fill = '0';
            align = Some(match nature {
                Nature::Text => Align::Left,
                Nature::Integer | Nature::Fraction => Align::BehindSign,
            });
        }
        let width = self.number().unwrap_or(0);
        let precision = if self.eat(".") {
            Some(self.number()?)
        } else {
            None
        };
        let letter = self.take_while(|c| c.is_ascii_alphabetic());
        let plain = conversion.unwrap_or(match (nature, precision) {
            (Nature::Fraction, Some(_)) => Kind::Fixed,
            (Nature::Integer, _) => Kind::Integer,
            (Nature::Text, _) | (Nature::Fraction, None) => Kind::Text,
        });
        let kind = match letter {
            "" | "s" => plain,
            "d" | "n" => Kind::Integer,
            "f" | "F" => Kind::Fixed,
            "x" => Kind::Hex,
            "X" => Kind::UpperHex,
            "o" => Kind::Octal,
            _ => return None,
        };
        let by_nature = match nature {
            Nature::Text => Align::Left,
            Nature::Integer | Nature::Fraction => Align::Right,
        };
        Some(Spec {
            kind,
            align: align.unwrap_or(by_nature),
            fill,
            sign,
            width,
            precision,
        })
    }
}

fn align_of(c: char) -> Option<Align> {
    match c {
        '<' => Some(Align::Left),
        '>' => Some(Align::Right),
        '^' => Some(Align::Centre),
        '=' => Some(Align::BehindSign),
        _ => None,
    }
}
