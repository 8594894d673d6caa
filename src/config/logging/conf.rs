//! A logging.conf (`fileConfig`) as the tree that the mapping of `dictConfig` would have been, every value with
//! its place. Pure; what it finds is told as a fault in `notes`, of which its caller makes warnings.

use std::borrow::Cow;

use super::classes::CLASSES;
use super::ini::{Group, Ini};
use super::literal::{Literal, literal};
use crate::config::fault::Offset;
use crate::config::section::Notes;
use crate::config::tree::{Entry, Node, Value, quoted};

/// The tree; `None` where the text has nothing of a logging.conf.
pub(super) fn tree(text: &str, notes: &mut Notes<'_>) -> Option<Node<'static>> {
    let ini = Ini::parse(text, notes);
    let mut conf = Conf { ini: &ini, notes };
    if ["loggers", "handlers", "formatters"]
        .iter()
        .all(|name| ini.section(name).is_none())
    {
        let message = "no section [loggers], [handlers] or [formatters]: this is no logging.conf; the log goes \
                       where it goes without it";
        conf.notes.faults.add(0, message.into());
        return None;
    }
    let formatters = conf.part("formatters", "formatter", Conf::formatter);
    let handlers = conf.part("handlers", "handler", Conf::handler);
    let mut loggers = conf.part("loggers", "logger", Conf::logger);
    let is_root = |entry: &Entry<'_>| entry.key == "root";
    let root = loggers
        .iter()
        .position(is_root)
        .map(|index| loggers.remove(index));
    let mut top = vec![
        entry(0, "version", Value::Integer(1)),
        entry(0, "formatters", Value::Mapping(formatters)),
        entry(0, "handlers", Value::Mapping(handlers)),
        entry(0, "loggers", Value::Mapping(loggers)),
    ];
    top.extend(root);
    Some(Node {
        at: 0,
        value: Value::Mapping(top),
    })
}

struct Conf<'a, 'n, 't> {
    ini: &'a Ini,
    notes: &'n mut Notes<'t>,
}

type Entries = Vec<Entry<'static>>;

impl Conf<'_, '_, '_> {
    /// The sections that `[loggers]`, `[handlers]` or `[formatters]` names, each read into an entry.
    fn part(
        &mut self,
        list: &str,
        one: &str,
        read: fn(&mut Self, &str, &Group) -> (Cow<'static, str>, Entries),
    ) -> Entries {
        let Some(group) = self.ini.section(list) else {
            let message = format!("there is no section [{list}]");
            self.notes.faults.add(0, message);
            return Entries::new();
        };
        let Some((at, keys)) = self.ini.get(group, "keys", self.notes) else {
            let message = format!("[{list}] has no keys=");
            self.notes.faults.add(group.at, message);
            return Entries::new();
        };
        let mut entries = Entries::new();
        for name in names(&keys) {
            let section = format!("{one}_{name}");
            let Some(group) = self.ini.section(&section) else {
                let message = format!("keys: there is no section {}", quoted(&section));
                self.notes.faults.add(at, message);
                continue;
            };
            let (key, content) = read(self, name, group);
            entries.push(entry(group.at, key, Value::Mapping(content)));
        }
        entries
    }

    fn formatter(&mut self, name: &str, group: &Group) -> (Cow<'static, str>, Entries) {
        let mut content = Entries::new();
        self.unknown(group, &["format", "datefmt", "style", "class", "validate"]);
        for key in ["format", "datefmt", "style"] {
            // Their percent signs are their own.
            let pair = self
                .ini
                .raw(group, key)
                .filter(|pair| !pair.value.is_empty());
            content.extend(pair.map(|pair| entry(pair.at, key, text(&pair.value))));
        }
        content.extend(self.copied(group, "class"));
        (name.to_owned().into(), content)
    }

    fn handler(&mut self, name: &str, group: &Group) -> (Cow<'static, str>, Entries) {
        self.unknown(group, &["class", "level", "formatter", "args", "kwargs"]);
        let mut content = Entries::new();
        for key in ["class", "level", "formatter"] {
            content.extend(self.copied(group, key));
        }
        let class = self.ini.raw(group, "class").map_or("", |pair| &pair.value);
        let word = class.rsplit('.').next().unwrap_or_default();
        let known = CLASSES.iter().find(|(known, ..)| *known == word);
        if let Some((at, args)) = self.literal(group, "args") {
            let values = args.into_list();
            let parameters = known.map_or([].as_slice(), |(_, _, parameters)| *parameters);
            let untaken = values.len().saturating_sub(parameters.len());
            if untaken > 0 {
                let message = format!("args: {untaken} more than a {word} takes");
                self.notes.faults.add(at, message);
            }
            for (key, value) in parameters.iter().zip(values) {
                content.push(entry(at, *key, value_of(value, at)));
            }
        }
        if let Some((at, kwargs)) = self.literal(group, "kwargs") {
            if let Literal::Mapping(entries) = kwargs {
                let entries = entries.into_iter();
                content.extend(entries.map(|(key, value)| entry(at, key, value_of(value, at))));
            } else {
                let message = "kwargs: expected a dictionary such as {'delay': True}";
                self.notes.faults.add(at, message.into());
            }
        }
        (name.to_owned().into(), content)
    }

    fn logger(&mut self, name: &str, group: &Group) -> (Cow<'static, str>, Entries) {
        self.unknown(
            group,
            &[
                "level",
                "handlers",
                "qualname",
                "propagate",
                "channel",
                "parent",
            ],
        );
        let mut content = Entries::new();
        content.extend(self.copied(group, "level"));
        content.extend(self.copied(group, "propagate"));
        if let Some((at, handlers)) = self.ini.get(group, "handlers", self.notes) {
            let names = names(&handlers).map(|name| Node {
                at,
                value: text(name),
            });
            content.push(entry(at, "handlers", Value::List(names.collect())));
        }
        let qualname = self.ini.get(group, "qualname", self.notes);
        let key = match qualname {
            Some((_, qualname)) if name != "root" => qualname,
            Some(_) | None => name.to_owned(),
        };
        (key.into(), content)
    }

    /// A value as a text, unless it is empty.
    fn copied(&mut self, group: &Group, key: &'static str) -> Option<Entry<'static>> {
        let (at, value) = self.ini.get(group, key, self.notes)?;
        let number = value.trim().parse().map(Value::Integer);
        let value = number.unwrap_or_else(|_| text(&value));
        (!matches!(&value, Value::Text(text) if text.is_empty())).then(|| entry(at, key, value))
    }

    fn literal(&mut self, group: &Group, key: &str) -> Option<(Offset, Literal)> {
        let (at, value) = self.ini.get(group, key, self.notes)?;
        match literal(&value) {
            Ok(literal) => Some((at, literal)),
            Err(message) => {
                self.notes
                    .faults
                    .add(at, format!("{key}: {message}; it is left out"));
                None
            }
        }
    }

    fn unknown(&mut self, group: &Group, known: &[&str]) {
        for (key, at) in group.others(known) {
            let message = format!("{} has no meaning in [{}]", quoted(key), group.name);
            self.notes.faults.add(at, message);
        }
    }
}

fn names(list: &str) -> impl Iterator<Item = &str> {
    list.split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
}

fn text(text: &str) -> Value<'static> {
    Value::Text(Cow::Owned(text.to_owned()))
}

fn entry(at: Offset, key: impl Into<Cow<'static, str>>, value: Value<'static>) -> Entry<'static> {
    let value = Node { at, value };
    let key = key.into();
    Entry { at, key, value }
}

fn value_of(literal: Literal, at: Offset) -> Value<'static> {
    match literal {
        Literal::None => Value::Null,
        Literal::Bool(value) => Value::Bool(value),
        Literal::Integer(number) => Value::Integer(number),
        Literal::Float(number) => Value::Float(number),
        Literal::Text(text) => Value::Text(text.into()),
        Literal::Name(name) => Value::Text(format!("ext://{name}").into()),
        Literal::List(values) => {
            let nodes = values.into_iter().map(|value| Node {
                at,
                value: value_of(value, at),
            });
            Value::List(nodes.collect())
        }
        Literal::Mapping(entries) => {
            let entries = entries.into_iter();
            Value::Mapping(
                entries
                    .map(|(key, value)| entry(at, key, value_of(value, at)))
                    .collect(),
            )
        }
    }
}
