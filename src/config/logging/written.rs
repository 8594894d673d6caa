//! The way back: a plan as the mapping that `dictConfig` takes, with every default written out. Pure.

use serde_json::{Map, Value, json};

use super::format::{Format, Style};
use super::handler::{
    FACILITIES, File, Handler, Keeping, Mode, Opening, Output, Standard, Syslog, Zone,
};
use super::{Formatter, Logger, Plan, Propagation};

/// The mapping. Read again it gives an equal plan.
pub(in crate::config) fn written(plan: &Plan) -> Value {
    let formatters = plan.formatters.iter();
    let handlers = plan.handlers.iter();
    let loggers = plan.loggers.iter();
    let formatters = formatters.map(|(name, one)| (name.clone(), formatter(one)));
    let handlers = handlers.map(|(name, one)| (name.clone(), handler(one)));
    let loggers = loggers.map(|(name, one)| (name.clone(), logger(one)));
    json!({
        "version": 1,
        "formatters": formatters.collect::<Map<_, _>>(),
        "handlers": handlers.collect::<Map<_, _>>(),
        "loggers": loggers.collect::<Map<_, _>>(),
        "root": logger(&plan.root),
    })
}

fn formatter(formatter: &Formatter) -> Value {
    let Formatter {
        format: Format { written, style, .. },
        datefmt,
    } = formatter;
    let style = match style {
        Style::Percent => "%",
        Style::Brace => "{",
        Style::Dollar => "$",
    };
    json!({"format": written, "datefmt": datefmt, "style": style})
}

fn logger(logger: &Logger) -> Value {
    json!({
        "level": logger.level.0,
        "handlers": logger.handlers,
        "propagate": logger.propagation == Propagation::On,
    })
}

fn handler(handler: &Handler) -> Value {
    let mut value = match &handler.output {
        Output::Standard(Standard::Out) => {
            json!({"class": "logging.StreamHandler", "stream": "ext://sys.stdout"})
        }
        Output::Standard(Standard::Error) => {
            json!({"class": "logging.StreamHandler", "stream": "ext://sys.stderr"})
        }
        Output::File(settings) => file(settings),
        Output::Syslog { address, facility } => json!({
            "class": "logging.handlers.SysLogHandler",
            "address": match address {
                Syslog::Unix(path) => json!(path),
                Syslog::Udp { host, port } => json!([host, port]),
            },
            "facility": FACILITIES.get(usize::from(*facility)),
        }),
        Output::Journal => json!({"class": "systemd.journal.JournalHandler"}),
        Output::Null => json!({"class": "logging.NullHandler"}),
    };
    if let Some(value) = value.as_object_mut() {
        value.insert("level".into(), handler.level.0.into());
        let formatter = handler.formatter.as_deref();
        value.extend(formatter.map(|name| ("formatter".into(), name.into())));
    }
    value
}

fn file(file: &File) -> Value {
    let mut value = match &file.keeping {
        Keeping::Plain => json!({"class": "logging.FileHandler"}),
        Keeping::Watched => json!({"class": "logging.handlers.WatchedFileHandler"}),
        Keeping::BySize { bytes_max, backups } => json!({
            "class": "logging.handlers.RotatingFileHandler",
            "maxBytes": bytes_max,
            "backupCount": backups,
        }),
        Keeping::ByTime {
            when,
            interval,
            backups,
            zone,
        } => json!({
            "class": "logging.handlers.TimedRotatingFileHandler",
            "when": when.written(),
            "interval": interval,
            "backupCount": backups,
            "utc": *zone == Zone::Utc,
        }),
    };
    if let Some(value) = value.as_object_mut() {
        value.insert("filename".into(), json!(file.path));
        if file.mode == Mode::Truncate {
            value.insert("mode".into(), "w".into());
        }
        value.insert("delay".into(), (file.opening == Opening::Delayed).into());
    }
    value
}
