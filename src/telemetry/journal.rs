//! A log record as a datagram for the journal's socket, in its native protocol
//! (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>). Pure.

use tracing::Level;

use super::record::{COMMON, Record};

/// The longest name of a field, in bytes; journald ignores longer ones.
const NAME_BYTES_MAX: usize = 64;

/// The datagram. It is always smaller than a Unix datagram may be (`net.core.wmem_default`, 208 KiB), because
/// a record is bounded.
pub(super) fn datagram(record: &Record) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    push(&mut bytes, "MESSAGE", message(record).as_bytes());
    push(&mut bytes, "PRIORITY", priority(record.level));
    push(&mut bytes, "SYSLOG_IDENTIFIER", b"keepstart");
    if let Some(number) = record.message_id {
        // systemd.journal-fields(7): the catalog finds its text by this.
        push(
            &mut bytes,
            "MESSAGE_ID",
            format!("{number:032x}").as_bytes(),
        );
    }
    push(&mut bytes, "TARGET", record.target.as_bytes());
    for (name, value) in COMMON.iter().zip(&record.common) {
        if let Some(value) = value {
            push(&mut bytes, &name_of(name), value.as_bytes());
        }
    }
    for (name, value) in record.figures.iter().chain(&record.others) {
        push(&mut bytes, &name_of(name), value.as_bytes());
    }
    bytes
}

/// What `journalctl` shows without being asked for fields.
fn message(record: &Record) -> String {
    let mut message = String::new();
    if let Some(instance) = record.instance() {
        message.push_str(instance);
        message.push_str(": ");
    }
    message.push_str(&record.message);
    for (name, value) in &record.others {
        message.push(' ');
        message.push_str(name);
        message.push('=');
        message.push_str(value);
    }
    message
}

/// The numbers of syslog(3).
fn priority(level: Level) -> &'static [u8] {
    match level {
        Level::ERROR => b"3",
        Level::WARN => b"4",
        Level::INFO => b"6",
        Level::DEBUG | Level::TRACE => b"7",
    }
}

/// Journal fields have capitals, digits and underscores.
fn name_of(field: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_uppercase()
        } else {
            '_'
        }
    };
    "KEEPSTART_"
        .chars()
        .chain(field.chars().map(plain))
        .take(NAME_BYTES_MAX)
        .collect()
}

/// `NAME=value`, or for a value with line ends the name alone, the length in eight bytes, little end first, and
/// the value.
fn push(bytes: &mut Vec<u8>, name: &str, value: &[u8]) {
    bytes.extend(name.as_bytes());
    if value.contains(&b'\n') {
        bytes.push(b'\n');
        bytes.extend((value.len() as u64).to_le_bytes());
    } else {
        bytes.push(b'=');
    }
    bytes.extend(value);
    bytes.push(b'\n');
}

#[cfg(test)]
mod tests;
