//! The files that actions run: whether they can be executed, and who could put another in their place. Pure.

use super::super::facts::{Facts, Script, ScriptState};
use super::super::finding::Checked;
use super::{count, row, word};
use crate::machine::job::Action;
use crate::machine::settings::Command;
use crate::trust::{Fault, Trouble};

const ACTIONS: [Action; 3] = [Action::Start, Action::Stop, Action::IsRunning];

/// Whether each can be executed.
pub(super) fn can_run(facts: &Facts) -> Checked {
    let paths = row(facts.scripts.iter().map(|script| script.path.display()));
    let mut checked = Checked::of(match facts.scripts.len() {
        0 => "no action names a file by its path".to_owned(),
        number => format!(
            "{} can be executed: {paths}",
            count(number, "file", "files")
        ),
    });
    for script in &facts.scripts {
        look(script, &mut checked);
    }
    if !checked.findings.is_empty() || !checked.unseen.is_empty() {
        checked.looked_at = format!("the files of the actions: {paths}");
    }
    let lines = lines_for_a_shell(facts);
    if lines > 0 {
        let lines = count(lines, "line for a shell", "lines for a shell");
        checked.looked_at += "; of ";
        checked.looked_at += &lines;
        checked.looked_at += " only the first word was looked at, where it is a path";
    }
    checked
}

/// How many actions are lines for a shell, which may run anything.
fn lines_for_a_shell(facts: &Facts) -> usize {
    let instances = facts.config.settings.instances.iter();
    let commands = instances.flat_map(|one| ACTIONS.map(|action| one.command(action)));
    let runs = commands.flatten().map(|command| &command.run);
    runs.filter(|run| matches!(run, Command::Shell(_))).count()
}

fn look(script: &Script, checked: &mut Checked) {
    let path = script.path.display();
    let users = users(script);
    match &script.state {
        ScriptState::Executable => {}
        ScriptState::Missing => checked
            .hurts(format!("{path} does not exist, but it is {users}"))
            .mend(format!("ls -l {}", word(&parent(script)))),
        ScriptState::NotAFile => checked
            .hurts(format!("{path} is no file, but it is {users}"))
            .mend(format!("ls -ld {}", word(&path))),
        ScriptState::NotExecutable => checked
            .hurts(format!("{path} is not executable, but it is {users}"))
            .mend(format!("chmod 755 {}", word(&path))),
        ScriptState::OnNoexec => checked
            .hurts(format!(
                "{path} is on a file system that is mounted with noexec, so the kernel executes nothing there, but \
                 it is {users}"
            ))
            .mend(format!("findmnt --target {}", word(&path))),
        ScriptState::NoInterpreter(interpreter) => checked
            .hurts(format!(
                "{path} begins with #!{}, which does not exist, but it is {users}",
                interpreter.display()
            ))
            .mend(format!("head -n 1 {}", word(&path))),
        ScriptState::Unseen(why) => checked.cannot_see(format!("{path}: {why}")),
    }
}

/// Whether nobody but root and the daemon's user can put another file in the place of each.
pub(super) fn permissions(facts: &Facts) -> Checked {
    let mut checked = Checked::of(match facts.scripts.len() {
        0 => "no action names a file by its path".to_owned(),
        number => format!(
            "each part of the {} of the actions can be written by nobody else",
            count(number, "path", "paths")
        ),
    });
    // A directory is on the way to many scripts, and is told of once.
    let mut parts: Vec<(&Fault, Vec<&Script>)> = Vec::new();
    for script in &facts.scripts {
        match &script.weak {
            Err(why) => checked.cannot_see(format!("{}: {why}", script.path.display())),
            Ok(weak) => {
                for part in weak {
                    match parts.iter_mut().find(|(known, _)| *known == part) {
                        Some((_, scripts)) => scripts.push(script),
                        None => parts.push((part, vec![script])),
                    }
                }
            }
        }
    }
    for (part, scripts) in parts {
        let itself = scripts.iter().any(|script| script.path == part.component);
        let role = if itself {
            "is"
        } else {
            "is on the way to what is"
        };
        let users: Vec<_> = scripts.iter().map(|script| users(script)).collect();
        let (said, users) = (part.said(), users.join(" and "));
        if let Trouble::Unseen(_) = part.trouble {
            checked.cannot_see(format!("{said}, and {role} {users}"));
            continue;
        }
        let advice = part.advice();
        let advice = advice.map_or_else(String::new, |advice| format!("; {advice}"));
        let sentence = format!(
            "{said}, and {role} {users}: whoever can change it decides what is run{advice}"
        );
        let finding = checked.hurts(sentence);
        let remedy = part.remedy();
        finding
            .mend(remedy.unwrap_or_else(|| format!("ls -ld {}", word(&part.component.display()))));
    }
    if !checked.findings.is_empty() {
        checked.looked_at =
            "who can write the files of the actions and the directories on the way".into();
    }
    checked
}

/// `the start of web and the stop of db`.
fn users(script: &Script) -> String {
    let users: Vec<_> = script
        .used
        .iter()
        .map(|(instance, action)| format!("the {action} of instance {instance}"))
        .collect();
    users.join(" and ")
}

fn parent(script: &Script) -> String {
    let parent = script.path.parent().unwrap_or(&script.path);
    parent.display().to_string()
}
