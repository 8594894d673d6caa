//! The runs of the hooks, read from what they have written, and what must be true of them on one node.

/// One run of a hook, as it has told itself.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Run {
    pub(crate) action: String,
    role: String,
    epoch: u64,
    job: String,
    /// Seconds since the machine began.
    begun: f64,
    ended: f64,
}

/// The runs that the hooks' lines tell of: each began after the one before had ended, starts and stops take turns,
/// each serves its role, and each has an epoch of its own.
pub(crate) fn runs_of(hooks: &str) -> Result<Vec<Run>, String> {
    let lines: Vec<Vec<&str>> = hooks
        .lines()
        .map(|line| line.split(' ').collect())
        .collect();
    let mut runs: Vec<Run> = Vec::new();
    for pair in lines.chunks(2) {
        let [first, second] = pair else {
            return Err("a hook has not ended".into());
        };
        let (&["begin", action, role, epoch, job, from], &["end", .., to]) =
            (first.as_slice(), second.as_slice())
        else {
            return Err(format!("two hooks overlap: {first:?}, {second:?}"));
        };
        if first[1..5] != second[1..5] {
            return Err(format!("two hooks overlap: {first:?}, {second:?}"));
        }
        let time = |text: &str| {
            text.parse::<f64>()
                .map_err(|error| format!("{text}: {error}"))
        };
        let run = Run {
            action: action.into(),
            role: role.into(),
            epoch: epoch.parse().map_err(|error| format!("{epoch}: {error}"))?,
            job: job.into(),
            begun: time(from)?,
            ended: time(to)?,
        };
        let serves = match action {
            "start" => "MASTER",
            _ => "BACKUP",
        };
        if run.role != serves {
            return Err(format!("{run:?} serves another role"));
        }
        if let Some(before) = runs.last() {
            if before.action == run.action {
                return Err(format!("twice in a row: {before:?}, {run:?}"));
            }
            if before.ended > run.begun || run.begun > run.ended {
                return Err(format!("out of order: {before:?}, {run:?}"));
            }
            // No run between them was for nothing, and no transition was passed over.
            if before.epoch + 1 != run.epoch || before.job == run.job {
                return Err(format!("not the next transition: {before:?}, {run:?}"));
            }
        }
        runs.push(run);
    }
    Ok(runs)
}

#[test]
fn runs_that_overlap_or_repeat_are_found() {
    let line = |step: &str, action: &str, epoch: u64, at: f64| {
        let role = if action == "start" {
            "MASTER"
        } else {
            "BACKUP"
        };
        format!("{step} {action} {role} {epoch} job-{epoch} {at}\n")
    };
    let run = |action: &str, epoch, at| {
        line("begin", action, epoch, at) + &line("end", action, epoch, at + 0.1)
    };
    let good = run("start", 2, 1.0) + &run("stop", 3, 2.0);
    assert_eq!(runs_of(&good).unwrap().len(), 2);
    for (bad, fault) in [
        (
            run("start", 2, 1.0) + &run("start", 3, 2.0),
            "twice in a row",
        ),
        (run("start", 2, 1.0) + &run("stop", 4, 2.0), "not the next"),
        (run("start", 2, 1.0) + &run("stop", 3, 1.05), "out of order"),
        (
            run("start", 2, 1.0) + &line("begin", "stop", 3, 2.0),
            "not ended",
        ),
        (format!("overlap\n{good}"), "overlap"),
        (
            line("begin", "start", 2, 1.0) + &run("stop", 3, 1.01) + &line("end", "start", 2, 1.1),
            "overlap",
        ),
        (
            run("start", 2, 1.0).replace("MASTER", "BACKUP"),
            "another role",
        ),
    ] {
        let said = runs_of(&bad).unwrap_err();
        assert!(said.contains(fault), "{said}");
    }
}
