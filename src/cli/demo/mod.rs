//! `demo`: the main job for real, in a network namespace of its own. The story is told here, `stage`
//! builds and removes what it plays on, `tale` turns the daemon's events into lines. Runs on the only
//! thread of its process, because a process with threads cannot leave its user namespace.

mod stage;
mod tale;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::exit::{Code, Ending, Failure};
use super::out::{Out, Paint};
use super::timeline::{self, draw};
use crate::control::client::{Client, Next};
use crate::control::protocol::{Answer, Request};
use crate::machine::Time;
use crate::machine::job::{Action, Outcome};
use crate::machine::message::Event;

use stage::{Stage, VIP};
use tale::Tale;

/// How long anything in the demo may take before something is wrong.
const DEADLINE: Duration = Duration::from_secs(5);

/// A step has ended when nothing has happened for so long.
const QUIET: Duration = Duration::from_millis(120);

/// Longer than the debounce window of 200 ms: the next change comes to a calm daemon.
const CALM: Duration = Duration::from_millis(300);

/// Inside the window.
const FLAP: Duration = Duration::from_millis(40);

const NEXT: &str = "\
What to type next:
  keepstart --help                          all commands
  keepstart -c config.yaml validate         check a file like this one:

      instances:
        web:
          vip: 192.0.2.10
          nic: eth0
          start: systemctl start my-web
          stop: systemctl stop my-web
          is-running: systemctl is-active --quiet my-web

  keepstart -c config.yaml run              follow the address; `status`, `reload` and `stop` talk to it";

/// What must happen before a step is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    /// This action is done, and is-running has agreed.
    Verified(Action),
    /// A change was overtaken.
    Overtaken,
}

pub(super) fn demo(out: Out) -> Ending {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, interrupted.clone())
            .map_err(|error| Failure::of(Code::System, error))?;
    }
    out.line(
        "keepstart demo: a real daemon, scripts and address, in a network namespace of their own.",
    )?;
    let stage = Stage::build()?;
    let mut demo = Demo {
        out,
        stage,
        tale: Tale::default(),
        interrupted,
    };
    let ending = demo.play();
    // The scripts' service and the daemon end with the stage, however the play went.
    demo.stage.clear();
    ending
}

struct Demo {
    out: Out,
    stage: Stage,
    tale: Tale,
    interrupted: Arc<AtomicBool>,
}

impl Demo {
    fn play(&mut self) -> Ending {
        let began = now();
        self.stage.start_daemon()?;
        let mut events = self.follow()?;
        let ready = now() - began;
        self.out.line(&format!(
            "The daemon runs as process {}, {:.0} ms after it was started. {VIP} is not here yet: BACKUP.",
            self.stage.daemon_pid(),
            ready.as_secs_f64() * 1000.0
        ))?;
        self.settle(&mut events)?;
        thread::sleep(CALM);

        self.moves(&mut events)?;
        self.stage.stop_daemon()?;
        self.out.line("")?;
        for line in self.tale.summary() {
            self.out.line(&line)?;
        }
        self.out.line(&format!("\n{NEXT}"))?;
        Ok(Code::Fine)
    }

    /// Moves the address about and tells what follows.
    fn moves(&mut self, events: &mut Client) -> Result<(), Failure> {
        self.step(
            "The address comes, as keepalived would bring it",
            &format!("ip address add {VIP}/32 dev lo"),
        )?;
        self.stage.add_vip()?;
        self.watch(events, Until::Verified(Action::Start))?;
        self.draw()?;
        thread::sleep(CALM);

        self.step(
            "The address goes: the node must let go at once",
            &format!("ip address del {VIP}/32 dev lo"),
        )?;
        self.stage.remove_vip()?;
        self.watch(events, Until::Verified(Action::Stop))?;
        thread::sleep(CALM);

        self.step("It comes back", &format!("ip address add {VIP}/32 dev lo"))?;
        self.stage.add_vip()?;
        self.watch(events, Until::Verified(Action::Start))?;

        self.step(
            "The service dies behind the daemon's back; an audit finds it",
            "kill -9 SERVICE; keepstart audit web",
        )?;
        self.stage.kill_service()?;
        let mut client = self.stage.client()?;
        client
            .ask(&Request::Audit(None))
            .and_then(|()| client.answer(DEADLINE))
            .map_err(unavailable)?;
        self.watch(events, Until::Verified(Action::Start))?;
        thread::sleep(CALM);

        self.step(
            "The address goes, and flaps while it does: back and away again within 100 ms",
            "ip address del, add, del",
        )?;
        self.stage.remove_vip()?;
        thread::sleep(FLAP);
        self.stage.add_vip()?;
        thread::sleep(FLAP);
        self.stage.remove_vip()?;
        self.watch(events, Until::Overtaken)
    }

    /// Shows what has just happened as `keepstart timeline` does.
    fn draw(&self) -> Result<(), Failure> {
        let Some(entry) = self.tale.last_entry(Time::ZERO) else {
            return Ok(());
        };
        let drawn = draw::entry(&entry, &timeline::canvas(self.out));
        self.out
            .print(&format!("\n  $ keepstart timeline --last 1\n{drawn}"))
    }

    fn step(&mut self, what: &str, command: &str) -> Result<(), Failure> {
        self.tale.begin_step();
        let what = self.out.paint(Paint::Bold, what);
        self.out.line(&format!("\n{what}\n  $ {command}"))
    }

    /// Opens the stream of events as soon as the daemon listens.
    fn follow(&self) -> Result<Client, Failure> {
        let began = now();
        loop {
            self.check()?;
            match self.stage.client() {
                Ok(mut client) => {
                    client.ask(&Request::Events(None)).map_err(unavailable)?;
                    client.answer(DEADLINE).map_err(unavailable)?;
                    return Ok(client);
                }
                Err(_) if now() - began > DEADLINE => return Err(self.daemon_gone()),
                Err(_) => thread::sleep(Duration::from_millis(2)),
            }
        }
    }

    /// Lets the daemon take up its instance before the story begins.
    fn settle(&mut self, events: &mut Client) -> Result<(), Failure> {
        let began = now();
        while now() - began < DEADLINE {
            self.check()?;
            if let Next::Silence = events.next(QUIET).map_err(unavailable)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Tells what happens until the step is over.
    fn watch(&mut self, events: &mut Client, until: Until) -> Result<(), Failure> {
        let began = now();
        let mut reached = Reached::default();
        loop {
            self.check()?;
            match events.next(QUIET).map_err(unavailable)? {
                Next::Answer(answer) => {
                    if let Answer::Event(line) = *answer {
                        reached.take(&line.event);
                        let said = self.said_about(&line.event);
                        for told in self.tale.tell(&line, &said) {
                            self.out.line(&told)?;
                        }
                    }
                }
                Next::Silence if reached.is(until) => return Ok(()),
                Next::Silence if now() - began > DEADLINE => {
                    let message = format!(
                        "keepstart: the demo expected {until:?} within {DEADLINE:?}, which did not happen; \
                         the daemon's log:\n{}",
                        self.stage.log()
                    );
                    return Err(Failure::told(Code::Failed, message));
                }
                Next::Silence => {}
                Next::End => return Err(self.daemon_gone()),
            }
        }
    }

    /// What a start or stop has printed, when it has ended.
    fn said_about(&self, event: &Event) -> Vec<String> {
        if let Event::JobEnded {
            job,
            action: Action::Start | Action::Stop,
            ..
        } = event
        {
            self.stage.output_of(*job)
        } else {
            Vec::new()
        }
    }

    fn check(&self) -> Result<(), Failure> {
        if self.interrupted.load(Ordering::Relaxed) {
            return Err(Failure::told(
                Code::Failed,
                "keepstart: the demo was interrupted",
            ));
        }
        Ok(())
    }

    fn daemon_gone(&self) -> Failure {
        let message = format!(
            "keepstart: the demo's daemon has ended or does not listen; its log:\n{}",
            self.stage.log()
        );
        Failure::told(Code::Failed, message)
    }
}

/// What has happened in a step.
#[derive(Default)]
struct Reached {
    done: Option<Action>,
    verified: bool,
    overtaken: bool,
}

impl Reached {
    fn take(&mut self, event: &Event) {
        if let Event::Superseded { .. } = event {
            self.overtaken = true;
        }
        let Event::JobEnded {
            action, outcome, ..
        } = event
        else {
            return;
        };
        if *action == Action::IsRunning {
            self.verified = self.done.is_some();
        } else if *outcome == Outcome::Done {
            self.done = Some(*action);
            self.verified = false;
        }
    }

    fn is(&self, until: Until) -> bool {
        match until {
            Until::Verified(action) => self.done == Some(action) && self.verified,
            Until::Overtaken => self.overtaken && self.done == Some(Action::Stop),
        }
    }
}

fn unavailable(error: crate::control::client::ClientError) -> Failure {
    Failure::of(Code::Unavailable, error)
}

#[expect(clippy::disallowed_methods, reason = "the demo's steps have deadlines")]
fn now() -> Instant {
    Instant::now()
}
