//! Secret texts: one, and all that one run may come across.

use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;
use zeroize::Zeroizing;

use super::Redactor;

/// Tokens that came while a run went on and are still looked for; the oldest are forgotten first, as they
/// expired long ago.
const LEARNED_MAX: usize = 32;

/// A secret text. It is never printed, and its memory is overwritten when it is dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself: for sending it, never for showing it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// The secrets that a run may come across, which nothing stored or shown may hold. Tokens are
/// added as they come, before they are used. Clones are the same list.
#[derive(Debug, Clone, Default)]
pub struct SecretTexts(Arc<RwLock<Known>>);

#[derive(Debug, Default)]
struct Known {
    given: Vec<Secret>,
    /// Newest last.
    learned: Vec<Secret>,
    /// That of all of them, once somebody has asked for it.
    redactor: Option<Arc<Redactor>>,
}

impl Known {
    fn all(&self) -> impl Iterator<Item = &Secret> {
        self.given.iter().chain(&self.learned)
    }

    fn knows(&self, secret: &Secret) -> bool {
        self.all().any(|own| own.expose() == secret.expose())
    }
}

impl SecretTexts {
    #[must_use]
    pub fn new(secrets: Vec<Secret>) -> Self {
        Self(Arc::new(RwLock::new(Known {
            given: secrets,
            ..Known::default()
        })))
    }

    /// Add one, unless it is there.
    pub fn learn(&self, secret: &Secret) {
        if self.0.read().knows(secret) {
            return;
        }
        let mut known = self.0.write();
        if known.knows(secret) {
            return;
        }
        known.learned.push(secret.clone());
        if known.learned.len() > LEARNED_MAX {
            known.learned.remove(0);
        }
        known.redactor = None;
    }

    /// What takes out all of them that are known now.
    #[must_use]
    pub fn redactor(&self) -> Arc<Redactor> {
        let known = self.0.read();
        if let Some(redactor) = &known.redactor {
            return Arc::clone(redactor);
        }
        drop(known);
        let mut known = self.0.write();
        let made = Arc::new(Redactor::new(known.all()));
        Arc::clone(known.redactor.get_or_insert(made))
    }
}
