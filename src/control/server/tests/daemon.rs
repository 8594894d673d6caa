//! A daemon without a machine, for the tests of the control socket's server.

use std::sync::Arc;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::sync::watch;
use tokio::task::LocalSet;

use super::super::*;
use crate::bus::{Pulse, Update, Whole};
use crate::control::peer::Door;
use crate::control::protocol::{self, Answer, parse_answer};
use crate::control::samples::{kernel, time, view};
use crate::control::socket::{Access, bind};
use crate::machine::view::InstanceView;
use crate::source::netlink::Filter;

/// A daemon without a machine.
pub(super) struct Daemon {
    pub(super) board: Rc<RefCell<Board>>,
    pub(super) timeline: Rc<RefCell<Timeline>>,
    path: PathBuf,
    pub(super) alive: watch::Sender<bool>,
    _directory: TempDir,
}

/// Runs a server, and a reactor and an application that answer, and the test's body beside them.
pub(super) fn with_daemon(body: impl AsyncFnOnce(&Daemon)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    LocalSet::new().block_on(&runtime, async {
        let directory = TempDir::new().expect("a directory");
        let path = directory.path().join("control");
        let steering = bind(&path, Access::Owner, Access::Owner).expect("a listener");
        let listeners = Listeners {
            steering,
            door: Door::Own,
            reading: None,
        };
        let (orders, reactor) = mpsc::channel(crate::bus::ORDERS_MAX);
        let (requests, application) = mpsc::channel(crate::bus::REQUESTS_MAX);
        let (alive, is_alive) = watch::channel(true);
        let board = Rc::<RefCell<Board>>::default();
        let timeline = Rc::<RefCell<Timeline>>::default();
        let instances = vec![view(1, "db"), view(2, "web")];
        board.borrow_mut().replace(Whole {
            finished: false,
            at: time(11_000),
            kernel: kernel(),
            instances,
        });
        let context = ServerContext {
            board: board.clone(),
            timeline: timeline.clone(),
            orders,
            requests,
            clock: Clock::begin(),
            config_file: "/etc/keepstart/config.yaml".into(),
            config_read_at: Rc::new(Cell::new(Time::ZERO)),
            counters: Box::new(|| Counters {
                log_dropped: 1,
                updates_dropped: 2,
                systemd_refused: 3,
            }),
            realtime: None,
        };
        spawn_local(serve(listeners, Rc::new(context)));
        spawn_local(play_reactor(reactor, is_alive));
        spawn_local(play_application(application));
        body(&Daemon {
            board,
            timeline,
            path,
            alive,
            _directory: directory,
        })
        .await;
    });
}

async fn play_reactor(mut orders: mpsc::Receiver<Order>, is_alive: watch::Receiver<bool>) {
    let mut unanswered = Vec::new();
    while let Some(order) = orders.recv().await {
        match order {
            Order::Ping(answer) if *is_alive.borrow() => drop(answer.send(pulse())),
            Order::Record(answer) => drop(answer.send(None)),
            other @ (Order::Ping(_) | Order::Fetch(_) | Order::Input(_) | Order::Reload(..)) => {
                unanswered.push(other);
            }
        }
    }
}

fn pulse() -> Pulse {
    let mut counters = crate::bus::Counters::default();
    counters.executor.spawns_hanging = 4;
    counters.output.files = 5;
    counters.netlink.foreign = 6;
    Pulse {
        kernel: kernel(),
        counters,
        filter: Some(Filter::Exact { instructions: 57 }),
    }
}

async fn play_application(mut requests: mpsc::Receiver<Request>) {
    while let Some(request) = requests.recv().await {
        match request {
            Request::Reload(answer) => drop(answer.send(Err("config.yaml:1:1: wrong".into()))),
            Request::Shutdown(answer) => drop(answer.send(())),
            Request::Audit(_, answer) => drop(answer.send(Ok(()))),
        }
    }
}

pub(super) type Reader = BufReader<UnixStream>;

impl Daemon {
    pub(super) async fn connect(&self) -> Reader {
        BufReader::new(UnixStream::connect(&self.path).await.expect("a connection"))
    }

    /// Sends these bytes.
    pub(super) async fn send(&self, bytes: &[u8]) -> Reader {
        let mut stream = self.connect().await;
        // A server that has heard enough closes before all is sent.
        let _ = stream.write_all(bytes).await;
        stream
    }

    pub(super) async fn ask(&self, request: protocol::Request) -> Reader {
        self.send(&request.to_line()).await
    }

    pub(super) fn change(&self, view: Arc<InstanceView>) {
        self.board.borrow_mut().take(Update::Instance(view));
    }
}

/// The next line; `None` at the end.
pub(super) async fn next(reader: &mut Reader) -> Option<Result<Answer, Refusal>> {
    let mut line = Vec::new();
    match reader.read_until(b'\n', &mut line).await {
        Ok(1..) => Some(
            parse_answer(&line)
                .expect("an answer")
                .expect("a known kind"),
        ),
        Ok(0) | Err(_) => None,
    }
}

pub(super) async fn all(mut reader: Reader) -> Vec<Result<Answer, Refusal>> {
    let mut answers = Vec::new();
    while let Some(answer) = next(&mut reader).await {
        answers.push(answer);
    }
    answers
}

pub(super) async fn refusal(reader: Reader) -> ErrorCode {
    let answers = all(reader).await;
    let [Err(refusal)] = answers.as_slice() else {
        panic!("not one refusal: {answers:?}")
    };
    refusal.code
}

pub(super) fn told(answer: Option<Result<Answer, Refusal>>) -> Answer {
    answer.expect("an answer").expect("no refusal")
}

/// Reads a whole status; the names of its instances.
pub(super) async fn status(reader: &mut Reader) -> Vec<String> {
    let Answer::Daemon(daemon) = told(next(reader).await) else {
        panic!("no daemon first")
    };
    assert!(!daemon.stale);
    let mut names = Vec::new();
    loop {
        let answer = told(next(reader).await);
        if let Answer::Instance(status) = answer {
            names.push(status.name.to_string());
            continue;
        }
        assert_eq!(
            answer,
            Answer::Complete {
                instances: names.len()
            }
        );
        return names;
    }
}
