//! What the server holds for its clients at once, bounded in all and for each key: bytes of bodies and answers, answers
//! of many parts, streams, exports and imports.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;
use tidegate_engine::limits::{API_PART_BYTES, API_TRANSFERS};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::bounds::{Bounds, permits};
use super::places::{Place, Streaming};
use super::problem::{Answer, Failed, Type};

/// What one permit of the semaphores of bytes stands for.
const UNIT: u64 = 1024;
/// When to come again to a server that is full.
const COME_AGAIN: Duration = Duration::from_secs(2);

/// All that there is.
pub(crate) struct Room {
    bytes: Pool,
    streams: Arc<Semaphore>,
    transfers: Arc<Semaphore>,
    patience: Duration,
}

/// What one key may have of it.
pub(crate) struct Share {
    bytes: Pool,
    requests: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    answers: Arc<Semaphore>,
}

/// Bytes, in units.
struct Pool {
    units: Arc<Semaphore>,
    all: u32,
}

impl Pool {
    fn new(bytes: u64) -> Self {
        let all = u32::try_from((bytes / UNIT).max(1)).unwrap_or(u32::MAX);
        Self {
            units: Arc::new(Semaphore::new(permits(all.into()))),
            all,
        }
    }
}

impl Room {
    pub(super) fn new(bounds: &Bounds) -> Self {
        Self {
            bytes: Pool::new(bounds.held_bytes),
            streams: Arc::new(Semaphore::new(permits(bounds.streams))),
            transfers: Arc::new(Semaphore::new(permits(API_TRANSFERS))),
            patience: bounds.stall,
        }
    }
}

impl Share {
    pub(super) fn new(bounds: &Bounds) -> Self {
        Self {
            bytes: Pool::new(bounds.held_bytes / 2),
            requests: Arc::new(Semaphore::new(permits(bounds.requests_per_key))),
            streams: Arc::new(Semaphore::new(permits(bounds.streams_per_key))),
            answers: Arc::new(Semaphore::new(permits(bounds.answers_per_key))),
        }
    }
}

/// What is held as long as this lives.
#[derive(Default)]
#[allow(dead_code, reason = "it only has to be there")]
pub(super) struct Permit {
    permits: Vec<OwnedSemaphorePermit>,
    streaming: Option<Streaming>,
}

impl Permit {
    fn of(permits: Vec<OwnedSemaphorePermit>) -> Self {
        Self {
            permits,
            streaming: None,
        }
    }

    /// Both.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.permits.extend(other.permits);
        self.streaming = self.streaming.or(other.streaming);
        self
    }
}

/// What a request may take: its key's share, of what there is.
#[derive(Clone)]
pub(super) struct Allowance {
    room: Arc<Room>,
    share: Arc<Share>,
    place: Option<Place>,
}

impl Allowance {
    pub(super) fn new(room: &Arc<Room>, share: &Arc<Share>, place: Option<Place>) -> Self {
        Self {
            room: Arc::clone(room),
            share: Arc::clone(share),
            place,
        }
    }

    /// The place of a request that is being answered.
    pub(super) fn request(&self) -> Answer<Permit> {
        let permit = Arc::clone(&self.share.requests).try_acquire_owned();
        permit.map(|permit| Permit::of(vec![permit])).map_err(|_| {
            too_many(
                "requests_per_key",
                "as many requests of the API key as the limit api_requests_per_key allows are being answered",
            )
        })
    }

    /// The place of an answer of many parts, once the key has one free.
    pub(super) async fn answer(&self) -> Answer<Permit> {
        let permit = Arc::clone(&self.share.answers).acquire_owned();
        match tokio::time::timeout(self.room.patience, permit).await {
            Ok(Ok(permit)) => Ok(Permit::of(vec![permit])),
            _ => Err(too_many(
                "answers_per_key",
                "the API key reads as many large answers at once as the limit api_answers_per_key allows",
            )),
        }
    }

    /// The place of an answer that waits for what comes.
    pub(super) fn stream(&self) -> Answer<Permit> {
        let own = Arc::clone(&self.share.streams).try_acquire_owned();
        let own = own.map_err(|_| {
            too_many(
                "streams_per_key",
                "the API key reads as many streams at once as the limit api_streams_per_key allows",
            )
        })?;
        let all = Arc::clone(&self.room.streams).try_acquire_owned();
        let all = all.map_err(|_| {
            full(
                "streams",
                "the server has as many streams at once as the limit api_streams allows",
            )
        })?;
        Ok(Permit {
            permits: vec![own, all],
            streaming: self.place.as_ref().map(Place::streaming),
        })
    }

    /// The place of an export or an import.
    pub(super) fn transfer(&self) -> Answer<Permit> {
        let permit = Arc::clone(&self.room.transfers).try_acquire_owned();
        permit.map(|permit| Permit::of(vec![permit])).map_err(|_| {
            full(
                "transfers",
                "as many exports and imports as the limit api_transfers allows are under way",
            )
        })
    }

    /// Nothing is held yet.
    pub(super) fn hold(&self) -> Hold {
        Hold {
            allowance: self.clone(),
            held: Mutex::default(),
        }
    }
}

/// Bytes that are held for a request, its answer or a part of that. Up to `api_part_bytes` are free.
pub(super) struct Hold {
    allowance: Allowance,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    units: u32,
    permits: Vec<OwnedSemaphorePermit>,
}

impl Hold {
    /// How many units more it takes for so many bytes in all. One thing alone always fits.
    fn missing(&self, bytes: u64) -> u32 {
        if bytes <= API_PART_BYTES {
            return 0;
        }
        let Allowance { room, share, .. } = &self.allowance;
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        let most = units.min(share.bytes.all).min(room.bytes.all);
        let held = self.held.lock();
        most.saturating_sub(held.units)
    }

    fn add(&self, units: u32, permits: [OwnedSemaphorePermit; 2]) {
        let mut held = self.held.lock();
        held.units += units;
        for permit in permits {
            match held
                .permits
                .iter_mut()
                .find(|other| Arc::ptr_eq(other.semaphore(), permit.semaphore()))
            {
                Some(other) => other.merge(permit),
                None => held.permits.push(permit),
            }
        }
    }

    /// Hold so many bytes in all, once there is room for them.
    pub(super) async fn grow(&self, bytes: u64) -> Answer<()> {
        let units = self.missing(bytes);
        if units == 0 {
            return Ok(());
        }
        let Allowance { room, share, .. } = &self.allowance;
        let acquired = async {
            let own = Arc::clone(&share.bytes.units)
                .acquire_many_owned(units)
                .await?;
            let all = Arc::clone(&room.bytes.units)
                .acquire_many_owned(units)
                .await?;
            Ok::<_, tokio::sync::AcquireError>([own, all])
        };
        match tokio::time::timeout(room.patience, acquired).await {
            Ok(Ok(permits)) => {
                self.add(units, permits);
                Ok(())
            }
            _ => Err(no_bytes()),
        }
    }

    /// Hold so many bytes in all, if there is room for them now.
    pub(super) fn try_grow(&self, bytes: u64) -> bool {
        let units = self.missing(bytes);
        if units == 0 {
            return true;
        }
        let Allowance { room, share, .. } = &self.allowance;
        let acquire = |pool: &Pool| Arc::clone(&pool.units).try_acquire_many_owned(units).ok();
        let Some((own, all)) = acquire(&share.bytes).zip(acquire(&room.bytes)) else {
            return false;
        };
        self.add(units, [own, all]);
        true
    }

    /// An answer that was made whole, held until its client has taken it; or the problem that there is no
    /// room for it.
    pub(super) async fn keep(self: Arc<Self>, response: Response) -> Response {
        let length = response.body().size_hint().exact();
        let Some(length) = length.filter(|length| *length > API_PART_BYTES) else {
            return response;
        };
        if !self.try_grow(length) {
            let hint = "it was made, and there is no room to hold it until it is read: what was asked has been done";
            return no_bytes().hint(hint).into_response();
        }
        let (head, body) = response.into_parts();
        match to_bytes(body, usize::MAX).await {
            Ok(bytes) => Response::from_parts(head, Body::from(self.carried_by(bytes))),
            Err(error) => {
                tracing::error!(%error, "an answer of known length can't be read");
                Failed::new(Type::Internal, "the answer can't be read").into_response()
            }
        }
    }

    /// The same bytes; they are held until nobody has them any more, the connection's buffers included.
    pub(super) fn carried_by(self: Arc<Self>, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Carrying { bytes, _hold: self })
    }
}

struct Carrying {
    bytes: Bytes,
    _hold: Arc<Hold>,
}

impl AsRef<[u8]> for Carrying {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

fn no_bytes() -> Failed {
    full(
        "held_bytes",
        "the server, or the API key's half of it, holds as many bytes for clients as the limit api_held_bytes allows",
    )
}

/// There is no room at all.
pub(super) fn full(why: &'static str, detail: &str) -> Failed {
    metrics::counter!("tidegate_http_turned_away_total", "why" => why).increment(1);
    Failed::new(Type::Full, detail)
        .hint("come again as the header Retry-After says, in seconds")
        .retry_after(COME_AGAIN)
}

/// The key has all that one may have.
fn too_many(why: &'static str, detail: &str) -> Failed {
    metrics::counter!("tidegate_http_turned_away_total", "why" => why).increment(1);
    Failed::new(Type::RateLimited, detail)
        .hint("wait for those, or close them")
        .retry_after(COME_AGAIN)
}
