//! One step of a case: a call of the host, through what the SDK offers every plugin.

use std::time::Duration;

use serde_json::value::RawValue;
use tidegate_sdk::Finish;
use tidegate_sdk::prelude::*;

/// Take one step; `model` is that of the run's own name.
pub async fn take(cx: &Cx, model: &str, step: &Value) -> Result<Value> {
    let step: Step = serde_json::from_value(step.clone()).context("the step")?;
    match step {
        Step::Send(send) => send.take(cx).await,
        Step::Commit(commit) => commit.take(cx, model).await,
        Step::Get { of, ids } => {
            let of = of.unwrap_or_else(|| model.to_owned());
            let bodies: Vec<Option<Box<RawValue>>> = cx.get_records(&of, ids).await?;
            let texts = bodies
                .iter()
                .map(|body| body.as_ref().map(|body| body.get()));
            Ok(json!(texts.collect::<Vec<_>>()))
        }
        Step::Pull(pull) => pull.take(cx, model).await,
        Step::Checkpoint {} => Ok(json!(cx.checkpoint::<Value>()?)),
        Step::Metadata {} => cx.metadata(),
        Step::MergeMetadata(patch) => cx.merge_metadata(&patch).await.map(|()| json!(true)),
        Step::Feed(feed) => feed.take(cx).await,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Step {
    Send(Send),
    Commit(CommitStep),
    Get {
        of: Option<String>,
        ids: Vec<String>,
    },
    Pull(Pull),
    /// With which the run began.
    Checkpoint {},
    Metadata {},
    MergeMetadata(Value),
    Feed(Feed),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Send {
    #[serde(default = "get")]
    method: String,
    url: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    body: Option<String>,
    timeout_ms: Option<u64>,
    idempotency_key: Option<String>,
}

fn get() -> String {
    "GET".to_owned()
}

impl Send {
    async fn take(self, cx: &Cx) -> Result<Value> {
        let mut request = cx.request(&self.method, self.url);
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        if let Some(body) = self.body {
            request = request.body(body);
        }
        if let Some(ms) = self.timeout_ms {
            request = request.timeout(Duration::from_millis(ms));
        }
        if let Some(key) = self.idempotency_key {
            request = request.idempotency_key(key);
        }
        let response = request.send_any().await?;
        // Not the origin, which is another in each test.
        let url = response.url().splitn(4, '/').nth(3).unwrap_or_default();
        let names = response.headers().map(|(name, _)| name);
        let own: Vec<&str> = names.filter(|name| name.contains("own-")).collect();
        Ok(
            json!({ "status": response.status(), "url": format!("/{url}"), "bytes": response.bytes().len(), "own": own }),
        )
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CommitStep {
    of: Option<String>,
    /// Ids and bodies; these are JSON text, or should be.
    #[serde(default)]
    save: Vec<(String, String)>,
    #[serde(default)]
    delete: Vec<String>,
    #[serde(default)]
    skip: Vec<Option<String>>,
    /// How many records the run may skip in all; none by default.
    may_skip: Option<u32>,
    checkpoint: Option<Value>,
}

impl CommitStep {
    async fn take(self, cx: &Cx, model: &str) -> Result<Value> {
        cx.on_bad_record(match self.may_skip {
            None => OnBadRecord::Fail,
            Some(least) => OnBadRecord::Skip { percent: 0, least },
        });
        let model = self.of.unwrap_or_else(|| model.to_owned());
        let mut commit = cx.batch(&model);
        for (id, body) in self.save {
            commit.save_json(id, body);
        }
        for id in self.skip {
            commit.skip(id.as_deref(), "the case says so");
        }
        commit.delete_all(self.delete);
        if let Some(checkpoint) = self.checkpoint {
            commit.checkpoint(&checkpoint)?;
        }
        let did = commit.commit().await?.model(&model);
        Ok(json!([
            did.added,
            did.updated,
            did.deleted,
            did.unchanged,
            did.skipped
        ]))
    }
}

/// A full pull: what each reading of the list brings, as ids, and `null` for a record without one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pull {
    readings: Vec<Vec<Option<String>>>,
    /// Of each reading.
    answers: u32,
}

impl Pull {
    async fn take(self, cx: &Cx, model: &str) -> Result<Value> {
        cx.on_bad_record(OnBadRecord::Skip {
            percent: 100,
            least: 100,
        });
        let mut pull = cx.full_pull(model).stable_order();
        pull.begin().await?;
        for (at, reading) in self.readings.iter().enumerate() {
            let mut commit = cx.batch(model);
            for id in reading {
                match id {
                    Some(id) => {
                        commit.save_json(id, "{}");
                        pull.saw(id);
                    }
                    None => {
                        commit.skip(None, "the case says so");
                    }
                }
            }
            for _ in 0..self.answers {
                pull.answered();
            }
            commit.commit().await?;
            match pull.finish(|_| json!(at)).await? {
                Finish::Done(end) => return Ok(json!([at + 1, end.deleted, end.kept])),
                Finish::Again(next) => pull = *next,
            }
        }
        Ok(json!("again"))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Feed {
    integration: String,
    model: String,
    connection: Option<String>,
    limit: u32,
}

impl Feed {
    async fn take(self, cx: &Cx) -> Result<Value> {
        let mut feed = cx.feed(self.integration, self.model).limit(self.limit);
        if let Some(connection) = self.connection {
            feed = feed.connection(connection);
        }
        let changes = feed.next().await?;
        Ok(json!(changes.map(|changes| changes.len())))
    }
}
