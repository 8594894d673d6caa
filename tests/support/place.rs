//! A network namespace with a thread that lives in it, for tests that need several hosts at once.

use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

use nix::sched::{CloneFlags, unshare};

type Errand = Box<dyn FnOnce() + Send>;

/// A host: a namespace that vanishes with this value. What runs in it is started by errands.
pub(crate) struct Place {
    errands: Option<Sender<Errand>>,
    thread: Option<JoinHandle<()>>,
    namespace: PathBuf,
}

impl Place {
    /// A new namespace with its loopback up. Needs `CAP_SYS_ADMIN`: call it inside `netns::run`.
    pub(crate) fn new() -> Self {
        let (errands, receiver) = channel::<Errand>();
        let (tell, told) = channel();
        let thread = thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).expect("make a network namespace");
            let tid = rustix::thread::gettid().as_raw_nonzero();
            let path = format!("/proc/{}/task/{tid}/ns/net", std::process::id());
            tell.send(PathBuf::from(path)).expect("the test waits");
            for errand in receiver {
                errand();
            }
        });
        let namespace = told.recv().expect("a namespace");
        let place = Self {
            errands: Some(errands),
            thread: Some(thread),
            namespace,
        };
        place.run(|| super::netns::ip("link set lo up"));
        place
    }

    /// The namespace as `ip … netns` takes it.
    pub(crate) fn namespace(&self) -> String {
        self.namespace.display().to_string()
    }

    /// Runs `errand` here and waits for what it brings.
    pub(crate) fn run<R: Send + 'static>(&self, errand: impl FnOnce() -> R + Send + 'static) -> R {
        let (bring, brought) = channel();
        let errand = Box::new(move || drop(bring.send(errand())));
        self.errands
            .as_ref()
            .expect("alive")
            .send(errand)
            .expect("the place's thread lives");
        brought.recv().expect("the errand did not panic")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.errands = None;
        if let Some(thread) = self.thread.take() {
            // An errand that panicked has failed the test already.
            drop(thread.join());
        }
    }
}
