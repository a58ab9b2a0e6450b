//! The connections of a port: which of them have shown an accepted key, and which has to go when there are too many.
//!
//! Every connection is accepted, so that whoever has a key, and whoever asks how the server is, gets a hearing
//! however many others there are. It begins as a stranger, and there are only so many strangers, of one address and in
//! all: a further one ends the one that has been a stranger for longest. The first accepted key makes it a guest.
//! Guests are not ended for a stranger's sake.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::bounds::Bounds;

/// Requests without an accepted key after which a connection ends: opening another one costs its client more.
const STRANGE_REQUESTS: u32 = 20;

/// Who is at the other end, as far as bounds for each of them go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Peer {
    V4([u8; 4]),
    /// A /64, which is what one machine has.
    V6([u8; 8]),
    /// This machine, at a socket that only its owner may open.
    Own,
}

impl From<IpAddr> for Peer {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.octets()),
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Self::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

/// All connections of a port.
pub(crate) struct Places {
    bounds: Bounds,
    /// Whether metrics tell of it.
    is_public: bool,
    all: Mutex<AllPlaces>,
}

#[derive(Default)]
struct AllPlaces {
    next: u64,
    /// In the order in which they came.
    strangers: BTreeMap<u64, Stranger>,
    of_peer: HashMap<Peer, usize>,
    guests: HashMap<u64, Guest>,
    /// Of the guests, those that count.
    counted: u64,
}

struct Stranger {
    peer: Peer,
    cut: oneshot::Sender<()>,
}

struct Guest {
    cut: oneshot::Sender<()>,
    /// Answers that have not been made to their end.
    answers: u32,
    /// Of these, those that are counted elsewhere.
    streams: u32,
    since: Instant,
}

impl Guest {
    fn is_counted(&self) -> bool {
        self.streams == 0
    }
}

impl AllPlaces {
    fn forget(&mut self, id: u64) -> Option<Stranger> {
        let stranger = self.strangers.remove(&id)?;
        if let Some(count) = self.of_peer.get_mut(&stranger.peer) {
            *count -= 1;
            if *count == 0 {
                self.of_peer.remove(&stranger.peer);
            }
        }
        Some(stranger)
    }

    /// End the one that has been a stranger for longest; of `peer`, or of the peer that has most of them.
    fn end_stranger(&mut self, peer: Option<Peer>) -> bool {
        let most = self.of_peer.iter().max_by_key(|(_, count)| **count);
        let Some(peer) = peer.or_else(|| most.map(|(peer, _)| *peer)) else {
            return false;
        };
        let mut strangers = self.strangers.iter();
        let Some(id) = strangers
            .find(|(_, one)| one.peer == peer)
            .map(|(id, _)| *id)
        else {
            return false;
        };
        if let Some(stranger) = self.forget(id) {
            // It may just have ended.
            let _ = stranger.cut.send(());
        }
        true
    }

    /// End the guest that has been idle for longest.
    fn end_idle(&mut self) -> bool {
        let idle = self.guests.iter().filter(|(_, guest)| guest.answers == 0);
        let Some(id) = idle.min_by_key(|(_, guest)| guest.since).map(|(id, _)| *id) else {
            return false;
        };
        if let Some(guest) = self.guests.remove(&id) {
            self.counted -= u64::from(guest.is_counted());
            let _ = guest.cut.send(());
        }
        true
    }
}

impl Places {
    pub(crate) fn new(bounds: Bounds, is_public: bool) -> Arc<Self> {
        Arc::new(Self {
            bounds,
            is_public,
            all: Mutex::default(),
        })
    }

    fn all(&self) -> MutexGuard<'_, AllPlaces> {
        self.all.lock()
    }

    /// A new connection; what is returned second resolves when it has to end.
    pub(crate) fn enter(self: &Arc<Self>, peer: Peer) -> (Place, oneshot::Receiver<()>) {
        let (cut, ended) = oneshot::channel();
        let mut all = self.all();
        let of_peer = all.of_peer.get(&peer).copied().unwrap_or(0);
        let is_ended = if of_peer as u64 >= self.bounds.keyless_per_address {
            all.end_stranger(Some(peer))
        } else if all.strangers.len() as u64 >= self.bounds.keyless_connections {
            all.end_stranger(None)
        } else {
            false
        };
        let id = all.next;
        all.next += 1;
        all.strangers.insert(id, Stranger { peer, cut });
        *all.of_peer.entry(peer).or_default() += 1;
        self.tell(&all);
        drop(all);
        if is_ended {
            metrics::counter!("tidegate_http_turned_away_total", "why" => "keyless_connections")
                .increment(1);
        }
        let place = Place(Arc::new(Inner {
            id,
            peer,
            places: Arc::clone(self),
            is_guest: AtomicBool::new(false),
            strange: AtomicU32::new(0),
        }));
        (place, ended)
    }

    /// Nothing is left to accept connections with: end one that nobody misses.
    pub(crate) fn make_room(&self) {
        let mut all = self.all();
        if !all.end_stranger(None) {
            all.end_idle();
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "there are not that many")]
    fn tell(&self, all: &AllPlaces) {
        if !self.is_public {
            return;
        }
        let gauge = |state, count| {
            metrics::gauge!("tidegate_http_connections", "state" => state).set(count as f64);
        };
        gauge("keyless", all.strangers.len());
        let counted = usize::try_from(all.counted).unwrap_or(usize::MAX);
        gauge("keyed", counted);
        gauge("stream", all.guests.len().saturating_sub(counted));
    }
}

/// A connection's place.
#[derive(Clone)]
pub(crate) struct Place(Arc<Inner>);

struct Inner {
    id: u64,
    peer: Peer,
    places: Arc<Places>,
    is_guest: AtomicBool,
    /// Requests without an accepted key.
    strange: AtomicU32,
}

impl Place {
    pub(crate) fn peer(&self) -> Peer {
        self.0.peer
    }

    /// A key was accepted. `false` if there is no room for one more guest: all of them are being answered.
    pub(super) fn accepted(&self) -> bool {
        if self.0.is_guest.load(Ordering::Relaxed) {
            return true;
        }
        let places = &self.0.places;
        let mut all = places.all();
        if all.counted >= places.bounds.connections && !all.end_idle() {
            return false;
        }
        let Some(stranger) = all.forget(self.0.id) else {
            // It has to end already.
            return true;
        };
        let guest = Guest {
            cut: stranger.cut,
            // This one.
            answers: 1,
            streams: 0,
            since: Instant::now(),
        };
        all.guests.insert(self.0.id, guest);
        all.counted += 1;
        self.0.is_guest.store(true, Ordering::Relaxed);
        places.tell(&all);
        true
    }

    /// A request came without an accepted key. Says whether it is the last one that is answered here.
    pub(super) fn is_strange(&self) -> bool {
        self.0.strange.fetch_add(1, Ordering::Relaxed) + 1 >= STRANGE_REQUESTS
    }

    /// A request is being answered until what is returned is dropped.
    pub(crate) fn answering(&self) -> Answering {
        let answering = Answering {
            place: self.clone(),
            is_counted: self.0.is_guest.load(Ordering::Relaxed),
        };
        if answering.is_counted {
            self.change(|guest| guest.answers += 1);
        }
        answering
    }

    /// The answer is one that is counted elsewhere, until what is returned is dropped.
    pub(super) fn streaming(&self) -> Streaming {
        self.change(|guest| guest.streams += 1);
        Streaming(self.clone())
    }

    fn change(&self, change: impl FnOnce(&mut Guest)) {
        let places = &self.0.places;
        let mut all = places.all();
        let Some(guest) = all.guests.get_mut(&self.0.id) else {
            return;
        };
        let was_counted = guest.is_counted();
        change(guest);
        guest.since = Instant::now();
        let is_counted = guest.is_counted();
        if was_counted != is_counted {
            all.counted = all.counted + u64::from(is_counted) - u64::from(was_counted);
            places.tell(&all);
        }
    }

    /// The connection has ended.
    pub(crate) fn leave(&self) {
        let places = &self.0.places;
        let mut all = places.all();
        all.forget(self.0.id);
        if let Some(guest) = all.guests.remove(&self.0.id) {
            all.counted -= u64::from(guest.is_counted());
        }
        places.tell(&all);
    }
}

/// See [`Place::answering`].
pub(crate) struct Answering {
    place: Place,
    /// The request with which a stranger became a guest was counted then.
    is_counted: bool,
}

impl Drop for Answering {
    fn drop(&mut self) {
        if self.is_counted || self.place.0.is_guest.load(Ordering::Relaxed) {
            self.place
                .change(|guest| guest.answers = guest.answers.saturating_sub(1));
        }
    }
}

/// See [`Place::streaming`].
pub(super) struct Streaming(Place);

impl Drop for Streaming {
    fn drop(&mut self) {
        self.0
            .change(|guest| guest.streams = guest.streams.saturating_sub(1));
    }
}
