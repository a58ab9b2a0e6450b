//! The floor: a loop written for this one job on redb, with the same semantics.
//!
//! Per page one durable transaction of heads (hash and sequence by id), bodies, change feed and
//! checkpoint; a body counts as changed when its canonical form has another hash.

use std::path::{Path, PathBuf};
use std::process::Command;

use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};
use serde_json::Value;

use crate::measure::{self, Measured};
use crate::source::Source;
use crate::{System, size_of};

const HEADS: TableDefinition<'_, &str, (&[u8], u64)> = TableDefinition::new("heads");
const BODIES: TableDefinition<'_, &str, &str> = TableDefinition::new("bodies");
const FEED: TableDefinition<'_, u64, (u8, &str)> = TableDefinition::new("feed");
const STATE: TableDefinition<'_, &str, u64> = TableDefinition::new("state");
const ADDED: u8 = 0;
const UPDATED: u8 = 1;

/// What the child process is asked to do, in environment variables.
const TASK: &str = "TIDEGATE_BENCH_NATIVE";

pub(crate) struct Native {
    path: PathBuf,
    url: String,
    page: usize,
}

impl Native {
    pub(crate) fn new(directory: &Path, source: &Source, page: usize) -> Self {
        Self {
            path: directory.join("native.redb"),
            url: format!("http://{}/records", source.address),
            page,
        }
    }
}

impl System for Native {
    fn name(&self) -> &'static str {
        "native"
    }

    fn sync(&self, full: bool) -> Measured {
        let task = format!(
            "{}\n{}\n{}\n{full}",
            self.path.display(),
            self.url,
            self.page
        );
        let program = std::env::current_exe().expect("the path of this program");
        measure::run(Command::new(program).env(TASK, task))
    }

    fn stored(&self) -> usize {
        let database = Database::open(&self.path).expect("the native store");
        let read = database.begin_read().expect("a transaction");
        let heads = read.open_table(HEADS).expect("the heads");
        heads.len().expect("a length") as usize
    }

    fn disk_bytes(&self) -> u64 {
        size_of(&self.path)
    }
}

/// A child's task: path, URL, page size, whether to pull everything.
pub(crate) struct Task {
    path: PathBuf,
    url: String,
    page: usize,
    full: bool,
}

pub(crate) fn task_from_env() -> Option<Task> {
    let text = std::env::var(TASK).ok()?;
    let mut lines = text.lines();
    Some(Task {
        path: lines.next()?.into(),
        url: lines.next()?.to_owned(),
        page: lines.next()?.parse().ok()?,
        full: lines.next()? == "true",
    })
}

/// The child: one sync.
pub(crate) fn run(task: &Task) {
    sync(task).expect("the native sync works");
}

fn sync(task: &Task) -> Result<(), Box<dyn std::error::Error>> {
    let database = Database::create(&task.path)?;
    let setup = database.begin_write()?;
    let (mut sequence, since) = {
        setup.open_table(HEADS)?;
        setup.open_table(BODIES)?;
        setup.open_table(FEED)?;
        let state = setup.open_table(STATE)?;
        let get = |key| {
            state
                .get(key)
                .map(|value| value.map_or(0, |value| value.value()))
        };
        (get("sequence")?, get("since")?)
    };
    setup.commit()?;
    let since = if task.full { 0 } else { since };
    let agent = ureq::Agent::new_with_defaults();
    let (mut cursor, mut newest) = (None::<String>, since);
    loop {
        let mut url = format!("{}?limit={}&updated_since={since}", task.url, task.page);
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
        let mut page: Value = serde_json::from_str(&body)?;
        cursor = page["next_cursor"].as_str().map(str::to_owned);
        let write = database.begin_write()?;
        {
            let mut heads = write.open_table(HEADS)?;
            let mut bodies = write.open_table(BODIES)?;
            let mut feed = write.open_table(FEED)?;
            for item in page["items"]
                .as_array_mut()
                .map(std::mem::take)
                .unwrap_or_default()
            {
                newest = newest.max(item["updated_at"].as_u64().unwrap_or(0));
                let id = item["id"].as_str().ok_or("no id")?.to_owned();
                // serde_json keeps an object's keys in order, so this text is canonical.
                let text = serde_json::to_string(&item)?;
                let hash = blake3::hash(text.as_bytes());
                let hash = &hash.as_bytes()[..16];
                let known = heads.get(id.as_str())?.map(|head| head.value().0 == hash);
                if known == Some(true) {
                    continue;
                }
                sequence += 1;
                heads.insert(id.as_str(), (hash, sequence))?;
                bodies.insert(id.as_str(), text.as_str())?;
                feed.insert(
                    sequence,
                    (if known.is_some() { UPDATED } else { ADDED }, id.as_str()),
                )?;
            }
            let mut state = write.open_table(STATE)?;
            state.insert("sequence", sequence)?;
            if cursor.is_none() {
                state.insert("since", newest)?;
            }
        }
        write.commit()?;
        if cursor.is_none() {
            return Ok(());
        }
    }
}
