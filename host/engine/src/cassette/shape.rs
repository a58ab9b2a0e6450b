//! The lines of a cassette. Each is one JSON object with one key that names it; the first is the
//! head, the last the end.

use std::fmt;

use serde::{Deserialize, Serialize};
use url::Url;

use super::body::Body;
use crate::grant::Grants;
use crate::idempotency::IdempotencyKey;
use crate::integration::Digest;
use crate::record::{Action, Counts};
use crate::run::{Blame, Failure, Level, LogLine, LogSource, Outcome, RunId, Target, Trigger};
use crate::store::{Ended, Proof, Unseen};
use crate::{Name, Timestamp};

/// The version of this shape. A host reads the versions that it knows, and no others.
pub const VERSION: u32 = 1;

/// What a run was given: with it and the answers, a replay repeats it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    pub tidegate_cassette: u32,
    pub plugin: PluginId,
    pub run: RunId,
    pub target: Target,
    pub trigger: Trigger,
    pub attempt: u32,
    pub started_at: Timestamp,
    pub base_url: Url,
    /// JSON text: the integration's config with the connection's merged over it.
    pub config: String,
    /// JSON text: the connection's metadata when the run began.
    pub metadata: String,
    /// JSON text, as the guest got it.
    pub checkpoint: Option<String>,
    /// JSON text: what an action or event was called with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<IdempotencyKey>,
    pub grants: Grants,
    pub seed: Seed,
}

/// Which component ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PluginId {
    pub name: Name,
    pub version: String,
    pub digest: Digest,
}

/// What all randomness of a run comes from.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Seed(pub [u8; 32]);

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed")
    }
}

impl From<Seed> for String {
    fn from(seed: Seed) -> Self {
        hex::encode(seed.0)
    }
}

impl TryFrom<String> for Seed {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| "a seed has 64 hexadecimal digits")?;
        Ok(Self(bytes))
    }
}

/// A line after the head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Event {
    /// The guest called; calls are numbered from 0.
    Call(u64, Ask),
    /// The guest got its answer to the call of this number.
    Answer(u64, Answer),
    /// What the guest read from its clock since the last such line.
    Clock(Vec<Moment>),
    Log(LoggedLine),
    End(End),
}

/// A time, and how often in a row the guest read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment(pub Timestamp, pub u64);

/// What a guest asks its host, named as in `wit/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Ask {
    #[serde(rename = "http.send")]
    Send(Exchange),
    #[serde(rename = "records.commit")]
    Commit(CommitAsk),
    #[serde(rename = "records.get")]
    Get { model: Name, ids: Vec<String> },
    #[serde(rename = "records.begin-snapshot")]
    BeginSnapshot { model: Name, restart: bool },
    #[serde(rename = "records.end-snapshot")]
    EndSnapshot {
        model: Name,
        proof: Proof,
        checkpoint: Option<String>,
    },
    #[serde(rename = "records.unseen")]
    Unseen { model: Name, after: u64, limit: u32 },
    #[serde(rename = "records.repeat-snapshot")]
    RepeatSnapshot {
        model: Name,
        checkpoint: Option<String>,
    },
    #[serde(rename = "feed.read")]
    ReadFeed {
        /// `INTEGRATION/MODEL`
        feed: String,
        connection: String,
        cursor: Option<String>,
        limit: u32,
    },
    #[serde(rename = "state.merge-metadata")]
    MergeMetadata {
        /// JSON text
        patch: String,
    },
    #[serde(rename = "clock.sleep")]
    Sleep { ms: u64 },
}

impl Ask {
    /// Whether it changes what is stored: these are what a replay compares.
    #[must_use]
    pub fn is_effect(&self) -> bool {
        matches!(
            self,
            Self::Commit(_)
                | Self::BeginSnapshot { .. }
                | Self::EndSnapshot { .. }
                | Self::RepeatSnapshot { .. }
                | Self::MergeMetadata { .. }
        )
    }

    /// Whether `answer` can be its answer.
    #[must_use]
    pub fn takes(&self, answer: &Answer) -> bool {
        match answer {
            Answer::Error(_) => !matches!(self, Self::Sleep { .. }),
            Answer::Response(_) => matches!(self, Self::Send(_)),
            Answer::Counts(counts) => {
                matches!(self, Self::Commit(commit) if commit.pages.len() == counts.len())
            }
            Answer::Bodies(bodies) => {
                matches!(self, Self::Get { ids, .. } if ids.len() == bodies.len())
            }
            Answer::Continued(_) => matches!(self, Self::BeginSnapshot { .. }),
            Answer::Unseen(_) => matches!(self, Self::Unseen { .. }),
            Answer::Repeated(_) => matches!(self, Self::RepeatSnapshot { .. }),
            Answer::Ended(_) => matches!(self, Self::EndSnapshot { .. }),
            Answer::Changes(_) => matches!(self, Self::ReadFeed { .. }),
            Answer::Done => matches!(self, Self::MergeMetadata { .. } | Self::Sleep { .. }),
        }
    }
}

/// A request as the guest made it: before the gate, and so without the connection's credentials.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    pub method: String,
    /// As the guest wrote it: absolute, or below the base URL.
    pub url: String,
    pub headers: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Body::is_empty")]
    pub body: Body,
}

/// Pages and the checkpoint, after the checks that a commit passes before the store sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommitAsk {
    pub pages: Vec<crate::record::Page>,
    pub checkpoint: Option<String>,
}

/// What the host answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Answer {
    Response(Response),
    /// One for each page of the commit.
    Counts(Vec<Counts>),
    /// One for each id.
    Bodies(Vec<Option<String>>),
    /// Whether a snapshot was open already.
    Continued(bool),
    Unseen(Unseen),
    /// How many records a pass had not seen.
    Repeated(u64),
    Ended(Ended),
    Changes(Vec<Change>),
    Done,
    Error(Refusal),
}

/// A response as the guest got it: decompressed, after redirects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Response {
    pub status: u16,
    /// Without [`super::HEADERS_LEFT_OUT`].
    pub headers: Vec<(String, String)>,
    pub body: Body,
    pub url: String,
}

/// A change of a feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    pub cursor: String,
    pub id: String,
    pub action: Action,
    pub body: Option<String>,
    pub first_seen_at: Timestamp,
    pub last_modified_at: Timestamp,
}

/// Why there is no other answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    pub kind: RefusalKind,
    pub message: String,
    /// The limit that was hit, by its name in [`crate::limits`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// Who is to blame, if not the guest, should it fail with this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blame: Option<Blame>,
    /// When the upstream wants to be asked again, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The request may have reached the API, and been done there.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub sent: bool,
    /// What the run fails with even if the guest says that all went well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// The error cases of `wit/http.wit` and `wit/records.wit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalKind {
    Denied,
    Invalid,
    Timeout,
    Connect,
    TooLarge,
    Exhausted,
    Refused,
    Fenced,
    Other,
    Token,
}

/// A line of the run's log, without its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoggedLine {
    pub level: Level,
    pub source: LogSource,
    pub message: String,
    /// JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<String>,
}

impl LoggedLine {
    /// What a cassette keeps of a line.
    #[must_use]
    pub fn of(line: &LogLine) -> Self {
        Self {
            level: line.level,
            source: line.source,
            message: line.message.clone(),
            fields: line.fields.as_ref().map(ToString::to_string),
        }
    }
}

/// How the run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    pub outcome: Outcome,
    /// That of a sync without its payload, which nobody is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// What an action or event returned, JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
}

impl End {
    /// What a cassette keeps of a run's end.
    #[must_use]
    pub fn of(
        outcome: Outcome,
        mut failure: Option<Failure>,
        output: Option<String>,
        is_sync: bool,
    ) -> Self {
        if let (true, Some(failure)) = (is_sync, &mut failure) {
            failure.payload = None;
        }
        Self {
            outcome,
            failure,
            output,
        }
    }
}
