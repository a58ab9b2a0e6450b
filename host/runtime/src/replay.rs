//! A run again, from its cassette: without network, store or time.

use std::sync::Arc;

use futures::FutureExt as _;
use serde_json::{Map, Value};
use tidegate_engine::Name;
use tidegate_engine::cassette::{
    Ask, Cassette, Difference, End, Head, Player, PluginId, differences,
};
use tidegate_engine::manifest::Manifest;
use tidegate_engine::redact::SecretTexts;
use tidegate_engine::run::{Figures, Target};

use crate::calls::{HostCalls, SafePoint};
use crate::engine::Runtime;
use crate::meter::Meter;
use crate::observer::Observer;
use crate::output::OutputCheck;
use crate::plugin::Plugin;
use crate::run::RunInput;
use crate::tape::{Recording, Stop, Tape};

/// What a component says of the sync or action that it replays.
#[derive(Debug)]
pub struct Function {
    /// Models that it may read and write.
    pub models: Vec<Name>,
    /// What an action's output is checked with.
    pub output_check: Option<OutputCheck>,
}

/// What a replay did.
#[derive(Debug)]
pub struct Replayed {
    /// Commits, snapshots and metadata, in order.
    pub effects: Vec<Ask>,
    pub end: End,
    /// What the plugin asked that the cassette has no answer to; the replay ended there.
    pub missing: Option<String>,
    /// The replay came to where the recorded run was cut, and ended there.
    pub cut: bool,
    /// Requests that the cassette answered.
    pub requests: u64,
    pub figures: Figures,
    /// The bytes of the new cassette, or why there is no whole one; `None` if none was asked for.
    pub recorded: Option<Result<u64, String>>,
}

impl Replayed {
    /// How it differs from the recording; empty when it did the same, byte for byte.
    #[must_use]
    pub fn differences(&self, cassette: &Cassette) -> Vec<Difference> {
        let mut recorded: Vec<&Ask> = cassette.effects().collect();
        let mut replayed: Vec<&Ask> = self.effects.iter().collect();
        if let Some(missing) = &self.missing {
            // What would have come after it is not missing, it was not reached.
            recorded.truncate(replayed.len());
            let mut found = differences(&recorded, &replayed, None);
            found.push(Difference::new("a request", missing.as_str()));
            return found;
        }
        // When a run is cut is chance: a replay may get further.
        if cassette.was_cut() {
            replayed.truncate(recorded.len());
        }
        let ends = (!cassette.was_cut()).then_some((&cassette.end, &self.end));
        differences(&recorded, &replayed, ends)
    }
}

impl Runtime {
    /// Replay a cassette with a component, which may be another than the recorded one: `manifest`
    /// is its own, `function` what it says of the sync or action. With `recording`, write what happens as a new
    /// cassette.
    pub async fn replay(
        &self,
        plugin: &Plugin,
        manifest: Manifest,
        function: Function,
        cassette: &Cassette,
        recording: Option<Recording>,
        observer: Arc<dyn Observer>,
    ) -> Replayed {
        let head = Head {
            plugin: PluginId {
                name: manifest.name.clone(),
                version: manifest.version.to_string(),
                digest: plugin.digest(),
            },
            ..cassette.head.clone()
        };
        let Function {
            models,
            output_check,
        } = function;
        let recording = recording.map(|recording| (recording, &head));
        let tape = Arc::new(Tape::replay(Player::new(cassette), recording));
        let given = RunInput {
            metadata: object(&head.metadata),
            output_check,
            head,
            capabilities: manifest.capabilities,
            models,
            // What was recorded is without them.
            secrets: SecretTexts::default(),
            calls: HostCalls {
                live: None,
                tape: Some(Arc::clone(&tape)),
                rest: SafePoint::new(Arc::clone(&observer)),
            },
            meter: Arc::new(Meter::default()),
            cancelled: std::future::pending().boxed(),
        };
        let result = self.perform(plugin, given, observer).await;
        let played = tape.played();
        let is_sync = matches!(cassette.head.target, Target::Sync(_));
        let end = End::of(result.outcome, result.failure, result.output, is_sync);
        let (missing, cut) = match played.stopped {
            None => (None, false),
            Some(Stop::Over) => (None, true),
            // A run that was cut goes on here to where it had not got to.
            Some(Stop::Missing(_)) if cassette.was_cut() && played.used_up => (None, true),
            Some(Stop::Missing(what)) => (Some(what), false),
        };
        Replayed {
            effects: played.effects,
            end,
            missing,
            cut,
            requests: played.requests,
            figures: result.figures,
            recorded: result.recorded,
        }
    }
}

/// An object of JSON text; anything else is as good as none.
fn object(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap_or_default()
}
