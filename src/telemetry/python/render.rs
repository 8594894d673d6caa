//! A record as a line in a format of Python's. Pure.

use std::time::{Duration, SystemTime};

use jiff::tz::TimeZone;

use super::strftime::{asctime, zoned};
use crate::config::logging::{Align, Field, Formatter, Kind, Level, Piece, Sign, Spec};
use crate::telemetry::line::body;
use crate::telemetry::record::Record;

/// What a line needs besides its record.
#[derive(Debug, Clone)]
pub(super) struct Circumstances<'a> {
    /// The name of the logger.
    pub(super) name: &'a str,
    /// When the log was set up.
    pub(super) begun: SystemTime,
    pub(super) zone: TimeZone,
}

enum Value<'a> {
    Text(&'a str),
    Made(String),
    Integer(u64),
    Fraction(f64),
}

/// The line without its end.
pub(super) fn render(formatter: &Formatter, record: &Record, around: &Circumstances<'_>) -> String {
    let mut line = String::with_capacity(160);
    for piece in &formatter.format.pieces {
        match piece {
            Piece::Text(text) => line.push_str(text),
            Piece::Field(field, spec) => {
                write(&mut line, &value(*field, formatter, record, around), *spec);
            }
        }
    }
    line
}

/// Python's number of a level.
pub(super) fn number(level: tracing::Level) -> Level {
    match level {
        tracing::Level::ERROR => Level::ERROR,
        tracing::Level::WARN => Level::WARNING,
        tracing::Level::INFO => Level::INFO,
        tracing::Level::DEBUG => Level::DEBUG,
        tracing::Level::TRACE => Level::TRACE,
    }
}

fn value<'a>(
    field: Field,
    formatter: &Formatter,
    record: &'a Record,
    around: &Circumstances<'a>,
) -> Value<'a> {
    let since = since_1970(record.time);
    let level = number(record.level);
    let source = &record.source;
    match field {
        Field::Asctime => {
            let nanoseconds = i128::try_from(since.as_nanos()).unwrap_or_default();
            let time = zoned(nanoseconds, around.zone.clone());
            Value::Made(asctime(formatter.datefmt.as_deref(), &time))
        }
        Field::Created => Value::Fraction(since.as_secs_f64()),
        Field::Msecs => Value::Fraction(f64::from(since.subsec_millis())),
        Field::RelativeCreated => {
            let begun = since_1970(around.begun);
            Value::Fraction((since.as_secs_f64() - begun.as_secs_f64()) * 1000.0)
        }
        Field::Levelname => Value::Made(level.name().into_owned()),
        Field::Levelno => Value::Integer(level.0.into()),
        Field::Name => Value::Text(around.name),
        Field::Message => Value::Made(body(record)),
        Field::Pathname => Value::Text(source.file),
        Field::Filename => Value::Text(source.file.rsplit('/').next().unwrap_or_default()),
        Field::Module => Value::Text(source.module.rsplit("::").next().unwrap_or_default()),
        Field::Lineno => Value::Integer(source.line.into()),
        Field::FuncName => Value::Text("(unknown function)"),
        Field::Process => Value::Integer(std::process::id().into()),
        Field::ProcessName => Value::Text("MainProcess"),
        Field::TaskName => Value::Text("None"),
        Field::Thread => Value::Integer(record.thread.number.into()),
        Field::ThreadName => Value::Text(&record.thread.name),
    }
}

fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

fn write(line: &mut String, value: &Value<'_>, spec: Spec) {
    let text = match value {
        Value::Text(text) => return place(line, "", &as_text(text, spec), spec),
        Value::Made(text) => return place(line, "", &as_text(text, spec), spec),
        Value::Integer(number) => as_integer(*number, spec),
        Value::Fraction(number) => as_fraction(*number, spec),
    };
    let is_number = !matches!(spec.kind, Kind::Text | Kind::Repr);
    let (sign, digits) = match (text.strip_prefix('-'), spec.sign) {
        (Some(digits), _) => ("-", digits),
        (None, Sign::Plus) if is_number => ("+", &*text),
        (None, Sign::Blank) if is_number => (" ", &*text),
        (None, Sign::Nothing | Sign::Plus | Sign::Blank) => ("", &*text),
    };
    place(line, sign, digits, spec);
}

fn as_text(text: &str, spec: Spec) -> String {
    let whole = match spec.kind {
        Kind::Repr => repr(text),
        Kind::Text | Kind::Integer | Kind::Fixed | Kind::Hex | Kind::UpperHex | Kind::Octal => {
            text.to_owned()
        }
    };
    match spec.precision {
        Some(most) => whole.chars().take(most).collect(),
        None => whole,
    }
}

fn as_integer(number: u64, spec: Spec) -> String {
    let digits = match spec.kind {
        Kind::Text | Kind::Repr => {
            return as_text(
                &number.to_string(),
                Spec {
                    kind: Kind::Text,
                    ..spec
                },
            );
        }
        #[expect(clippy::cast_precision_loss, reason = "Python's float is the same")]
        Kind::Fixed => return as_fraction(number as f64, spec),
        Kind::Integer => number.to_string(),
        Kind::Hex => format!("{number:x}"),
        Kind::UpperHex => format!("{number:X}"),
        Kind::Octal => format!("{number:o}"),
    };
    format!("{digits:0>least$}", least = spec.precision.unwrap_or(1))
}

fn as_fraction(number: f64, spec: Spec) -> String {
    match spec.kind {
        // Both write the fewest digits that read back as the same number.
        Kind::Text | Kind::Repr => as_text(
            &format!("{number:?}"),
            Spec {
                kind: Kind::Text,
                ..spec
            },
        ),
        Kind::Fixed => format!("{number:.places$}", places = spec.precision.unwrap_or(6)),
        Kind::Integer | Kind::Hex | Kind::UpperHex | Kind::Octal => {
            let whole = format!("{:.0}", number.trunc());
            format!("{whole:0>least$}", least = spec.precision.unwrap_or(1))
        }
    }
}

/// Puts a value into its width.
fn place(line: &mut String, sign: &str, text: &str, spec: Spec) {
    let length = sign.len() + text.chars().count();
    let missing = spec.width.saturating_sub(length);
    let (before, behind_sign, after) = match spec.align {
        Align::Left => (0, 0, missing),
        Align::Right => (missing, 0, 0),
        Align::Centre => (missing / 2, 0, missing - missing / 2),
        Align::BehindSign => (0, missing, 0),
    };
    line.extend(std::iter::repeat_n(spec.fill, before));
    line.push_str(sign);
    line.extend(std::iter::repeat_n(spec.fill, behind_sign));
    line.push_str(text);
    line.extend(std::iter::repeat_n(spec.fill, after));
}

/// A text in quotes, as Python's `repr` writes it. Control characters are escaped already.
fn repr(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut quoted = String::from(quote);
    for c in text.chars() {
        match c {
            '\t' => quoted.push_str("\\t"),
            '\\' => quoted.push_str("\\\\"),
            c if c == quote => {
                quoted.push('\\');
                quoted.push(c);
            }
            c => quoted.push(c),
        }
    }
    quoted.push(quote);
    quoted
}

#[cfg(test)]
mod tests;
