//! keepalived.conf (keepalived.conf(5)), read as far as keepstart has to know it: includes, variables, the addresses
//! that are moved, and the notify scripts. What it does not know it passes over. Pure: who calls it reads the files.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::facts::{Hook, KeepalivedConf, Moved, Place};

/// Files that include files that include files end here; keepalived has a limit of its own.
const DEPTH_MAX: usize = 8;

/// Reads the files that an include pattern names, which is relative to the including file; where one cannot be read,
/// why not.
pub(super) type Open<'a> =
    &'a mut dyn FnMut(&Path, &Path) -> Vec<Result<(PathBuf, String), String>>;

/// A line and the block behind it.
#[derive(Debug)]
struct Statement {
    words: Vec<String>,
    place: Place,
    block: Vec<Self>,
}

/// Reads a text and all that it includes.
pub(super) fn parse(file: &Path, text: &str, open: Open<'_>) -> KeepalivedConf {
    let mut reader = Reader {
        conf: KeepalivedConf::default(),
        stack: vec![Vec::new()],
        variables: BTreeMap::new(),
    };
    reader.text(file, text, 0, open);
    // A block that is never closed ends with the file.
    while reader.stack.len() > 1 {
        reader.close();
    }
    let statements = reader.stack.pop().unwrap_or_default();
    let mut conf = reader.conf;
    for statement in &statements {
        take(statement, &mut conf);
    }
    conf
}

struct Reader {
    conf: KeepalivedConf,
    /// The statements of each open block, the outermost first.
    stack: Vec<Vec<Statement>>,
    variables: BTreeMap<String, String>,
}

impl Reader {
    fn text(&mut self, file: &Path, text: &str, depth: usize, open: Open<'_>) {
        self.conf.files.push(file.to_owned());
        for (number, line) in text.lines().enumerate() {
            let place = Place {
                file: file.to_owned(),
                line: number + 1,
            };
            let mut words = Vec::new();
            for token in tokens(line) {
                match token {
                    Token::Open => {
                        self.statement(&mut words, &place, depth, open);
                        self.stack.push(Vec::new());
                    }
                    Token::Close => {
                        self.statement(&mut words, &place, depth, open);
                        self.close();
                    }
                    Token::Word(word) => words.push(self.with_variables(word)),
                }
            }
            self.statement(&mut words, &place, depth, open);
        }
    }

    /// Takes the words of a line; empties them.
    fn statement(&mut self, words: &mut Vec<String>, place: &Place, depth: usize, open: Open<'_>) {
        // `@name` before a line makes it one of a certain host: it is read as if it were this one.
        if words.len() > 1 && words.first().is_some_and(|word| word.starts_with('@')) {
            words.remove(0);
        }
        let Some(first) = words.first() else { return };
        if let Some((name, value)) = first.strip_prefix('$').and_then(|it| it.split_once('=')) {
            let rest = words.iter().skip(1).map(String::as_str);
            let value: Vec<_> = [value].into_iter().chain(rest).collect();
            self.variables.insert(name.to_owned(), value.join(" "));
        } else if let (
            "include" | "includea" | "includer" | "includem" | "includew" | "includeb",
            Some(pattern),
        ) = (first.as_str(), words.get(1))
        {
            self.include(Path::new(pattern), &place.file, depth, open);
        } else if let Some(block) = self.stack.last_mut() {
            block.push(Statement {
                words: std::mem::take(words),
                place: place.clone(),
                block: Vec::new(),
            });
        }
        words.clear();
    }

    fn include(&mut self, pattern: &Path, from: &Path, depth: usize, open: Open<'_>) {
        if depth >= DEPTH_MAX {
            let why = format!("{} includes too deeply", from.display());
            self.conf.unread.push(why);
            return;
        }
        for found in open(pattern, from) {
            match found {
                Ok((file, text)) => self.text(&file, &text, depth + 1, open),
                Err(why) => self.conf.unread.push(why),
            }
        }
    }

    /// A block belongs to the last statement before it.
    fn close(&mut self) {
        if self.stack.len() < 2 {
            return;
        }
        let block = self.stack.pop().unwrap_or_default();
        if let Some(owner) = self.stack.last_mut().and_then(|outer| outer.last_mut()) {
            owner.block.extend(block);
        }
    }

    fn with_variables(&self, word: String) -> String {
        if !word.contains('$') {
            return word;
        }
        // The longest name first, so that $VIP does not eat the beginning of $VIP6.
        let mut names: Vec<_> = self.variables.iter().collect();
        names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        names.into_iter().fold(word, |word, (name, value)| {
            word.replace(&format!("${{{name}}}"), value)
                .replace(&format!("${name}"), value)
        })
    }
}

enum Token {
    Word(String),
    Open,
    Close,
}

/// The words of a line, without its comment.
fn tokens(line: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    let mut in_variable = false;
    let end = |word: &mut String, tokens: &mut Vec<Token>| {
        if !word.is_empty() {
            tokens.push(Token::Word(std::mem::take(word)));
        }
    };
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            _ if quoted => word.push(c),
            '#' | '!' => break,
            '{' if word.ends_with('$') => {
                in_variable = true;
                word.push(c);
            }
            '}' if in_variable => {
                in_variable = false;
                word.push(c);
            }
            '{' | '}' => {
                end(&mut word, &mut tokens);
                tokens.push(if c == '{' { Token::Open } else { Token::Close });
            }
            c if c.is_whitespace() => end(&mut word, &mut tokens),
            c => word.push(c),
        }
    }
    end(&mut word, &mut tokens);
    tokens
}

fn take(statement: &Statement, conf: &mut KeepalivedConf) {
    let [keyword, rest @ ..] = &statement.words[..] else {
        return;
    };
    let name = rest.first().map_or("", String::as_str);
    let owner = format!("{keyword} {name}");
    match keyword.as_str() {
        "vrrp_instance" => {
            let interface = interface(&statement.block);
            for inner in &statement.block {
                match inner.words.first().map(String::as_str) {
                    Some("virtual_ipaddress" | "virtual_ipaddress_excluded") => {
                        let moved = inner
                            .block
                            .iter()
                            .filter_map(|line| moved(line, &owner, interface.as_deref()));
                        conf.addresses.extend(moved);
                    }
                    Some(_) | None => conf.hooks.extend(hook(inner, &owner)),
                }
            }
        }
        "vrrp_sync_group" => {
            let hooks = statement
                .block
                .iter()
                .filter_map(|inner| hook(inner, &owner));
            conf.hooks.extend(hooks);
        }
        _ => {}
    }
}

/// Where the addresses of an instance come to; `None` where that is a MAC-VLAN whose name keepalived makes.
fn interface(block: &[Statement]) -> Option<String> {
    let argument = |keyword: &str| {
        let line = block
            .iter()
            .find(|line| line.words.first().is_some_and(|it| it == keyword))?;
        Some(line.words.get(1).cloned())
    };
    match argument("use_vmac") {
        Some(name) => name,
        None => argument("interface").flatten(),
    }
}

fn moved(line: &Statement, owner: &str, interface: Option<&str>) -> Option<Moved> {
    let first = line.words.first()?;
    let address = first.split('/').next().unwrap_or(first).parse().ok()?;
    let after = |keyword: &str| {
        let at = line.words.iter().position(|word| word == keyword)?;
        line.words.get(at + 1).cloned()
    };
    Some(Moved {
        owner: owner.to_owned(),
        address,
        interface: after("dev").or_else(|| interface.map(str::to_owned)),
        label: after("label").filter(|_| matches!(address, IpAddr::V4(_))),
        place: line.place.clone(),
    })
}

/// A line that runs a program when the state changes.
fn hook(line: &Statement, owner: &str) -> Option<Hook> {
    let keyword = line.words.first()?;
    let is_hook = keyword == "notify"
        || matches!(
            keyword.strip_prefix("notify_"),
            Some("master" | "backup" | "fault" | "stop" | "deleted" | "master_rx_lower_pri")
        );
    let program = line.words.get(1)?.split_whitespace().next()?;
    is_hook.then(|| Hook {
        owner: owner.to_owned(),
        keyword: keyword.clone(),
        program: program.into(),
        resolved: None,
        units: Vec::new(),
        place: line.place.clone(),
    })
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::super::facts::KeepalivedConf;
    use super::parse;

    fn read(text: &str) -> KeepalivedConf {
        let mut open = |pattern: &Path, from: &Path| {
            assert_eq!(from, Path::new("/etc/k.conf"));
            match pattern.to_str() {
                Some("conf.d/*.conf") => {
                    let inner = "vrrp_instance B {\n virtual_ipaddress { 10.0.0.2 }\n}";
                    vec![
                        Ok((PathBuf::from("/etc/conf.d/b.conf"), inner.to_owned())),
                        Err("closed".into()),
                    ]
                }
                other => panic!("{other:?}"),
            }
        };
        parse(Path::new("/etc/k.conf"), text, &mut open)
    }

    #[test]
    fn addresses_are_read_with_interface_label_and_line() {
        let conf = read(
            "! a comment\n\
             $VIP=10.0.0.1\n\
             global_defs { enable_script_security }\n\
             vrrp_instance \"A\" {   # { not a block\n\
                 state BACKUP\n\
                 interface eth0\n\
                 virtual_ipaddress {\n\
                     ${VIP}/24 brd 10.0.0.255 label eth0:vip\n\
                     fd00::1 dev eth1\n\
                 }\n\
                 track_interface\n\
                 {\n\
                     eth2\n\
                 }\n\
             }\n\
             include conf.d/*.conf\n\
             vrrp_instance M { interface eth0\n use_vmac\n virtual_ipaddress_excluded {\n 10.0.0.3\n} }\n",
        );
        let shown: Vec<_> = conf
            .addresses
            .iter()
            .map(|it| {
                format!(
                    "{} {} {:?} {:?} {}",
                    it.owner, it.address, it.interface, it.label, it.place
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                r#"vrrp_instance A 10.0.0.1 Some("eth0") Some("eth0:vip") /etc/k.conf:8"#,
                r#"vrrp_instance A fd00::1 Some("eth1") None /etc/k.conf:9"#,
                "vrrp_instance B 10.0.0.2 None None /etc/conf.d/b.conf:2",
                "vrrp_instance M 10.0.0.3 None None /etc/k.conf:20",
            ]
        );
        assert_eq!(conf.unread, ["closed"]);
        assert_eq!(conf.files.len(), 2);
    }

    #[test]
    fn hooks_are_those_of_instances_and_groups() {
        let conf = read(
            "vrrp_sync_group G {\n notify_backup /x/stop\n}\n\
             vrrp_instance A {\n notify_master \"/x/start --now\" root\n notify /x/any\n notify_priority_changes \
             true\n}\n\
             vrrp_script S {\n script /x/check\n}\n\
             virtual_server 10.0.0.1 80 {\n notify_up /x/up\n",
        );
        let shown: Vec<_> = conf
            .hooks
            .iter()
            .map(|it| {
                format!(
                    "{} {} {} {}",
                    it.owner,
                    it.keyword,
                    it.program.display(),
                    it.place.line
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                "vrrp_sync_group G notify_backup /x/stop 2",
                "vrrp_instance A notify_master /x/start 5",
                "vrrp_instance A notify /x/any 6",
            ]
        );
    }
}
