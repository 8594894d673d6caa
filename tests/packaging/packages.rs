//! The packages themselves, each built once for all tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::{BINARY, packaging, pages};

/// What is built.
pub(crate) struct Packages {
    directory: TempDir,
}

/// The kinds of packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Deb,
    Rpm,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Deb => "deb",
            Self::Rpm => "rpm",
        }
    }
}

impl Packages {
    /// Builds both kinds, each as two revisions of which the second is an upgrade, in `1/` and `2/`.
    pub(crate) fn get() -> &'static Self {
        static PACKAGES: OnceLock<Packages> = OnceLock::new();
        PACKAGES.get_or_init(|| {
            let directory = tempfile::tempdir().unwrap();
            let generated = directory.path().join("pages");
            fs::create_dir(&generated).unwrap();
            pages::write(&generated).unwrap();
            let packages = Self { directory };
            std::thread::scope(|scope| {
                for kind in [Kind::Deb, Kind::Rpm] {
                    for revision in ["1", "2"] {
                        let (packages, generated) = (&packages, &generated);
                        scope.spawn(move || packages.build(kind, revision, generated));
                    }
                }
            });
            packages
        })
    }

    fn build(&self, kind: Kind, revision: &str, generated: &Path) {
        let output = Command::new(packaging("build"))
            .arg(kind.as_str())
            .args(["--binary", BINARY, "--revision", revision, "--pages"])
            .arg(generated)
            .arg("--output")
            .arg(self.directory().join(revision))
            .output()
            .expect("run packaging/build");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "packaging/build {kind:?}: {said}");
    }

    /// Where they are.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn path(&self, kind: Kind, revision: &str) -> PathBuf {
        let files = fs::read_dir(self.directory().join(revision)).unwrap();
        let is_it = |path: &PathBuf| path.extension().is_some_and(|it| it == kind.as_str());
        files
            .map(|file| file.unwrap().path())
            .find(is_it)
            .expect("a package")
    }
}
