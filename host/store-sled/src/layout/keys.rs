//! Keys of the one sled tree: a tag, then parts whose bytes sort as what they stand for.

mod dropped;
#[cfg(test)]
mod tests;

use tidegate_engine::api_key::ApiKeyId;
use tidegate_engine::job::JobId;
use tidegate_engine::run::RunId;
use tidegate_engine::schedule::ScheduleId;
use tidegate_engine::webhook::EndpointId;
use tidegate_engine::{ConnectionKey, ConnectionName, Name, Timestamp};

use super::Corrupt;

pub(crate) use dropped::{
    dropped_connections, dropped_endpoints, dropped_feeds, dropped_integrations, dropped_schedules,
    unfinished_imports,
};

/// First byte of every key: what the value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Tag {
    /// The store itself: its id, its counters.
    Store = b'a',
    /// Connections, by integration and name.
    Connection = b'c',
    /// What was dropped and still has keys, and what is not finished, by what it is and number or name.
    Dropped = b'd',
    /// Idempotency keys, by connection, action and key.
    Idempotency = b'e',
    /// Headers of feeds, by feed.
    Feed = b'f',
    /// Segments of records, by feed and first sequence.
    Segment = b'g',
    /// Idempotency keys by when they expire.
    Expiry = b'h',
    /// Integrations, by name.
    Integration = b'i',
    /// What commits changed in a feed's sequence sets since the last fold, by feed and sequence.
    Journal = b'j',
    /// Checkpoints, by sync.
    Checkpoint = b'k',
    /// Log lines, by run and first index.
    Log = b'l',
    /// Models, by connection and name: their feeds.
    Model = b'm',
    /// Live sequences as of the last fold, by feed and chunk.
    Live = b'n',
    /// Sequences of live deletions as of the last fold, by feed and chunk.
    Tomb = b'o',
    /// Live sequences whose bodies were pruned, by feed and chunk.
    Pruned = b'p',
    /// What runs under idempotency keys returned, by run.
    Output = b'q',
    /// Runs, by id.
    Run = b'r',
    /// Runs that have not ended, by id.
    Running = b's',
    /// Ids of runs, by integration and outcome.
    RunOfIntegration = b't',
    /// Ids of runs, by connection and outcome.
    RunOfConnection = b'u',
    /// Open snapshots, by feed and sync.
    Snapshot = b'v',
    /// What one commit saw for a snapshot, by feed, sync and number.
    SeenDelta = b'w',
    /// Index packs, by feed and first record id.
    Pack = b'x',
    /// Syncs, by connection, name and variant.
    Sync = b'y',
    /// Later parts of long values, by their key.
    Part = b'z',
    /// Deliveries of webhooks, by endpoint and event.
    Delivery = b'D',
    /// Webhook endpoints, by id.
    Endpoint = b'E',
    /// Events that webhooks tell of, by number.
    Event = b'V',
    /// Seen sequences of a snapshot as of its last fold, by feed, sync and chunk.
    Seen = b'W',
    /// Sequences that a snapshot's pass before did not see, by feed, sync and chunk.
    Missed = b'M',
    /// Ids of schedules, by connection.
    ScheduleOfConnection = b'B',
    /// Fires, by schedule and moment.
    Fire = b'F',
    /// Jobs, by id.
    Job = b'J',
    /// Ids of jobs, by integration and state.
    JobOfIntegration = b'T',
    /// Ids of jobs, by connection and state.
    JobOfConnection = b'O',
    /// Jobs that wait or run, by id.
    Queued = b'Q',
    /// Schedules, by id.
    Schedule = b'S',
    /// Deliveries that wait, by endpoint, connection and event.
    Pending = b'Y',
    /// API keys, by id.
    ApiKey = b'A',
    /// Requests under idempotency keys, by API key and key.
    Request = b'I',
    /// The same by when they are forgotten.
    RequestExpiry = b'X',
}

/// A key under construction.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(Vec<u8>);

impl Key {
    pub(crate) fn new(tag: Tag) -> Self {
        let mut bytes = Vec::with_capacity(32);
        bytes.push(tag as u8);
        Self(bytes)
    }

    /// A key that was read.
    pub(crate) fn stored(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// A number: how many bytes it has, then these, highest first; short for small numbers.
    pub(crate) fn number(mut self, number: u64) -> Self {
        let bytes = number.to_be_bytes();
        let mut digits = bytes.as_slice();
        let mut len = 8;
        while let [0, rest @ ..] = digits {
            digits = rest;
            len -= 1;
        }
        self.0.push(len);
        self.0.extend_from_slice(digits);
        self
    }

    /// A name; the 0 after it keeps `ab` + `c` apart from `a` + `bc`. Names have no zeros.
    pub(crate) fn name(mut self, name: &str) -> Self {
        self.0.extend_from_slice(name.as_bytes());
        self.0.push(0);
        self
    }

    /// What the rows of a list have come to ([`super::ends`]); then come their ids.
    pub(crate) fn end(self, end: u8) -> Self {
        self.raw(&[end])
    }

    pub(crate) fn run(self, id: RunId) -> Self {
        self.raw(&id.to_bytes())
    }

    /// Bytes as they are; only at the end of a key, or as many as always are there.
    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// The first key that does not begin with this one. No key is all 0xff: tags are ASCII.
    pub(crate) fn after_prefix(&self) -> Self {
        let mut bytes = self.0.clone();
        while let Some(last) = bytes.pop() {
            if last < 0xff {
                bytes.push(last + 1);
                break;
            }
        }
        Self(bytes)
    }
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Key> for sled::IVec {
    fn from(key: Key) -> Self {
        Self::from(key.0)
    }
}

/// The number at the start of `bytes`, and what follows it.
pub(crate) fn split_number(bytes: &[u8]) -> Result<(u64, &[u8]), Corrupt> {
    let bad = Corrupt("a key without the number it should have");
    let (len, rest) = bytes.split_first().ok_or(bad)?;
    let (digits, rest) = rest.split_at_checked(usize::from(*len)).ok_or(bad)?;
    if digits.len() > 8 {
        return Err(bad);
    }
    Ok((
        digits
            .iter()
            .fold(0, |number, byte| (number << 8) | u64::from(*byte)),
        rest,
    ))
}

/// What the row of a list has come to, and its id.
pub(crate) fn split_end(bytes: &[u8]) -> Result<(u8, [u8; 16]), Corrupt> {
    let bad = Corrupt("a key without the state it should have");
    let (end, id) = bytes.split_first().ok_or(bad)?;
    Ok((*end, decode_id(id)?))
}

/// The run id that `bytes` are.
pub(crate) fn decode_run(bytes: &[u8]) -> Result<RunId, Corrupt> {
    let bytes = bytes
        .try_into()
        .map_err(|_| Corrupt("a key without the run id it should have"))?;
    Ok(RunId::from_bytes(bytes))
}

/// A number as a value.
pub(crate) fn encode_number(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

pub(crate) fn decode_number(bytes: &[u8]) -> Result<u64, Corrupt> {
    let bytes = bytes
        .try_into()
        .map_err(|_| Corrupt("a value that should be a number"))?;
    Ok(u64::from_be_bytes(bytes))
}

pub(crate) fn decode_text(bytes: &[u8]) -> Result<String, Corrupt> {
    let text = std::str::from_utf8(bytes).map_err(|_| Corrupt("a text is not UTF-8"))?;
    Ok(text.to_owned())
}

/// The name that `bytes` are, with the 0 after it.
pub(crate) fn decode_name(bytes: &[u8]) -> Result<Name, Corrupt> {
    let bad = Corrupt("a key without the name it should have");
    let name = bytes
        .strip_suffix(&[0])
        .and_then(|name| std::str::from_utf8(name).ok());
    name.and_then(|name| name.parse().ok()).ok_or(bad)
}

/// The two names that `bytes` are, each with the 0 after it.
pub(crate) fn decode_two_names(bytes: &[u8]) -> Result<(Name, Name), Corrupt> {
    let bad = Corrupt("a key without the two names it should have");
    let middle = bytes.iter().position(|byte| *byte == 0).ok_or(bad)?;
    let (first, second) = bytes.split_at_checked(middle + 1).ok_or(bad)?;
    Ok((decode_name(first)?, decode_name(second)?))
}

/// What is left of `key` after `prefix`.
pub(crate) fn rest<'a>(key: &'a [u8], prefix: &Key) -> Result<&'a [u8], Corrupt> {
    key.strip_prefix(prefix.as_ref())
        .ok_or(Corrupt("a key of another kind"))
}

/// A key as text for people.
pub(crate) fn describe(key: &[u8]) -> String {
    key.escape_ascii().to_string()
}

pub(crate) fn store_id() -> Key {
    Key::new(Tag::Store).name("id")
}

pub(crate) fn counters() -> Key {
    Key::new(Tag::Store).name("counters")
}

/// The number of the last write that sled has.
pub(crate) fn applied() -> Key {
    Key::new(Tag::Store).name("applied")
}

pub(crate) fn integration(name: &Name) -> Key {
    Key::new(Tag::Integration).name(name.as_str())
}

pub(crate) fn connections(integration: &Name) -> Key {
    Key::new(Tag::Connection).name(integration.as_str())
}

pub(crate) fn connection(integration: &Name, connection: &ConnectionName) -> Key {
    connections(integration).name(connection.as_str())
}

pub(crate) fn models(connection: u64) -> Key {
    Key::new(Tag::Model).number(connection)
}

pub(crate) fn model(connection: u64, model: &Name) -> Key {
    models(connection).name(model.as_str())
}

pub(crate) fn syncs(connection: u64) -> Key {
    Key::new(Tag::Sync).number(connection)
}

pub(crate) fn sync(connection: u64, sync: &Name, variant: &Name) -> Key {
    syncs(connection).name(sync.as_str()).name(variant.as_str())
}

pub(crate) fn checkpoint(sync: u64) -> Key {
    Key::new(Tag::Checkpoint).number(sync)
}

pub(crate) fn endpoint(id: EndpointId) -> Key {
    Key::new(Tag::Endpoint).raw(&id.to_bytes())
}

pub(crate) fn event(seq: u64) -> Key {
    Key::new(Tag::Event).number(seq)
}

pub(crate) fn deliveries(endpoint: EndpointId) -> Key {
    Key::new(Tag::Delivery).raw(&endpoint.to_bytes())
}

pub(crate) fn delivery(endpoint: EndpointId, seq: u64) -> Key {
    deliveries(endpoint).number(seq)
}

/// What waits for an endpoint.
pub(crate) fn pending(endpoint: EndpointId) -> Key {
    Key::new(Tag::Pending).raw(&endpoint.to_bytes())
}

/// What waits for an endpoint and is about one connection; two empty names stand for none.
pub(crate) fn pending_stream(endpoint: EndpointId, stream: Option<&ConnectionKey>) -> Key {
    let names = stream.map_or(("", ""), |key| {
        (key.integration.as_str(), key.connection.as_str())
    });
    pending(endpoint).name(names.0).name(names.1)
}

/// The endpoint at the start of `bytes`, and what follows it.
pub(crate) fn split_endpoint(bytes: &[u8]) -> Result<(EndpointId, &[u8]), Corrupt> {
    let bad = Corrupt("a key without the endpoint it should have");
    let (id, rest) = bytes.split_first_chunk().ok_or(bad)?;
    Ok((EndpointId::from_bytes(*id), rest))
}

/// The connection at the start of `bytes`, as [`pending_stream`] writes it, and what follows it.
pub(crate) fn split_stream(bytes: &[u8]) -> Result<(Option<ConnectionKey>, &[u8]), Corrupt> {
    let bad = Corrupt("a key without the connection it should have");
    let (integration, rest) = split_name(bytes).ok_or(bad)?;
    let (connection, rest) = split_name(rest).ok_or(bad)?;
    if integration.is_empty() && connection.is_empty() {
        return Ok((None, rest));
    }
    let stream = ConnectionKey {
        integration: integration.parse().map_err(|_| bad)?,
        connection: connection.parse().map_err(|_| bad)?,
    };
    Ok((Some(stream), rest))
}

/// The name at the start of `bytes` without the 0 after it, and what follows that.
fn split_name(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    let (name, rest) = bytes.split_at_checked(end)?;
    Some((std::str::from_utf8(name).ok()?, rest.get(1..)?))
}

/// Everything of one kind that belongs to one feed.
pub(crate) fn of_feed(tag: Tag, feed: u64) -> Key {
    Key::new(tag).number(feed)
}

pub(crate) fn pack(feed: u64, first_id: &[u8]) -> Key {
    of_feed(Tag::Pack, feed).raw(first_id)
}

pub(crate) fn run(id: RunId) -> Key {
    Key::new(Tag::Run).run(id)
}

pub(crate) fn running(id: RunId) -> Key {
    Key::new(Tag::Running).run(id)
}

pub(crate) fn runs_of_integration(name: &Name) -> Key {
    Key::new(Tag::RunOfIntegration).name(name.as_str())
}

pub(crate) fn runs_of_connection(connection: u64) -> Key {
    Key::new(Tag::RunOfConnection).number(connection)
}

pub(crate) fn schedule(id: ScheduleId) -> Key {
    Key::new(Tag::Schedule).raw(&id.to_bytes())
}

pub(crate) fn schedules_of_connection(connection: u64) -> Key {
    Key::new(Tag::ScheduleOfConnection).number(connection)
}

/// The fires of a schedule; what follows is the moment.
pub(crate) fn fires(schedule: ScheduleId) -> Key {
    Key::new(Tag::Fire).raw(&schedule.to_bytes())
}

pub(crate) fn fire(schedule: ScheduleId, moment: Timestamp) -> Key {
    fires(schedule).number(moment.0)
}

pub(crate) fn job(id: JobId) -> Key {
    Key::new(Tag::Job).raw(&id.to_bytes())
}

pub(crate) fn queued(id: JobId) -> Key {
    Key::new(Tag::Queued).raw(&id.to_bytes())
}

pub(crate) fn jobs_of_integration(name: &Name) -> Key {
    Key::new(Tag::JobOfIntegration).name(name.as_str())
}

pub(crate) fn jobs_of_connection(connection: u64) -> Key {
    Key::new(Tag::JobOfConnection).number(connection)
}

/// The 16 bytes of the id that `bytes` are.
pub(crate) fn decode_id(bytes: &[u8]) -> Result<[u8; 16], Corrupt> {
    let bad = Corrupt("a key without the id it should have");
    bytes.try_into().map_err(|_| bad)
}

pub(crate) fn logs(run: RunId) -> Key {
    Key::new(Tag::Log).run(run)
}

/// The idempotency keys of a connection.
pub(crate) fn idempotency(connection: u64) -> Key {
    Key::new(Tag::Idempotency).number(connection)
}

/// The idempotency keys that expire at `at`, in milliseconds; what follows is their key.
pub(crate) fn expiry(at: u64) -> Key {
    Key::new(Tag::Expiry).number(at)
}

pub(crate) fn output(run: RunId) -> Key {
    Key::new(Tag::Output).run(run)
}

pub(crate) fn api_key(id: ApiKeyId) -> Key {
    Key::new(Tag::ApiKey).name(&id.to_string())
}

/// The requests of an API key under idempotency keys.
pub(crate) fn requests(api_key: ApiKeyId) -> Key {
    Key::new(Tag::Request).name(&api_key.to_string())
}

/// The requests that are forgotten at `at`, in milliseconds; what follows is their key.
pub(crate) fn request_expiry(at: u64) -> Key {
    Key::new(Tag::RequestExpiry).number(at)
}

/// The API key at the beginning of what follows the tag of a request, and the rest.
pub(crate) fn split_api_key(bytes: &[u8]) -> Result<(ApiKeyId, &[u8]), Corrupt> {
    let (name, rest) = split_name(bytes).ok_or(Corrupt("a key without an API key's id"))?;
    let id = name.parse();
    id.map(|id| (id, rest))
        .map_err(|_| Corrupt("a key with what is no API key's id"))
}

pub(crate) fn snapshot(feed: u64, sync: u64) -> Key {
    of_feed(Tag::Snapshot, feed).number(sync)
}

pub(crate) fn seen_deltas(feed: u64, sync: u64) -> Key {
    of_feed(Tag::SeenDelta, feed).number(sync)
}

pub(crate) fn seen(feed: u64, sync: u64) -> Key {
    of_feed(Tag::Seen, feed).number(sync)
}

pub(crate) fn missed(feed: u64, sync: u64) -> Key {
    of_feed(Tag::Missed, feed).number(sync)
}
