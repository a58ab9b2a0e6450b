//! `Cx`: everything that a handler can do, for the run it is in.

use std::cell::{Cell, OnceCell};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tidegate_rules::limits::GET_IDS_MAX;

use crate::config::invalid;
use crate::failure::of_store;
use crate::feed::FeedReader;
use crate::full_pull::FullPull;
use crate::host::{Handle, Host};
use crate::http::RequestBuilder;
use crate::plugin::{Model, SharedHandler};
use crate::records::{Commit, OnBadRecord, Tally};
use crate::{Failure, Result};

/// The run: its requests, its records, and what it knows of itself. Cheap to clone.
#[derive(Clone)]
pub struct Cx {
    host: Handle,
    keys: Rc<Keys>,
    tally: Rc<Tally>,
    /// The plugin's own check of the connection, in a sync.
    check: Option<SharedHandler>,
}

/// The idempotency keys of a run's requests: the run's own for the first, `KEY-2` for the second, ….
#[derive(Default)]
struct Keys {
    /// The run's, once it was looked up.
    base: OnceCell<Option<String>>,
    given: Cell<u32>,
}

/// About a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct RunContext {
    /// The run's id.
    pub run: String,
    /// The name under which the plugin is deployed.
    pub integration: String,
    /// The connection that the run is for.
    pub connection: String,
    /// Where relative URLs go.
    pub base_url: Option<String>,
    /// `sync`, `action` or `event`.
    pub kind: String,
    /// Of the sync, the action or the event.
    pub name: String,
    /// The variant of the sync.
    pub variant: Option<String>,
    /// Counts from 1.
    pub attempt: u32,
    /// What started the run, for example `schedule` or `manual`.
    pub trigger: String,
    /// The key under which the caller wants an action to act once.
    pub idempotency_key: Option<String>,
}

impl Cx {
    pub(crate) fn new(host: Handle) -> Self {
        Cx {
            host,
            keys: Rc::default(),
            tally: Rc::default(),
            check: None,
        }
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    pub(crate) fn host(&self) -> &Handle {
        &self.host
    }

    pub(crate) fn checked_by(mut self, check: Option<SharedHandler>) -> Self {
        self.check = check;
        self
    }

    /// Do what the plugin does to check a connection, if it does anything.
    pub(crate) async fn check(&self) -> Result<()> {
        match &self.check {
            Some(check) => check(self.clone(), "{}".to_owned()).await.map(drop),
            None => Ok(()),
        }
    }

    /// The key for the next request that must not be made twice, if the run has one.
    pub(crate) fn next_idempotency_key(&self) -> Option<String> {
        let look_up = || self.context().ok().and_then(|run| run.idempotency_key);
        let base = self.keys.base.get_or_init(look_up).as_deref()?;
        let number = self.keys.given.get().saturating_add(1);
        self.keys.given.set(number);
        Some(match number {
            1 => base.to_owned(),
            _ => format!("{base}-{number}"),
        })
    }

    /// A GET request. `url` is absolute, or a path under the connection's base URL
    /// (base `https://h/v1` and `/items` is `https://h/v1/items`).
    pub fn get(&self, url: impl Into<String>) -> RequestBuilder {
        self.request("GET", url)
    }

    /// A POST request.
    pub fn post(&self, url: impl Into<String>) -> RequestBuilder {
        self.request("POST", url)
    }

    /// A PUT request.
    pub fn put(&self, url: impl Into<String>) -> RequestBuilder {
        self.request("PUT", url)
    }

    /// A PATCH request.
    pub fn patch(&self, url: impl Into<String>) -> RequestBuilder {
        self.request("PATCH", url)
    }

    /// A DELETE request.
    pub fn delete(&self, url: impl Into<String>) -> RequestBuilder {
        self.request("DELETE", url)
    }

    /// A request of any method (upper case).
    pub fn request(&self, method: &str, url: impl Into<String>) -> RequestBuilder {
        RequestBuilder::new(self.clone(), method, url.into())
    }

    /// Start a commit with a batch of changes of `model`: a type's ([`Record::model`](crate::Record::model)), or a name. Nothing
    /// is stored before [`Commit::commit`].
    pub fn batch(&self, model: impl Into<Model>) -> Commit {
        Commit::new(self.clone(), model.into())
    }

    /// What becomes of records that can't be stored, from now on in this run. Unless this says
    /// otherwise they are skipped as long as they are few ([`OnBadRecord::default`]).
    pub fn on_bad_record(&self, policy: OnBadRecord) {
        self.tally.policy.set(policy);
    }

    /// How many of the next so many records may be skipped, by what the run has saved and skipped so far.
    #[must_use]
    pub fn may_skip(&self, records: usize) -> usize {
        self.tally.left(records)
    }

    /// What the last commit of this sync stored as its checkpoint; `None` on the first run and
    /// after a reset, and always in actions. One that `T` can't hold (an older version of the
    /// plugin wrote it) is a failure of kind `config`, which says to run with `--reset`.
    pub fn checkpoint<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        let Some(text) = self.host.checkpoint() else {
            return Ok(None);
        };
        let decoded = serde_json::from_str(&text).map_err(|error| {
            Failure::config(format!(
                "the stored checkpoint does not fit this version of the plugin: {error}; \
                 run the sync once with --reset to start over (the checkpoint is {})",
                crate::text::excerpt(&text, 200)
            ))
            .code("checkpoint-unreadable")
        })?;
        Ok(Some(decoded))
    }

    /// Store a checkpoint by itself: a commit without records.
    pub async fn save_checkpoint<T: Serialize + ?Sized>(&self, checkpoint: &T) -> Result<()> {
        let text = serde_json::to_string(checkpoint)?;
        self.host
            .commit(Vec::new(), Some(text))
            .await
            .map_err(|error| of_store("saving the checkpoint", error))?;
        Ok(())
    }

    /// The integration's config with the connection's merged over it. A value that `T` can't
    /// hold is a failure of kind `config` that names the key.
    pub fn config<T: DeserializeOwned>(&self) -> Result<T> {
        decode_object("config", &self.host.config())
    }

    /// The connection's metadata. A value that `T` can't hold is a failure of kind `config` that
    /// names the key.
    pub fn metadata<T: DeserializeOwned>(&self) -> Result<T> {
        decode_object("metadata", &self.host.metadata())
    }

    /// Merge an object into the connection's metadata (RFC 7396: null removes a key). Needs
    /// [`Plugin::metadata_write`](crate::Plugin::metadata_write).
    pub async fn merge_metadata<T: Serialize + ?Sized>(&self, patch: &T) -> Result<()> {
        let text = serde_json::to_string(patch)?;
        self.host
            .merge_metadata(text)
            .await
            .map_err(|error| of_store("merging the connection's metadata", error))
    }

    /// About this run.
    pub fn context(&self) -> Result<RunContext> {
        let text = self.host.context();
        serde_json::from_str(&text)
            .map_err(|error| Failure::other(format!("the host's run context: {error}")))
    }

    /// Unix time in milliseconds, by the host's clock.
    pub fn now(&self) -> u64 {
        self.host.now()
    }

    /// Wait. It counts towards the run's time.
    pub async fn sleep(&self, duration: Duration) {
        let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        self.host.sleep(ms).await;
    }

    /// Stored records by id, in the order asked; `None` for those not stored or deleted.
    pub async fn get_records<T: DeserializeOwned>(
        &self,
        model: &str,
        ids: impl IntoIterator<Item = impl ToString>,
    ) -> Result<Vec<Option<T>>> {
        let ids: Vec<String> = ids.into_iter().map(|id| id.to_string()).collect();
        let mut records = Vec::with_capacity(ids.len());
        for ids in ids.chunks(GET_IDS_MAX) {
            let bodies = self
                .host
                .get(model.to_owned(), ids.to_vec())
                .await
                .map_err(|error| of_store(&format!("reading {model} records"), error))?;
            for (id, body) in ids.iter().zip(bodies) {
                let record = body.map(|body| serde_json::from_str(&body)).transpose();
                records.push(record.map_err(|error| {
                    Failure::other(format!("the stored {model} `{id}`: {error}"))
                })?);
            }
        }
        Ok(records)
    }

    /// A pull of everything that the outside API has of `model`, which finds what was deleted there
    /// and never deletes what lives: see [`FullPull`].
    pub fn full_pull(&self, model: impl Into<Model>) -> FullPull {
        FullPull::new(self.clone(), model.into())
    }

    /// Read the change feed of another integration's model (for destinations). Needs
    /// [`Plugin::feed`](crate::Plugin::feed).
    pub fn feed(&self, integration: impl Into<String>, model: impl Into<String>) -> FeedReader {
        FeedReader::new(self.clone(), integration.into(), model.into())
    }
}

impl fmt::Debug for Cx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cx")
    }
}

fn decode_object<T: DeserializeOwned>(what: &str, text: &str) -> Result<T> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let path = if path == "." { "" } else { path.as_str() };
        invalid(what, path, error.inner())
    })
}
