//! What the process of an action is beyond a child of the daemon: another user, other limits, another environment.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

use crate::netns::{self, ip};
use crate::world::{VIP, World};

/// A user and a group that every system has, and what their numbers are.
struct Other {
    user: nix::unistd::User,
    group: nix::unistd::Group,
}

impl Other {
    fn new() -> Self {
        Self {
            user: nix::unistd::User::from_name("daemon").unwrap().unwrap(),
            group: nix::unistd::Group::from_name("adm").unwrap().unwrap(),
        }
    }
}

/// A world whose directory others can go through.
pub(crate) fn world() -> World {
    let world = World::new();
    fs::set_permissions(world.here(), fs::Permissions::from_mode(0o755)).unwrap();
    world
}

pub(crate) fn add_vip() {
    ip(&format!("addr add {VIP}/32 dev lo"));
}

fn why(world: &World) -> String {
    world.instance("default")["why"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// Writes down what the process is. It has to be able to write into its directory.
const TELL: &str = "exec > tale.new\nid -u\nid -g\nid -G\numask\nnice\nulimit -Sn\nulimit -Hn\nulimit -c\npwd\n\
                    tr '\\0' '\\n' < /proc/$$/environ\nwhile read -r what bits; do case $what in SigBlk:|SigIgn:) echo $what $bits;; esac; done < /proc/$$/status\n\
                    cut -d' ' -f5 /proc/$$/stat\necho $$\nmv tale.new tale";

#[test]
fn a_process_is_what_the_file_says() {
    netns::run("process::a_process_is_what_the_file_says", || {
        let other = Other::new();
        let (uid, gid) = (other.user.uid.as_raw(), other.group.gid.as_raw());
        let world = world();
        world.script("start.sh", TELL);
        fs::create_dir(world.path("work")).unwrap();
        chown(world.path("work"), Some(uid), Some(gid)).unwrap();
        world.config(&format!(
            "keepstart:\n  vip: {VIP}\n  nic: lo\n  stop: 'true'\n  user: daemon\n  group: adm\n  nice: 3\n  \
             limits: {{nofile: 200:300, core: infinity}}\n  environment: {{A: instance, B: instance, HOME: /nowhere}}\n  \
             start:\n    run: HERE/start.sh\n    working-directory: HERE/work\n    umask: 0027\n    nice: 5\n    \
             limits: {{core: 0}}\n    environment-from: none\n    environment: {{A: action, LD_LIBRARY_PATH: /nowhere}}\n"
        ));
        add_vip();
        let daemon = world.daemon_with(|command| {
            command.env("INHERITED", "yes");
        });
        world.until("the tale", || world.exists("work/tale"));
        let tale = world.lines("work/tale");
        let work = world.path("work").display().to_string();
        assert_eq!(
            tale[..9],
            [
                &uid.to_string(),
                &gid.to_string(),
                &tale[2],
                "0027",
                "5",
                "200",
                "300",
                "0",
                &work
            ]
        );
        let groups: Vec<_> = tale[2].split(' ').collect();
        assert!(
            groups.contains(&gid.to_string().as_str()) && !groups.contains(&"0"),
            "{groups:?}"
        );
        let has = |line: &str| tale.iter().any(|one| one == line);
        for line in [
            "A=action",
            "B=instance",
            "HOME=/nowhere",
            "USER=daemon",
            "LOGNAME=daemon",
            "LD_LIBRARY_PATH=/nowhere",
            "KEEPSTART_INSTANCE=default",
            "KEEPSTART_ACTION=start",
            "SigBlk: 0000000000000000",
            // The C library keeps these two for itself, and ignores them in all that it spawns.
            "SigIgn: 0000000180000000",
        ] {
            assert!(has(line), "{line} is not in {tale:#?}");
        }
        assert!(
            !tale.iter().any(|one| one.starts_with("INHERITED=")),
            "{tale:#?}"
        );
        let (group, pid) = (&tale[tale.len() - 2], &tale[tale.len() - 1]);
        assert_eq!(group, pid, "a group of its own");
        let mode = fs::metadata(world.path("work/tale"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o640);
        daemon.end();
    });
}

#[test]
fn what_cannot_be_become_is_said_and_tried_again() {
    netns::run(
        "process::what_cannot_be_become_is_said_and_tried_again",
        || {
            let world = world();
            let config = |start: &str| {
                world.config(&format!(
                    "keepstart:\n  vip: {VIP}\n  nic: lo\n  stop: 'true'\n  start: {start}\n  \
                 retry: {{first: 50ms, longest: 50ms}}\n"
                ));
            };
            // Nobody but root may even look at it.
            world.script("start.sh", "touch HERE/started");
            fs::set_permissions(world.path("start.sh"), fs::Permissions::from_mode(0o700)).unwrap();
            // It has no first line, so the shell reads it.
            world.script("plain", "");
            fs::write(
                world.path("plain"),
                "touch HERE/plain-ran".replace("HERE", &world.here().display().to_string()),
            )
            .unwrap();
            // A list of words is for the kernel alone, which does not know such a file.
            world.script("strange", "");
            fs::write(world.path("strange"), "#!/no/such/interpreter\n").unwrap();
            config("{run: HERE/start.sh, user: daemon}");
            add_vip();
            let daemon = world.daemon();
            let shows = |what: &str| world.until(what, || why(&world).contains(what));
            shows("/start.sh: Permission denied");
            assert!(!world.exists("started"));
            for (start, what) in [
                (
                    "{run: HERE/start.sh, umask: 022, working-directory: HERE/missing}",
                    "/start.sh in HERE/missing: No such file",
                ),
                (
                    "{run: HERE/missing.sh, umask: 022}",
                    "/missing.sh: No such file",
                ),
                ("{run: [HERE/plain]}", "/plain: Exec format error"),
                ("{run: [HERE/plain], nice: 1}", "/plain: Exec format error"),
                (
                    "{run: HERE/strange, umask: 022}",
                    "/strange: its interpreter /no/such/interpreter: No such file",
                ),
            ] {
                config(start);
                assert_eq!(world.keepstart(&["reload"]).code, 0);
                shows(&what.replace("HERE", &world.here().display().to_string()));
            }
            config("{run: HERE/plain, nice: 1}");
            assert_eq!(world.keepstart(&["reload"]).code, 0);
            world.settles("default", "MASTER", "running");
            assert!(world.exists("plain-ran"));
            daemon.end();
        },
    );
}
