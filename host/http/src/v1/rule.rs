//! The rule of a route: who may ask it, how much, how long, and what becomes of repeats.

use tidegate_engine::api_key::KeyScope;
use tidegate_engine::limits::API_REQUEST_BYTES;

/// What becomes of requests that come again under an idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeats {
    /// They get the first answer.
    Kept,
    /// The same, but the answer has a secret and is not kept: they are told so.
    Secret,
    /// The route sees to it itself.
    Own,
}

/// Who may ask a route, how much and how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    /// `None`: everybody.
    pub(super) scope: Option<KeyScope>,
    /// Most bytes of a body.
    pub(super) body: u64,
    /// Whether `api_request_ms` holds.
    pub(super) is_timed: bool,
    pub(super) repeats: Repeats,
}

impl Rule {
    /// Everybody.
    pub(super) const OPEN: Self = Self {
        scope: None,
        body: API_REQUEST_BYTES,
        is_timed: true,
        repeats: Repeats::Kept,
    };
    pub(super) const READ: Self = Self::of(KeyScope::Read);
    pub(super) const TRIGGER: Self = Self::of(KeyScope::Trigger);
    pub(super) const MANAGE: Self = Self::of(KeyScope::Manage);

    const fn of(scope: KeyScope) -> Self {
        Self {
            scope: Some(scope),
            ..Self::OPEN
        }
    }

    /// Whether its requests change something.
    pub(super) fn changes(self) -> bool {
        matches!(self.scope, Some(KeyScope::Trigger | KeyScope::Manage))
    }

    /// Its answers have secrets.
    pub(super) const fn secret(self) -> Self {
        Self {
            repeats: Repeats::Secret,
            ..self
        }
    }

    /// It knows itself what is to become of repeats.
    pub(super) const fn own_repeats(self) -> Self {
        Self {
            repeats: Repeats::Own,
            ..self
        }
    }

    /// With bodies up to so many bytes.
    pub(super) const fn body(self, bytes: u64) -> Self {
        Self {
            body: bytes,
            ..self
        }
    }

    /// As long as it takes: runs, uploads, streams and upkeep.
    pub(super) const fn untimed(self) -> Self {
        Self {
            is_timed: false,
            ..self
        }
    }
}
