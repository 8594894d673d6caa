//! Two machines as they stand in production: systemd, Debian's own keepalived.service, keepstart from its DEB, a wire
//! between them. Twenty failovers, by stopping keepalived and by losing a whole machine. After each the service runs on
//! the right machine and on no other, and each script has run once, in order.
//!
//! Both machines have the clock of this kernel, so what their scripts write down can be put in one order.

use std::time::Duration;

use crate::machine::{Disk, Hardware, Machine};
use crate::netns::{self, ip};
use crate::packages::Packages;

const BY_STOP: usize = 12;
const BY_LOSS: usize = 8;

/// Neither takes the address back (`nopreempt`): then the one that has it is always told by who failed last. With one
/// advertisement a second the other takes over 0.6 s after a stop and 3.6 s after a loss.
const KEEPALIVED: &str = "
vrrp_instance V1 {
    version 3
    state BACKUP
    nopreempt
    interface host0
    virtual_router_id 51
    priority PRIORITY
    advert_int 1
    virtual_ipaddress {
        10.99.0.100/32
    }
}
";

/// Scripts that write down when they begin and end, around a service that is a unit of systemd.
const SETUP: &str = "
dpkg --install /shared/1/*.deb
mkdir -p /opt/web
printf '[Service]\\nExecStart=/bin/sleep 100000\\n' > /etc/systemd/system/web.service
for action in start stop; do cat > /opt/web/$action <<END
#!/bin/sh
echo begin $action \\$(date +%s%N) >> /opt/web/log
systemctl $action web
echo end $action \\$(date +%s%N) >> /opt/web/log
END
done
chmod 755 /opt/web/*
cat > /etc/keepstart/config.yaml <<'END'
instances:
  web:
    nic: host0
    vip: 10.99.0.100
    start: /opt/web/start
    stop: /opt/web/stop
    is-running: systemctl is-active --quiet web
END
cat > /etc/systemd/system/wire.service <<'END'
[Unit]
Before=network.target keepalived.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/ip link set host0 up
ExecStart=/usr/sbin/ip address add ADDRESS/24 dev host0
[Install]
WantedBy=multi-user.target
END
systemctl daemon-reload
systemctl enable --now wire
systemctl reload keepstart
systemctl enable --now keepalived
";

/// One of the two.
struct Node {
    name: &'static str,
    disk: Disk,
    machine: Option<Machine>,
    /// When it was lost, in the nanoseconds of its log.
    lost: Vec<u128>,
}

impl Node {
    fn new(name: &'static str, address: &str, priority: &str) -> Self {
        let mut node = Self {
            name,
            disk: Disk::new(),
            machine: None,
            lost: Vec::new(),
        };
        node.boot();
        let conf = KEEPALIVED.replace("PRIORITY", priority);
        node.run(&format!(
            "cat > /etc/keepalived/keepalived.conf <<'END'\n{conf}END"
        ));
        node.run(&SETUP.replace("ADDRESS", address));
        node
    }

    fn boot(&mut self) {
        let hardware = Hardware::Wired(&self.disk);
        self.machine = Some(Machine::boot_on(
            self.name,
            Packages::get().directory(),
            &hardware,
        ));
    }

    /// A power cut: all processes end, and its end of the wire is gone.
    fn lose(&mut self) {
        drop(self.machine.take());
        self.lost.push(now());
    }

    fn machine(&self) -> &Machine {
        self.machine.as_ref().expect("a machine that runs")
    }

    #[track_caller]
    fn run(&self, script: &str) -> String {
        self.machine().run(script)
    }

    /// Waits until the last script that has run, and ended, is this one, and the service is in its state.
    #[track_caller]
    fn settles_on(&self, action: &str, active: &str, when: &str) {
        let what = format!("{}: {action} after {when}", self.name);
        let look = "tail -n 1 /opt/web/log 2>/dev/null; systemctl is-active web || true";
        self.machine().until(&what, look, |said| {
            said.starts_with(&format!("end {action} ")) && said.ends_with(&format!("\n{active}"))
        });
    }

    /// What its scripts have written down, with the losses of the machine, by time.
    fn log(&self) -> Vec<Line> {
        let text = self.disk.read("opt/web/log");
        let mut lines: Vec<_> = text.lines().map(Line::of).collect();
        let lost = self.lost.iter().map(|at| Line {
            step: "lost".into(),
            action: String::new(),
            at: *at,
        });
        lines.extend(lost);
        lines.sort_by_key(|line| line.at);
        lines
    }
}

/// A line of a log.
#[derive(Debug, Clone)]
struct Line {
    step: String,
    action: String,
    at: u128,
}

impl Line {
    fn of(text: &str) -> Self {
        let words: Vec<_> = text.split(' ').collect();
        let [step, action, at] = words[..] else {
            panic!("an odd line: {text}");
        };
        Self {
            step: step.into(),
            action: action.into(),
            at: at.parse().unwrap(),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the logs are in the time of day")]
fn now() -> u128 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap().as_nanos()
}

#[test]
fn two_machines_hand_the_service_over_twenty_times() {
    netns::run(
        "pair::two_machines_hand_the_service_over_twenty_times",
        || {
            ip("link add br0 type bridge");
            ip("link set br0 up");
            let mut pair = [
                Node::new("pair-a", "10.99.0.1", "150"),
                Node::new("pair-b", "10.99.0.2", "100"),
            ];
            pair[0].settles_on("start", "active", "the beginning");
            let mut holder = 0;
            for round in 0..BY_STOP + BY_LOSS {
                let by_loss = round % 5 >= 3;
                let when = format!("round {round}");
                if by_loss {
                    pair[holder].lose();
                } else {
                    pair[holder].run("systemctl stop keepalived");
                    pair[holder].settles_on("stop", "inactive", &when);
                }
                let other = 1 - holder;
                pair[other].settles_on("start", "active", &when);
                if by_loss {
                    pair[holder].boot();
                    pair[holder]
                        .run("systemctl is-active keepalived keepstart; ! systemctl is-active web");
                } else {
                    pair[holder].run("systemctl start keepalived");
                }
                pair[holder].machine().until(
                    "sees that it is BACKUP",
                    "keepstart status web --json",
                    |said| said.contains("\"role\": \"BACKUP\""),
                );
                holder = other;
            }
            let logs = [pair[0].log(), pair[1].log()];
            let lost: usize = pair.iter().map(|node| node.lost.len()).sum();
            assert_eq!(lost, BY_LOSS);
            let runs = logs.iter().map(|log| in_order(log)).collect::<Vec<_>>();
            // One at the beginning and one for each failover, whoever made it.
            assert_eq!(
                runs[0].len() + runs[1].len(),
                1 + BY_STOP + BY_LOSS,
                "{logs:#?}"
            );
            never_both(&runs, &logs);
        },
    );
}

/// A time in which the service may have run on a machine: from the beginning of its start to the end of its stop, or to
/// the loss of the machine.
type Run = (u128, u128);

/// No script has begun while another ran, starts and stops have taken turns, and nothing else has run.
fn in_order(log: &[Line]) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut lines = log.iter().peekable();
    while let Some(begin) = lines.next() {
        let is = |line: Option<&&Line>, step: &str, action: &str| {
            line.is_some_and(|line| line.step == step && line.action == action)
        };
        if begin.step == "lost" && runs.last().is_some_and(|(_, end)| *end == u128::MAX) {
            runs.last_mut().unwrap().1 = begin.at;
            continue;
        }
        match begin.action.as_str() {
            "start" => {
                assert!(
                    begin.step == "begin" && is(lines.next().as_ref(), "end", "start"),
                    "{log:#?}"
                );
                assert!(
                    runs.last().is_none_or(|(_, end)| *end != u128::MAX),
                    "started twice: {log:#?}"
                );
                runs.push((begin.at, u128::MAX));
            }
            "stop" => {
                let end = lines.next();
                assert!(
                    begin.step == "begin" && is(end.as_ref(), "end", "stop"),
                    "{log:#?}"
                );
                let run = runs.last_mut().filter(|(_, end)| *end == u128::MAX);
                run.unwrap_or_else(|| panic!("stopped twice: {log:#?}")).1 = end.unwrap().at;
            }
            _ => panic!("{begin:?} in {log:#?}"),
        }
    }
    runs
}

/// At no time has the service run on both machines.
fn never_both(runs: &[Vec<Run>], logs: &[Vec<Line>; 2]) {
    for a in &runs[0] {
        for b in &runs[1] {
            let both = a.0.max(b.0)..a.1.min(b.1);
            let nanoseconds = both.end.saturating_sub(both.start);
            let span = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
            assert!(both.is_empty(), "on both for {span:?}: {logs:#?}");
        }
    }
}
