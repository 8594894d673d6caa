//! How the process of an action is made, beyond what every process of the daemon is. Pure data; `config` makes it,
//! `action` makes the process.

use serde::{Deserialize, Serialize};

/// What an action's process is, has and may.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessSettings {
    /// What becomes of a script that is not in safe hands; `None`: strict where the daemon is root, else off.
    pub script_security: Option<ScriptSecurity>,
}

/// What becomes of a script that somebody else could change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScriptSecurity {
    /// It is not run.
    Strict,
    /// It is told of when the configuration is read, and run.
    Warn,
    /// Nobody looks.
    Off,
}
