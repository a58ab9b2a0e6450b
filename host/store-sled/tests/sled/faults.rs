//! A full disk: commits fail clearly, nothing hangs, nothing that was acknowledged is lost.
//!
//! The disk is filled in two ways: a limit on the size of files, which anybody may set, and a small
//! tmpfs where the test may mount one. What other damage does is in `directory.rs` and `check/`.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use tidegate_engine::record::{Page, Save};
use tidegate_engine::run::Target;
use tidegate_engine::store::parts::*;
use tidegate_engine::upkeep::Scope;
use tidegate_engine::{StoreError, Timestamp};

use crate::common::*;

/// Longer than anything here takes, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bodies that LZ4 can't make shorter.
fn page_of(number: u64) -> Page {
    let mut state = number + 1;
    let mut noise = || {
        let chars = std::iter::repeat_with(|| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            char::from(b'0' + (state >> 58) as u8 % 64)
        });
        let text: String = chars.filter(|c| *c != '\\').take(2000).collect();
        format!("{{\"text\":\"{text}\"}}")
    };
    let save = (0..50).map(|n| Save {
        id: format!("{number}-{n}"),
        body: noise(),
        hash: None,
    });
    Page {
        save: save.collect(),
        delete: vec![],
        ..Page::of(name("Contact"))
    }
}

/// Commit until the disk is full, then try what else there is. Ends by itself.
async fn fill(root: &Path) {
    let store = open(root);
    set_up(&store).await;
    let (run, fence) = start(&store, 1).await;
    let mut number = 0;
    let error = loop {
        number += 1;
        let mut commit = commit(vec![page_of(number)], number);
        commit.checkpoint = Some(number.to_string());
        match store.commit_page(run, fence, commit).await {
            Ok(_) => println!("acked {number}"),
            Err(error) => break error,
        }
        assert!(number < 10_000, "the disk does not get full");
    };
    println!("failed {error}");
    assert!(matches!(error, StoreError::Backend(_)), "{error:?}");
    println!(
        "component {:?}",
        store.put_component(vec![0; 20 << 20]).await.err()
    );
    let contact = model("acme", "Contact");
    let target = Target::Action {
        connection: connection("acme"),
        action: name("create"),
    };
    let action = new_run(2, target);
    let later = [
        store
            .commit_page(run, fence, commit(vec![page_of(0)], 1))
            .await
            .err(),
        store.finish_run(run, fence, end(1)).await.err(),
        store.finish_run_early(run, fence, end(1)).await.err(),
        store.start_run_early(action).await.err(),
        store.prune(&contact, Timestamp(99)).await.err(),
        store
            .drop_scope(&Scope::Integration(name("crm")))
            .await
            .err(),
        store.settle().await.err(),
    ];
    for error in later {
        println!("later {error:?}");
        let said = error.expect("nothing is written any more").to_string();
        assert!(
            said.contains("because a write has failed: the database's files"),
            "{said}"
        );
    }
    // Readers go on with what was flushed, or are told.
    let read = store.read_changes(read(contact)).await;
    println!("read {:?}", read.map(|changes| changes.records.len()));
    println!("closed {:?}", store.close().await);
}

/// Run the child to its end, and return what it printed.
fn output(mut command: Command) -> Vec<String> {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut errors = child.stderr.take().unwrap();
    let (sender, done) = mpsc::channel();
    std::thread::spawn(move || sender.send(lines.map_while(Result::ok).collect::<Vec<_>>()));
    let Ok(lines) = done.recv_timeout(PATIENCE) else {
        child.kill().unwrap();
        child.wait().unwrap();
        panic!("the child hangs on a full disk");
    };
    let mut said = String::new();
    errors.read_to_string(&mut said).unwrap();
    let ended = child.wait().unwrap();
    assert!(
        ended.success() && !said.contains("panicked"),
        "{lines:#?}\n{said}"
    );
    lines
}

/// What was acknowledged is there, and work goes on.
fn check_after(root: &Path, lines: &[String]) {
    let mut latest_first = lines.iter().rev();
    let acked: u64 = latest_first
        .find_map(|line| line.strip_prefix("acked "))
        .expect("commits before the disk was full")
        .parse()
        .unwrap();
    for start in [
        "failed the store failed: the database's files: ",
        "component Some(Backend(",
    ] {
        assert!(
            lines.iter().any(|line| line.starts_with(start)),
            "{start}: {lines:#?}"
        );
    }
    block_on(async {
        let store = open(root);
        let report = store.check().await.unwrap();
        assert_eq!(report.findings, []);
        let checkpoint = store.checkpoint(&sync("acme", "contacts")).await.unwrap();
        let last: u64 = checkpoint.unwrap().parse().unwrap();
        assert!(last >= acked, "{acked} was acknowledged, {last} is stored");
        let changes = store
            .read_changes(tidegate_engine::store::ReadChanges {
                limit: 1_000_000,
                ..read(model("acme", "Contact"))
            })
            .await
            .unwrap();
        let bodies = (1..=last).flat_map(|number| page_of(number).save);
        assert!(
            bodies
                .map(|save| Some(save.body))
                .eq(changes.records.into_iter().map(|r| r.body))
        );
        let why = tidegate_engine::run::Failure::new(
            tidegate_engine::run::FailureClass::Internal,
            tidegate_engine::run::Blame::Host,
            "disk full",
        );
        store.recover_runs(why, Timestamp(9)).await.unwrap();
        let (run, fence) = start(&store, 2).await;
        store
            .commit_page(run, fence, commit(vec![page_of(last + 1)], 9))
            .await
            .unwrap();
        store.finish_run(run, fence, end(9)).await.unwrap();
        store.close().await.unwrap();
    });
}

fn child_root() -> Option<String> {
    std::env::var("TIDEGATE_TEST_DIR").ok()
}

#[test]
fn files_that_may_not_grow() {
    if let Some(root) = child_root() {
        block_on(fill(root.as_ref()));
        return;
    }
    // In blocks of 512 or 1,024 bytes, as the shell has it; at, before and after sled's segments of
    // 512 KiB end.
    for blocks in [3000, 4096, 4100, 5000] {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        let script = format!("ulimit -f {blocks}; trap '' XFSZ; exec \"$0\" \"$@\"");
        command
            .args(["-c", &script])
            .arg(std::env::current_exe().unwrap());
        command.args(["faults::files_that_may_not_grow", "--exact", "--nocapture"]);
        command.env("TIDEGATE_TEST_DIR", dir.path());
        let lines = output(command);
        check_after(dir.path(), &lines);
    }
}

/// A tmpfs that is unmounted when the test ends.
struct Mounted<'a>(&'a Path);

impl<'a> Mounted<'a> {
    fn mount(path: &'a Path, options: &str) -> Option<Self> {
        let mut command = Command::new("mount");
        command
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(path);
        let mounted = command.stderr(Stdio::null()).status();
        mounted
            .is_ok_and(|status| status.success())
            .then_some(Self(path))
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        // Busy for a moment, perhaps: it goes when it is not.
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn a_full_file_system() {
    if let Some(root) = child_root() {
        block_on(fill(root.as_ref()));
        return;
    }
    for size in ["4m", "6200k"] {
        let dir = tempfile::tempdir().unwrap();
        let Some(mounted) = Mounted::mount(dir.path(), &format!("size={size}")) else {
            println!("this user may not mount a tmpfs: only the limit on files was tested");
            return;
        };
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["faults::a_full_file_system", "--exact", "--nocapture"]);
        command.env("TIDEGATE_TEST_DIR", dir.path());
        let lines = output(command);
        assert!(
            lines.iter().any(|line| line.contains("No space left")),
            "{lines:#?}"
        );
        // Still full: an error that says so, or it opens.
        if let Err(error) = tidegate_store_sled::SledStore::open(dir.path(), Default::default()) {
            println!("{error}");
        }
        let mut command = Command::new("mount");
        command.args(["-o", "remount,size=64m"]).arg(dir.path());
        assert!(command.status().unwrap().success());
        check_after(dir.path(), &lines);
        drop(mounted);
    }
}
