//! Python's handlers that are known here, and the parameters of each. Plain data.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Stream,
    File,
    Watched,
    Rotating,
    Timed,
    Syslog,
    Journal,
    Null,
}

const FILE: &[&str] = &["filename", "mode", "encoding", "delay", "errors"];

/// The classes by the last word of their path, and what each is given besides [`COMMON`], in the order of Python's
/// parameters: that of `args=(…)` in a logging.conf.
pub(super) const CLASSES: [(&str, Class, &[&str]); 9] = [
    ("StreamHandler", Class::Stream, &["stream"]),
    ("FileHandler", Class::File, FILE),
    ("WatchedFileHandler", Class::Watched, FILE),
    (
        "RotatingFileHandler",
        Class::Rotating,
        &[
            "filename",
            "mode",
            "maxBytes",
            "backupCount",
            "encoding",
            "delay",
            "errors",
        ],
    ),
    (
        "TimedRotatingFileHandler",
        Class::Timed,
        &[
            "filename",
            "when",
            "interval",
            "backupCount",
            "encoding",
            "delay",
            "utc",
            "atTime",
            "errors",
        ],
    ),
    (
        "SysLogHandler",
        Class::Syslog,
        &["address", "facility", "socktype"],
    ),
    ("JournalHandler", Class::Journal, &[]),
    ("JournaldLogHandler", Class::Journal, &[]),
    ("NullHandler", Class::Null, &[]),
];

/// What every handler is given.
pub(super) const COMMON: [&str; 5] = ["class", "level", "formatter", "filters", "()"];

/// Parameters that have their place among the others and are not followed.
pub(super) const WITHOUT_MEANING: [&str; 1] = ["atTime"];
