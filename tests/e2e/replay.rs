//! Record and replay: the cassettes of our plugins, and runs that depend on everything a host decides.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::cli::{Cmd, Finished, NOT_FOUND, RUN_FAILED, Tidegate, tidegate};
use crate::support::plugins;
use crate::support::root;
use crate::support::server::{Gate, Reply, Server};

/// Largest cassette in the repository.
const CASSETTE_BYTES_MAX: u64 = 50_000;

#[test]
fn the_cassettes_of_our_plugins() {
    for plugin in fs::read_dir(root().join("plugins")).unwrap() {
        let plugin = plugin.unwrap().path();
        let folder = plugin.strip_prefix(root()).unwrap().to_str().unwrap();
        let component = plugins::component(folder);
        // Neither a network nor a data directory: it would be made where this says.
        let nowhere = TempDir::new().unwrap();
        let data = nowhere.path().join("data");
        let tested = tidegate("test --logs --json --plugin")
            .arg(component)
            .arg(&plugin)
            .env("TIDEGATE_DATA", &data)
            .ok();
        assert!(!tested.lines().is_empty());
        for report in tested.lines() {
            assert_eq!(report["equal"], true, "{report}");
            let cassette = report["cassette"].as_str().unwrap();
            let bytes = fs::metadata(cassette).unwrap().len();
            assert!(bytes < CASSETTE_BYTES_MAX, "{cassette} has {bytes} bytes");
        }
        assert!(!data.exists());
    }
}

/// `tests/plugins/chance` and a server for it, which answers `a` to `g` when the plugin has gone on
/// after `h`, their second requests when all of these are there, and what is held when the gate opens.
struct Chance {
    tidegate: Tidegate,
    server: Server,
    held: Gate,
    folder: TempDir,
}

impl Chance {
    fn new() -> Self {
        let (held, last, all) = (Gate::default(), Gate::default(), Gate::default());
        let after = AtomicUsize::new(0);
        let gate = held.clone();
        let server = Server::start(move |request| match request.path() {
            "/held" => Reply::status(204).behind(&gate),
            "/slow/h" => Reply::status(204),
            path if path.starts_with("/slow/") => Reply::status(204).behind(&last),
            path => {
                let reply = Reply::json(&json!({ "name": path.rsplit('/').next() }));
                if path == "/after/h" {
                    last.open();
                    return reply;
                }
                if after.fetch_add(1, Ordering::SeqCst) % 7 == 6 {
                    all.open();
                }
                reply.behind(&all)
            }
        });
        let tidegate = Tidegate::new();
        let grants = "--allow-private 127.0.0.0/8 --allow-metadata-write --yes";
        tidegate
            .cmd("deploy")
            .arg(plugins::chance())
            .words(grants)
            .words(&format!("--allow-host {}", server.origin()))
            .ok();
        tidegate.connect("chance", "acme", &server.origin());
        Self {
            tidegate,
            server,
            held,
            folder: TempDir::new().unwrap(),
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Record a run of the sync `everything`.
    fn record(&self, name: &str) -> PathBuf {
        let file = self.file(name);
        let run = self.tidegate.cmd("run chance/everything -c acme --record");
        run.arg(&file).ok();
        file
    }
}

impl Drop for Chance {
    fn drop(&mut self) {
        // The server's threads end.
        self.held.open();
    }
}

/// `tidegate replay` with the component of `tests/plugins/chance`.
fn replay(file: &Path) -> Cmd {
    tidegate("replay --logs --plugin")
        .arg(plugins::chance())
        .arg(file)
}

/// The bodies of the records that a cassette's commits save, by id.
fn saved(file: &Path) -> Value {
    let mut saved = json!({});
    for line in lines(file) {
        for page in line["call"][1]["records.commit"]["pages"]
            .as_array()
            .into_iter()
            .flatten()
        {
            for record in page["save"].as_array().unwrap() {
                let body = serde_json::from_str(record["body"].as_str().unwrap()).unwrap();
                saved[record["id"].as_str().unwrap()] = body;
            }
        }
    }
    saved
}

fn lines(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_run_that_depends_on_everything_is_the_same_again_byte_for_byte() {
    let chance = Chance::new();
    let (first, second) = (chance.record("first"), chance.record("second"));
    let (a, b) = (saved(&first), saved(&second));
    // By itself it never does the same twice.
    assert_ne!(a["order"]["numbers"], b["order"]["numbers"]);
    assert_ne!(a["time"]["now"], b["time"]["now"]);
    assert_eq!(a["version"]["before"], json!([null, null]));
    assert_eq!(b["version"]["before"][0], a["order"]);
    assert_eq!(a["order"]["arrived"].as_array().unwrap().len(), 8);
    assert_eq!(a["order"]["arrived"][0], "h");
    assert_eq!(a["time"]["slept"], true);

    let requests = chance.server.requests().len();
    for recorded in [&first, &second] {
        for round in 0..3 {
            let again = chance.file(&format!("again-{round}"));
            let report = replay(recorded)
                .arg("--json")
                .arg("--record")
                .arg(&again)
                .ok()
                .json();
            assert_eq!(report["equal"], true, "{report}");
            assert_eq!(report["differences"], json!([]));
            assert_eq!(
                (report["commits"].as_u64(), report["records"].as_u64()),
                (Some(1), Some(3))
            );
            let whole =
                fs::read_to_string(&again).unwrap() == fs::read_to_string(recorded).unwrap();
            assert!(whole, "{} is not {}", again.display(), recorded.display());
        }
    }
    assert_eq!(
        chance.server.requests().len(),
        requests,
        "a replay asked the server"
    );

    // The recorded component, from the data directory.
    let replayed = chance.tidegate.cmd("replay").arg(&first).ok();
    assert!(
        replayed
            .stdout
            .starts_with("equal: 1 commit with 3 records"),
        "{}",
        replayed.stdout
    );
    let nowhere = chance.file("nowhere");
    let refused = tidegate("replay")
        .arg(&first)
        .env("TIDEGATE_DATA", &nowhere);
    refused.refused(NOT_FOUND, &["recorded component", "--plugin FILE.wasm"]);
    assert!(!nowhere.exists());
}

#[test]
fn answers_come_in_the_recorded_order() {
    let chance = Chance::new();
    let file = chance.record("cassette");
    let arrived = saved(&file)["order"]["arrived"].clone();
    let answered: Vec<Value> = {
        let lines = lines(&file);
        let name_of = |call: &Value| {
            let call = lines.iter().find(|line| line["call"][0] == *call).unwrap();
            let url = call["call"][1]["http.send"]["url"].as_str()?;
            Some(json!(url.strip_prefix("/after/")?))
        };
        let answers = lines.iter().filter(|line| !line["answer"].is_null());
        answers
            .filter_map(|line| name_of(&line["answer"][0]))
            .collect()
    };
    assert_eq!(json!(answered), arrived);
    // The dropped request has no answer, and a replay doesn't wait for one.
    let calls = lines(&file)
        .iter()
        .filter(|line| !line["call"].is_null())
        .count();
    let answers = lines(&file)
        .iter()
        .filter(|line| !line["answer"].is_null())
        .count();
    assert_eq!(calls, answers + 1);

    // Another order of the same answers is another run.
    let mut text: Vec<String> = fs::read_to_string(&file)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect();
    let after: Vec<usize> = (0..text.len())
        .filter(|line| text[*line].contains("\"answer\"") && text[*line].contains("/after/"))
        .collect();
    // All but `h` are answered only when the last of them was asked for, so any two may change places.
    let others: Vec<usize> = (0..answered.len())
        .filter(|index| answered[*index] != "h")
        .collect();
    text.swap(after[others[0]], after[others[1]]);
    let swapped = chance.file("swapped");
    fs::write(&swapped, text.join("\n") + "\n").unwrap();
    let differs = replay(&swapped).finish();
    differs.expect_code(RUN_FAILED);
    let told = format!("record \"order\"\n  | /arrived/{}: ", others[0]);
    assert!(differs.stdout.contains(&told), "{}", differs.stdout);
}

#[test]
fn a_plugin_that_does_otherwise_is_told_by_record_and_path() {
    let chance = Chance::new();
    let file = chance.record("cassette");
    let changed = chance.file("changed.wasm");
    fs::write(
        &changed,
        plugins::patched(&plugins::chance(), "version-1", "version-2"),
    )
    .unwrap();
    let differs = tidegate("replay --plugin")
        .arg(&changed)
        .arg(&file)
        .finish();
    differs.expect_refusal(RUN_FAILED, &["the replay differs from the recording"]);
    let told =
        "commit 1, model Thing, record \"version\"\n  | /is: \"version-1\" → \"version-2\"\n";
    assert!(differs.stdout.starts_with(told), "{}", differs.stdout);

    // The same as a plugin's test, and then taken for right.
    let cassettes = chance.file("plugin/cassettes");
    fs::create_dir_all(&cassettes).unwrap();
    fs::copy(&file, cassettes.join("a.jsonl")).unwrap();
    let test = |more: &str| {
        tidegate("test --plugin")
            .arg(&changed)
            .arg(chance.file("plugin"))
            .words(more)
    };
    let failed = test("").refused(RUN_FAILED, &["1 different", "--bless"]);
    assert!(
        failed.stdout.contains("differs a.jsonl: 1 commit"),
        "{}",
        failed.stdout
    );
    assert!(
        failed
            .stdout
            .contains("    commit 1, model Thing, record \"version\"\n  | /is: "),
        "{}",
        failed.stdout
    );
    let blessed = test("--bless").ok();
    assert!(
        blessed.stdout.contains("blessed a.jsonl"),
        "{}",
        blessed.stdout
    );
    assert!(test("").ok().stdout.contains("equal   a.jsonl"));
    assert_eq!(
        saved(&cassettes.join("a.jsonl"))["version"]["is"],
        "version-2"
    );

    let empty = TempDir::new().unwrap();
    let none = tidegate("test --plugin").arg(&changed).arg(empty.path());
    none.refused(NOT_FOUND, &["no cassettes", "--record"]);
    let other = tidegate("replay --plugin").arg(plugins::hello()).arg(&file);
    other.refused(NOT_FOUND, &["hello 0.1.0 has no sync \"everything\""]);
}

#[test]
fn a_request_that_was_not_recorded_is_named_with_the_nearest() {
    let chance = Chance::new();
    let file = chance.record("cassette");
    let changed = chance.file("changed.wasm");
    fs::write(
        &changed,
        plugins::patched(&plugins::chance(), "/after/", "/later/"),
    )
    .unwrap();
    let requests = chance.server.requests().len();
    let differs = tidegate("replay --plugin")
        .arg(&changed)
        .arg(&file)
        .finish();
    differs.expect_code(RUN_FAILED);
    for part in [
        "a request\n",
        "GET /later/h is not in the cassette; the nearest recorded is GET /after/h",
    ] {
        assert!(differs.stdout.contains(part), "{}", differs.stdout);
    }
    assert_eq!(chance.server.requests().len(), requests);
    // There is nothing to bless in it.
    fs::create_dir(chance.file("cassettes")).unwrap();
    let kept = chance.file("cassettes/a.jsonl");
    fs::copy(&file, &kept).unwrap();
    let test = tidegate("test --bless --plugin")
        .arg(&changed)
        .arg(chance.folder.path());
    test.refused(RUN_FAILED, &["0 blessed, 1 different"]);
    assert_eq!(fs::read(&kept).unwrap(), fs::read(&file).unwrap());
}

/// The run, cancelled while it waits.
fn cancelled(chance: &Chance, file: &Path) -> Finished {
    let run = chance
        .tidegate
        .cmd("run chance/held -c acme --json --record");
    let running = run.arg(file).start();
    chance.held.arrived();
    running.signal(rustix::process::Signal::TERM);
    running.finish()
}

#[test]
fn a_run_that_was_cut_is_replayed_to_where_it_was_cut() {
    let chance = Chance::new();
    let file = chance.file("cut");
    let run = cancelled(&chance, &file);
    run.expect_code(RUN_FAILED);
    assert_eq!(run.json()["outcome"], "cancelled");
    let report = replay(&file).arg("--json").ok().json();
    assert_eq!(
        (&report["equal"], &report["commits"]),
        (&json!(true), &json!(1)),
        "{report}"
    );
    // What it did before counts.
    let text = fs::read_to_string(&file)
        .unwrap()
        .replace("\\\"id\\\":\\\"before", "\\\"id\\\":\\\"otherwise");
    fs::write(&file, text).unwrap();
    let differs = replay(&file).finish();
    differs.expect_code(RUN_FAILED);
    assert!(
        differs
            .stdout
            .contains("commit 1, model Thing, record \"before\""),
        "{}",
        differs.stdout
    );
}
