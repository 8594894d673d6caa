//! Which systemd units a shell text starts or stops: enough to find the usual `systemctl start nginx`, no more. Pure.

/// What ends a command in a shell's line.
const ENDS: [char; 6] = [';', '&', '|', '(', ')', '`'];

/// The verbs that bring a unit up or down.
const VERBS: [&str; 5] = [
    "start",
    "stop",
    "restart",
    "try-restart",
    "reload-or-restart",
];

/// The units in a text, each with its suffix, in their order.
pub(super) fn in_text(text: &str) -> Vec<String> {
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    let commands = lines.flat_map(|line| line.split(ENDS));
    let mut found = Vec::new();
    for command in commands {
        for unit in in_command(command) {
            if !found.contains(&unit) {
                found.push(unit);
            }
        }
    }
    found
}

fn in_command(command: &str) -> Vec<String> {
    let bare = |word: &str| word.trim_matches(['"', '\'']).to_owned();
    let words: Vec<_> = command.split_whitespace().map(bare).collect();
    let is = |word: &str, name: &str| word == name || word.ends_with(&format!("/{name}"));
    if let Some(at) = words.iter().position(|word| is(word, "systemctl")) {
        let mut rest = words
            .iter()
            .skip(at + 1)
            .filter(|word| !word.starts_with('-'));
        let verb = rest.next();
        if verb.is_some_and(|verb| VERBS.contains(&verb.as_str())) {
            return rest
                .take_while(|word| !word.contains(['>', '<']))
                .filter_map(|word| unit(word))
                .collect();
        }
    }
    if let Some(at) = words.iter().position(|word| is(word, "service")) {
        let verb = words.get(at + 2);
        if verb.is_some_and(|verb| VERBS.contains(&verb.as_str())) {
            return words
                .get(at + 1)
                .and_then(|word| unit(word))
                .into_iter()
                .collect();
        }
    }
    Vec::new()
}

/// The whole name of a unit; `None` where a variable or a pattern stands for it.
fn unit(word: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || ":_.\\@-".contains(c);
    if word.is_empty() || !word.chars().all(plain) {
        return None;
    }
    Some(if word.contains('.') {
        word.to_owned()
    } else {
        format!("{word}.service")
    })
}

#[cfg(test)]
mod tests {
    use super::in_text;

    #[test]
    fn units_are_found_where_people_write_them() {
        let found = |text: &str| in_text(text).join(" ");
        assert_eq!(found("systemctl start nginx"), "nginx.service");
        assert_eq!(
            found(
                "#!/bin/sh\n# systemctl start no\nset -e\n/usr/bin/systemctl --quiet start a.socket 'b' && service \
                 c stop"
            ),
            "a.socket b.service c.service"
        );
        assert_eq!(found("systemctl is-active web"), "");
        assert_eq!(
            found("systemctl start $NAME; echo start; systemctl stop web > /dev/null"),
            "web.service"
        );
        assert_eq!(found("service"), "");
    }
}
