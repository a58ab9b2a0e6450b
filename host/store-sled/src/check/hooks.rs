//! Webhook endpoints, events, deliveries, and which of these wait.

use tidegate_engine::StoreError;
use tidegate_engine::webhook::{Delivery, Endpoint, EndpointId, Event};

use crate::disk::damaged;
use crate::layout::keys::{self, Key, Tag};
use crate::layout::rows::{self, Counters};

use super::checker::Checker;
use super::{ResumeAt, STEP};

/// Kinds of rows about webhooks.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Endpoint,
    Event,
    Delivery,
    Pending,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Endpoint, Self::Event, Self::Delivery, Self::Pending];

    pub(super) fn first(self) -> Key {
        Key::new(match self {
            Self::Endpoint => Tag::Endpoint,
            Self::Event => Tag::Event,
            Self::Delivery => Tag::Delivery,
            Self::Pending => Tag::Pending,
        })
    }
}

/// Check rows of one kind from `from` on.
pub(super) fn check(
    look: &mut Checker<'_>,
    kind: Kind,
    from: &Key,
) -> Result<ResumeAt, StoreError> {
    look.subject("webhooks");
    let prefix = kind.first();
    let counters: Option<Counters> = look
        .view
        .row(&keys::counters(), rows::decode)
        .unwrap_or(None);
    let last_event = counters.map_or(u64::MAX, |counters| counters.event);
    look.some_rows(from, &prefix.after_prefix(), STEP, |look, key, value| {
        let bad = |corrupt| damaged(key, corrupt);
        let rest = keys::rest(key, &prefix).map_err(bad)?;
        match kind {
            Kind::Endpoint => {
                let (id, _) = keys::split_endpoint(rest).map_err(bad)?;
                let row: Endpoint = rows::decode(value).map_err(bad)?;
                if row.id != id {
                    look.wrong_key(key, format!("its row is of endpoint {}", row.id));
                }
                Ok(())
            }
            Kind::Event => {
                let (seq, _) = keys::split_number(rest).map_err(bad)?;
                let row: Event = rows::decode(value).map_err(bad)?;
                if row.seq != seq {
                    look.wrong_key(key, format!("its row is of event number {}", row.seq));
                }
                if seq > last_event {
                    let what =
                        format!("the counter says that {last_event} was the last number given out");
                    look.wrong(format!("event number {seq}"), what);
                }
                Ok(())
            }
            Kind::Delivery => {
                let (id, seq) = keys::split_endpoint(rest).map_err(bad)?;
                let (seq, _) = keys::split_number(seq).map_err(bad)?;
                let row: Delivery = rows::decode(value).map_err(bad)?;
                delivery(look, key, (id, seq), &row)
            }
            Kind::Pending => {
                let (id, stream) = keys::split_endpoint(rest).map_err(bad)?;
                let (stream, seq) = keys::split_stream(stream).map_err(bad)?;
                let (seq, _) = keys::split_number(seq).map_err(bad)?;
                let row: Option<Delivery> =
                    look.view.row(&keys::delivery(id, seq), rows::decode)?;
                let waits =
                    row.is_some_and(|row| row.stream == stream && row.state.next_at().is_some());
                if !waits && !is_dropped(look, id)? {
                    look.wrong_key(key, "no such delivery waits");
                }
                Ok(())
            }
        }
    })
}

/// A delivery has an endpoint and an event, and is among those that wait if it does.
fn delivery(
    look: &mut Checker<'_>,
    key: &[u8],
    (id, seq): (EndpointId, u64),
    row: &Delivery,
) -> Result<(), StoreError> {
    if (row.endpoint, row.seq) != (id, seq) {
        look.wrong_key(
            key,
            format!("its row is of event number {} to {}", row.seq, row.endpoint),
        );
        return Ok(());
    }
    if is_dropped(look, id)? {
        return Ok(());
    }
    let place = format!("event number {seq} to {id}");
    if look.view.get(&keys::endpoint(id))?.is_none() {
        look.wrong(&place, "there is no such endpoint");
    }
    if look.view.get(&keys::event(seq))?.is_none() {
        look.wrong(&place, "there is no such event");
    }
    let pending = keys::pending_stream(id, row.stream.as_ref()).number(seq);
    if row.state.next_at().is_some() && look.view.get(&pending)?.is_none() {
        look.wrong(&place, "it waits, and is not among those that do");
    }
    Ok(())
}

/// Whether an endpoint is being removed.
fn is_dropped(look: &Checker<'_>, id: EndpointId) -> Result<bool, StoreError> {
    let row = keys::dropped_endpoints().raw(&id.to_bytes());
    Ok(look.view.get(&row)?.is_some())
}
