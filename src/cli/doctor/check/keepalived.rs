//! keepalived beside keepstart: whether it runs, whether it moves the addresses of the file, and whether it has a
//! hand on the same services. Pure.

use super::super::facts::{Facts, Hook, KeepalivedConf, Moved, Script, UsedUnit};
use super::super::finding::Checked;
use super::{row, word};

/// Whether it runs where it is configured.
pub(super) fn runs(facts: &Facts) -> Checked {
    let keepalived = &facts.keepalived;
    let file = keepalived.file.display();
    let is_there = match &keepalived.conf {
        Ok(conf) => conf.is_some(),
        Err(_) => true,
    };
    let mut checked = Checked::of(match (&keepalived.processes[..], is_there) {
        ([], true) => format!("keepalived is configured ({file})"),
        ([], false) => format!("no keepalived runs, and there is no {file}"),
        (all, _) => format!("keepalived runs (process {}) with {file}", row(all)),
    });
    if keepalived.processes.is_empty() {
        if is_there {
            checked
                .hurts("keepalived does not run on this node: it never becomes MASTER")
                .at(&file)
                .mend("systemctl enable --now keepalived");
        } else {
            checked.note(
                "no keepalived runs on this node, and none is configured: something else has to move the addresses",
            );
        }
    }
    if let Err(why) = &keepalived.conf {
        checked.cannot_see(why.clone());
    }
    checked
}

/// Whether it moves the addresses of the file, to where they are looked for.
pub(super) fn addresses(facts: &Facts) -> Checked {
    let conf = match conf(facts) {
        Ok(conf) => conf,
        Err(checked) => return checked,
    };
    let files = row(conf.files.iter().map(|file| file.display()));
    let mut checked = Checked::of(format!("the virtual_ipaddress blocks of {files}"));
    for why in &conf.unread {
        checked.cannot_see(why.clone());
    }
    for instance in &facts.config.settings.instances {
        for vip in &instance.role.addresses {
            let of_vip: Vec<_> = conf
                .addresses
                .iter()
                .filter(|it| it.address == *vip)
                .collect();
            if of_vip.is_empty() {
                checked
                    .hurts(format!(
                        "{vip}, the address of instance {}, is in no virtual_ipaddress of {files}: keepalived does \
                         not bring it",
                        instance.name
                    ))
                    .at(&facts.config.file.display())
                    .mend(format!("grep -n -A 5 virtual_ipaddress {}", word(&facts.keepalived.file.display())));
            }
            let Some(nic) = &instance.role.nic else {
                continue;
            };
            for moved in of_vip
                .into_iter()
                .filter(|moved| !comes_to(facts, moved, nic))
            {
                let interface = moved.interface.as_deref().unwrap_or_default();
                let label = moved
                    .label
                    .as_ref()
                    .map_or(String::new(), |label| format!(" with the label {label}"));
                checked
                    .hurts(format!(
                        "keepalived brings {vip} to {interface}{label} ({}), but instance {} looks for it on {nic}: \
                         its role does not become MASTER",
                        moved.owner, instance.name
                    ))
                    .at(&moved.place)
                    .mend(format!("grep -n {vip} {}", word(&moved.place.file.display())));
            }
        }
    }
    checked
}

/// Whether keepalived brings an address to what an instance calls its nic: the interface, one of its other names, or a
/// label. Of an interface whose name keepalived makes itself nothing can be said.
fn comes_to(facts: &Facts, moved: &Moved, nic: &str) -> bool {
    let Some(interface) = &moved.interface else {
        return true;
    };
    let mut links = facts.kernel.iter().flat_map(|kernel| &kernel.links);
    let by_altname =
        links.any(|link| link.name == *interface && link.altnames.iter().any(|it| it == nic));
    interface == nic || moved.label.as_deref() == Some(nic) || by_altname
}

/// Whether its notify scripts do what keepstart does.
pub(super) fn hooks(facts: &Facts) -> Checked {
    let conf = match conf(facts) {
        Ok(conf) => conf,
        Err(checked) => return checked,
    };
    let mut checked = Checked::of(match conf.hooks.len() {
        0 => "keepalived runs no notify scripts".to_owned(),
        number => format!(
            "the {number} notify lines of {}",
            row(conf.files.iter().map(|it| it.display()))
        ),
    });
    for hook in &conf.hooks {
        let (program, keyword, owner) = (hook.program.display(), &hook.keyword, &hook.owner);
        let sentence = match same_work(facts, hook) {
            Some(Same::Program(script)) => {
                let (instance, action) = user(script);
                format!(
                    "keepalived runs {program} in {keyword} of {owner} as well as keepstart, as the {action} of \
                     instance {instance}: two hands on one service"
                )
            }
            Some(Same::Unit(unit)) => format!(
                "keepalived runs {program} in {keyword} of {owner}, which has a hand on {} as the {} of instance {} \
                 has: two hands on one service",
                unit.name, unit.action, unit.instance
            ),
            None => {
                checked
                    .note(format!("keepalived runs {program} in {keyword} of {owner}; no action of the file runs it"))
                    .at(&hook.place)
                    .mend(format!("less {}", word(&program)));
                continue;
            }
        };
        let place = &hook.place;
        checked.hurts(sentence).at(&place).mend(format!(
            "sed -i.bak '{}s/^/#/' {} && systemctl reload keepalived",
            place.line,
            word(&place.file.display())
        ));
    }
    checked
}

/// How a hook does the work of an action.
enum Same<'a> {
    Program(&'a Script),
    Unit(&'a UsedUnit),
}

fn same_work<'a>(facts: &'a Facts, hook: &Hook) -> Option<Same<'a>> {
    let is_same = |script: &&Script| {
        let resolved = hook.resolved.is_some() && hook.resolved == script.resolved;
        hook.program == script.path || resolved
    };
    let unit = || {
        facts
            .units
            .iter()
            .find(|unit| hook.units.contains(&unit.name))
    };
    let script = facts.scripts.iter().find(is_same);
    script.map(Same::Program).or_else(|| unit().map(Same::Unit))
}

fn user(script: &Script) -> (String, String) {
    let first = script.used.first();
    first.map_or_else(Default::default, |(instance, action)| {
        (instance.to_string(), action.to_string())
    })
}

/// What can be said of keepalived.conf; else what is said instead.
fn conf(facts: &Facts) -> Result<&KeepalivedConf, Checked> {
    match &facts.keepalived.conf {
        Ok(Some(conf)) => Ok(conf),
        Ok(None) => Err(Checked::of(format!(
            "there is no {}",
            facts.keepalived.file.display()
        ))),
        Err(why) => Err(Checked::unseen(why)),
    }
}
