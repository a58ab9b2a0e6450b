//! Webhooks: what happened, which endpoints want to hear of it, and how they are told.
//!
//! An **event** says what happened. It is written in the transaction of what it tells of, with one
//! **delivery** for each **endpoint** that wants it. `docs/webhooks.md` says what holders of endpoints
//! may rely on; here are the rules, without I/O:
//!
//! | module | its one job |
//! |---|---|
//! | `id` | ids of endpoints and events |
//! | `endpoint` | an endpoint, what it wants, and whether it is well |
//! | `event` | an event and its body |
//! | `telling` | the events that there are, made from what they tell of |
//! | `delivery` | a delivery with its attempts |
//! | `early` | what is tried before its time, once its endpoint is back or to see whether it is |
//! | `outbox` | which endpoints an event goes to |
//! | `retry` | what becomes of a delivery, and of its endpoint, after an attempt |
//! | `room` | which deliveries are taken up while there is room for some only |
//! | `sign` | secrets, signatures and their check, as Standard Webhooks has them |
//! | `redact` | what may be kept of an endpoint's answer |

mod delivery;
mod early;
mod endpoint;
mod event;
mod id;
mod outbox;
mod payloads;
mod redact;
mod retry;
mod room;
mod sign;

pub use delivery::{Attempt, Delivery, DeliveryError, DeliveryErrorKind, DeliveryState};
pub use early::{Head, due, probed};
pub use endpoint::{
    Disabled, Endpoint, EndpointError, SealedSecret, WhyDisabled, check, updated, without_query,
};
pub use event::{Event, EventType, EventTypeError, NewEvent};
pub use id::{EndpointId, EventId, IdError};
pub use outbox::{Outbox, route};
pub use payloads::{connection_failed, endpoint_disabled, run_ended, schedule_paused};
pub use redact::kept_response;
pub use retry::{ATTEMPTS, AttemptedDelivery, delay_ms, replayed, settled};
pub use room::{EndpointHealth, Waiting, choose};
pub use sign::{SecretError, SigningSecret, VerifyError, signature, verify};
