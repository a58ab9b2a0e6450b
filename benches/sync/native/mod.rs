//! The floor: a loop written by hand for this one job, with Tidegate's semantics.
//!
//! Per page one durable transaction of heads (hash and sequence by id), bodies, change feed and
//! checkpoint; a body counts as changed when its canonical form has another hash. A full pull
//! deletes what it did not see. On redb, and naively on sled.

mod redb;
mod sled;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::inside::own_cpu;
use crate::measure::{self, Measured};
use crate::source::Source;
use crate::{Pull, System, size_of};

pub(crate) type Failure = Box<dyn std::error::Error>;

/// What the child process is asked to do, in environment variables.
const TASK: &str = "TIDEGATE_BENCH_NATIVE";

/// How far a store is, and how far it has read the source.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct State {
    pub(crate) sequence: u64,
    pub(crate) since: u64,
}

/// A record as it came: id, canonical text and the first half of its hash.
pub(crate) struct Item {
    pub(crate) id: String,
    pub(crate) text: String,
    pub(crate) hash: [u8; 16],
}

/// What happened to a record.
pub(crate) const ADDED: u8 = 0;
pub(crate) const UPDATED: u8 = 1;
pub(crate) const DELETED: u8 = 2;

/// A store that the loop writes to.
pub(crate) trait Store {
    fn state(&self) -> Result<State, Failure>;
    /// Store what changed of a page, durably, and the state that `state` becomes.
    fn save(
        &mut self,
        page: &mut dyn Iterator<Item = Result<Item, Failure>>,
        state: &mut State,
    ) -> Result<(), Failure>;
    /// Delete everything that is not in `seen`.
    fn delete_others(&mut self, seen: &HashSet<u128>, state: &mut State) -> Result<(), Failure>;
    /// Records that are not deleted.
    fn count(&self) -> Result<usize, Failure>;
}

pub(crate) struct Native {
    kind: &'static str,
    path: PathBuf,
    url: String,
    page: usize,
}

impl Native {
    /// `kind` is `native-redb` or `native-sled`.
    pub(crate) fn new(kind: &'static str, directory: &Path, source: &Source, page: usize) -> Self {
        Self {
            kind,
            path: directory.join(kind),
            url: format!("http://{}", source.address),
            page,
        }
    }

    fn command(&self, full: bool, repeat: usize) -> Command {
        let program = std::env::current_exe().expect("the path of this program");
        let task = format!(
            "{}\n{}\n{}\n{}\n{full}\n{repeat}",
            self.kind,
            self.path.display(),
            self.url,
            self.page
        );
        let mut command = Command::new(program);
        command.env(TASK, task);
        command
    }
}

impl System for Native {
    fn name(&self) -> &'static str {
        self.kind
    }

    fn sync(&self, pull: Pull) -> Measured {
        measure::run(&mut self.command(pull == Pull::Full, 1))
    }

    fn incremental_inside(&self, runs: usize) -> f64 {
        measure::answer(&mut self.command(false, runs))
    }

    fn stored(&self) -> usize {
        let store = open(self.kind, &self.path).expect("the native store");
        store.count().expect("a count")
    }

    fn disk_bytes(&self) -> u64 {
        size_of(&self.path)
    }
}

fn open(kind: &str, path: &Path) -> Result<Box<dyn Store>, Failure> {
    Ok(match kind {
        "native-redb" => Box::new(redb::Redb::open(path)?),
        _ => Box::new(sled::Sled::open(path)?),
    })
}

/// The child's work, if this process is one.
pub(crate) fn run_if_asked() -> bool {
    let Ok(task) = std::env::var(TASK) else {
        return false;
    };
    let lines: Vec<&str> = task.lines().collect();
    let [kind, path, url, page, full, repeat] = lines[..] else {
        panic!("a task of six lines");
    };
    let mut store = open(kind, path.as_ref()).expect("the store opens");
    let page = page.parse().expect("a page size");
    let repeat: usize = repeat.parse().expect("a number of runs");
    if repeat == 1 {
        sync(&mut *store, url, page, full == "true").expect("the native sync works");
        return true;
    }
    let mut cpu = 0.0;
    for _ in 0..repeat {
        crate::inside::change(url);
        let before = own_cpu();
        sync(&mut *store, url, page, false).expect("the native sync works");
        cpu += own_cpu() - before;
    }
    println!("{}", cpu / repeat as f64);
    true
}

/// What the seen-set knows an id by.
fn id_hash(id: &str) -> u128 {
    u128::from_le_bytes(half_hash(id))
}

fn half_hash(text: &str) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&blake3::hash(text.as_bytes()).as_bytes()[..16]);
    half
}

fn sync(store: &mut dyn Store, url: &str, page: usize, full: bool) -> Result<(), Failure> {
    let mut state = store.state()?;
    let since = if full { 0 } else { state.since };
    let agent = ureq::Agent::new_with_defaults();
    let (mut cursor, mut newest) = (None::<String>, since);
    let mut seen = HashSet::new();
    loop {
        let mut url = format!("{url}/records?limit={page}&updated_since={since}");
        if let Some(cursor) = &cursor {
            url.push_str(&format!("&cursor={cursor}"));
        }
        let body = agent
            .get(&url)
            .call()?
            .body_mut()
            .with_config()
            .limit(64 << 20)
            .read_to_string()?;
        let mut answer: Value = serde_json::from_str(&body)?;
        cursor = answer["next_cursor"].as_str().map(str::to_owned);
        let items = answer["items"].as_array_mut().map(std::mem::take);
        let items = items.unwrap_or_default();
        let times = items.iter().filter_map(|item| item["updated_at"].as_u64());
        newest = newest.max(times.max().unwrap_or(0));
        if cursor.is_none() {
            state.since = newest;
        }
        // One by one: trees and texts kept side by side would slow the allocator.
        let mut page = items.into_iter().map(|item| {
            let id = item["id"].as_str().ok_or("no id")?.to_owned();
            // serde_json keeps an object's keys in order, so this text is canonical.
            let text = serde_json::to_string(&item)?;
            let hash = half_hash(&text);
            if since == 0 {
                seen.insert(id_hash(&id));
            }
            Ok(Item { id, text, hash })
        });
        store.save(&mut page, &mut state)?;
        if cursor.is_none() {
            break;
        }
    }
    if since == 0 {
        store.delete_others(&seen, &mut state)?;
    }
    Ok(())
}
