//! Data directories that can't be used, and what a process that was killed leaves behind.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::support::cli::{Cmd, DATA_DIRECTORY, Tidegate, tidegate};
use crate::support::crm::{MODEL, Source, contacts, reply};
use crate::support::plugins;
use crate::support::server::{Gate, Server};

/// A server whose second page waits at the gate.
fn held(gate: &Gate) -> Server {
    let gate = gate.clone();
    Server::start(move |request| match request.query("cursor") {
        None => reply(&contacts(0..3, 1), Some("two")),
        Some(_) => reply(&contacts(3..6, 1), None).behind(&gate),
    })
}

/// One command of each kind that opens the data directory.
const COMMANDS: &[&str] = &[
    "integrations",
    "connections list crm",
    "connections add crm other --base-url http://127.0.0.1:9",
    "run crm/contacts --connection acme",
    "records crm Contact --connection acme",
    "runs",
];

#[test]
fn in_use_by_another_process() {
    let gate = Gate::default();
    let server = held(&gate);
    let tidegate = Tidegate::new();
    Source::DemoCrm.set_up(&tidegate, &server.origin());

    let running = tidegate
        .cmd("run crm/contacts --connection acme --json")
        .start();
    gate.arrived();
    for command in COMMANDS {
        tidegate
            .cmd(command)
            .refused(DATA_DIRECTORY, &["in use by another"]);
    }
    tidegate
        .cmd("deploy --yes")
        .arg(plugins::demo_crm())
        .refused(DATA_DIRECTORY, &["in use by another"]);

    // The run that holds it is not disturbed, and then it is free.
    gate.open();
    let run = running.finish().json();
    assert_eq!(run["outcome"], "success", "{run}");
    assert_eq!(tidegate.feed(MODEL, "acme", None).len(), 6);
}

#[test]
fn killed_in_the_middle() {
    let gate = Gate::default();
    let server = held(&gate);
    let tidegate = Tidegate::new();
    Source::DemoCrm.set_up(&tidegate, &server.origin());
    let running = tidegate.cmd("run crm/contacts --connection acme").start();
    gate.arrived();
    running.kill();
    gate.open();

    // The page that was committed is there; the run says that its process ended.
    assert_eq!(tidegate.feed(MODEL, "acme", None).len(), 3);
    let run = tidegate.runs().pop().unwrap();
    assert_eq!(run["failure"]["class"], "internal", "{run}");
    let why = run["failure"]["message"].as_str().unwrap();
    assert!(why.contains("the process that ran it ended"), "{why}");

    let asked = server.requests().len();
    tidegate.sync_ok("crm/contacts", "acme");
    assert_eq!(tidegate.feed(MODEL, "acme", None).len(), 6);
    let again: Vec<_> = server.requests()[asked..]
        .iter()
        .map(|request| request.query("cursor"))
        .collect();
    assert_eq!(again, [Some("two".to_owned())]);
}

#[test]
fn interrupted_by_a_signal() {
    let gate = Gate::default();
    let server = held(&gate);
    let tidegate = Tidegate::new();
    Source::DemoCrm.set_up(&tidegate, &server.origin());
    let running = tidegate
        .cmd("run crm/contacts --connection acme --json")
        .start();
    gate.arrived();
    running.signal(rustix::process::Signal::TERM);
    let run = running.finish().json();
    gate.open();
    assert_eq!(run["outcome"], "cancelled", "{run}");
    assert_eq!(tidegate.runs(), [run]);
    tidegate.sync_ok("crm/contacts", "acme");
    assert_eq!(tidegate.feed(MODEL, "acme", None).len(), 6);
}

#[test]
fn read_only() {
    let server = Server::start(|_| reply(&contacts(0..3, 1), None));
    let tidegate = Tidegate::new();
    Source::DemoCrm.set_up(&tidegate, &server.origin());
    tidegate.sync_ok("crm/contacts", "acme");
    let stored = tidegate.feed(MODEL, "acme", None);

    let data = tidegate.data();
    set_writable(&data, false);
    for command in COMMANDS {
        unprivileged(&data, command)
            .refused(DATA_DIRECTORY, &["can't write to the data directory"]);
    }
    set_writable(&data, true);
    assert_eq!(tidegate.feed(MODEL, "acme", None), stored);

    // One that can't even be made.
    let folder = tempfile::TempDir::new().unwrap();
    set_writable(folder.path(), false);
    let new = folder.path().join("new");
    unprivileged(&new, "runs").refused(DATA_DIRECTORY, &["can't write to the data directory"]);
    set_writable(folder.path(), true);
}

/// Every file and folder below, and the folder itself.
fn set_writable(path: &Path, writable: bool) {
    let folder = path.is_dir();
    let mode = match (folder, writable) {
        (true, true) => 0o755,
        (true, false) => 0o555,
        (false, true) => 0o644,
        (false, false) => 0o444,
    };
    let set = || fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    if writable {
        set();
    }
    if folder {
        for entry in fs::read_dir(path).unwrap() {
            set_writable(&entry.unwrap().path(), writable);
        }
    }
    if !writable {
        set();
    }
}

/// The binary as somebody whom file permissions bind. They don't bind root, so there the one
/// capability that makes it so is dropped.
fn unprivileged(data: &Path, words: &str) -> Cmd {
    let binary = env!("CARGO_BIN_EXE_tidegate");
    let command = if rustix::process::geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command.args([
            "--inh-caps=-dac_override",
            "--bounding-set=-dac_override",
            binary,
        ]);
        command
    } else {
        Command::new(binary)
    };
    Cmd::new(command).words(words).arg("--data").arg(data)
}

#[test]
fn of_another_format() {
    let server = Server::start(|_| reply(&contacts(0..3, 1), None));
    let tidegate = Tidegate::new();
    Source::DemoCrm.set_up(&tidegate, &server.origin());
    tidegate.sync_ok("crm/contacts", "acme");
    let stored = tidegate.feed(MODEL, "acme", None);

    // As docs/store-format.md describes it: one line that ends with the number.
    let file = tidegate.data().join("format");
    let ours = fs::read_to_string(&file).unwrap();
    let (line, _) = ours.trim().rsplit_once(' ').unwrap();
    fs::write(&file, format!("{line} 999\n")).unwrap();
    let before = tree(&tidegate.data());
    for command in COMMANDS {
        tidegate
            .cmd(command)
            .refused(DATA_DIRECTORY, &["format 999,", "format 1 only"]);
    }
    assert_eq!(
        tree(&tidegate.data()),
        before,
        "a directory of another format was touched"
    );

    fs::write(&file, ours).unwrap();
    assert_eq!(tidegate.feed(MODEL, "acme", None), stored);
}

/// Every file below with its content.
fn tree(folder: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(tree(&path));
        } else {
            let bytes = fs::read(&path).unwrap();
            files.push((path, bytes));
        }
    }
    files.sort();
    files
}

#[test]
fn somebody_elses_folder() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("thesis.txt");
    fs::write(&file, "years of work").unwrap();
    let runs = |path: &Path| tidegate("runs").arg("--data").arg(path);
    runs(folder.path()).refused(DATA_DIRECTORY, &["not a data directory"]);
    runs(&file).refused(DATA_DIRECTORY, &["data directory", "thesis.txt"]);
    assert_eq!(tree(folder.path()), [(file, b"years of work".to_vec())]);
}

/// Everything below, and the folder itself, that others than the owner may do something with.
fn open_to_others(folder: &Path) -> Vec<String> {
    let mut open = Vec::new();
    let mode = fs::symlink_metadata(folder).unwrap().permissions().mode();
    if mode & 0o077 != 0 {
        open.push(format!("{} {:03o}", folder.display(), mode & 0o777));
    }
    if folder.is_dir() {
        for entry in fs::read_dir(folder).unwrap() {
            open.extend(open_to_others(&entry.unwrap().path()));
        }
    }
    open
}

#[test]
fn for_its_owner_alone_whatever_the_umask() {
    let server = Server::start(|_| reply(&contacts(0..3, 1), None));
    let tidegate = Tidegate::new();
    Source::DemoCrm.set_up(&tidegate, &server.origin());
    let out = tempfile::TempDir::new().unwrap();
    let place = |name: &str| out.path().join(name);
    let new = place("data");
    // With credentials, a cache, a cassette, a server's files, an export, a rewritten database.
    let run = |cmd: Cmd| cmd.env("TIDEGATE_DATA", &new).with_open_umask();
    let deploy = tidegate.cmd("deploy").arg(plugins::demo_crm());
    let grants = format!(
        "--allow-host {} --allow-private 127.0.0.0/8",
        server.origin()
    );
    run(deploy.words(&format!("--as crm --yes {grants}"))).ok();
    let add = format!("connections add crm acme --base-url {}", server.origin());
    let add = tidegate.cmd(&format!("{add} --secret token=env:A_TOKEN"));
    run(add.env("A_TOKEN", "hush-hush")).ok();
    run(tidegate.cmd("cassettes on crm acme")).ok();
    run(tidegate.cmd("run crm/contacts -c acme")).ok();
    let export = tidegate.cmd("data export -o").arg(place("all.jsonl"));
    run(export).ok();
    let kept = run(tidegate.cmd("cassettes list --json")).ok().json();
    let export = tidegate
        .cmd("cassettes export")
        .arg(kept["run"].as_str().unwrap());
    run(export.arg(place("run.cassette"))).ok();
    run(tidegate.cmd("data compact")).ok();
    let serve = run(tidegate.cmd("serve --listen 127.0.0.1:0")).start();
    serve.wait_for_url();
    for made in [&new, &place("all.jsonl"), &place("run.cassette")] {
        assert!(
            open_to_others(made).is_empty(),
            "{:?}",
            open_to_others(made)
        );
    }
    let names = [
        "cache",
        "cassettes",
        "components",
        "db",
        "format",
        "lock",
        "master.key",
        "server.json",
        "server.sock",
    ];
    let found = names.map(|name| (name, new.join(name).exists()));
    assert_eq!(found, names.map(|name| (name, true)));
}

#[test]
fn one_that_is_open_to_others_is_closed() {
    let tidegate = Tidegate::new();
    tidegate.cmd("integrations").ok();
    let data = tidegate.data();
    set_writable(&data, true);
    assert!(!open_to_others(&data).is_empty());
    let told = tidegate.cmd("integrations").ok().stderr;
    assert!(
        told.contains("open to other users of this machine (mode 755)"),
        "{told}"
    );
    assert_eq!(open_to_others(&data), Vec::<String>::new());
    assert_eq!(tidegate.cmd("integrations").ok().stderr, "");
}

#[test]
fn another_user_can_t_lock_it() {
    // Only root can be somebody else.
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let tidegate = Tidegate::new();
    let parent = tidegate.data();
    let parent = parent.parent().unwrap();
    fs::set_permissions(parent, fs::Permissions::from_mode(0o755)).unwrap();
    tidegate.cmd("integrations").with_open_umask().ok();
    let mut lock = Command::new("setpriv");
    lock.args(["--reuid=65534", "--clear-groups", "flock", "--nonblock"]);
    let locked = Cmd::new(lock).arg(tidegate.data().join("lock")).arg("true");
    let refused = locked.finish();
    assert_ne!(refused.code, Some(0), "{}", refused.stderr);
    tidegate.cmd("integrations").ok();
}
