//! One declaration of a plugin: what it says of itself and the handlers that do it.

mod auth;
mod define;
mod dispatch;
mod manifest;
mod model;
mod oauth;

use std::fmt;
use std::rc::Rc;

use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};

pub use self::auth::{Auth, ConfigKey, HeaderAuth, Name, TemplateAuth};
pub(crate) use self::define::SharedHandler;
pub use self::define::{Action, HandlerFuture, Sync};
use self::define::{Event, value_handler};
pub use self::model::{Model, Record, Schema};
pub use self::oauth::{ClientAuth, OAuth, TokenUrl};
use crate::Cx;

/// The event that asks whether a connection works.
const CHECK: &str = "connection-check";

/// A plugin: its manifest and its handlers, declared together so that they can't drift apart.
///
/// Names match `[A-Za-z0-9][A-Za-z0-9_.-]{0,63}`. Nothing is checked here: the fake host checks
/// the whole declaration in native tests, and the host at deploy.
#[must_use]
pub struct Plugin {
    name: String,
    version: String,
    description: Option<String>,
    syncs: Vec<Sync>,
    actions: Vec<Action>,
    events: Vec<Event>,
    models: Vec<Model>,
    hosts: Vec<String>,
    feeds: Vec<String>,
    metadata_write: bool,
    limits: Vec<(String, u64)>,
    rate_limit: Option<(u32, std::time::Duration)>,
    config: Option<Schema>,
    auth: Vec<Auth>,
}

impl Plugin {
    /// A plugin of this name and (semver) version: usually
    /// `Plugin::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))`.
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Self {
        Plugin {
            name: name.into(),
            version: version.into(),
            description: None,
            syncs: Vec::new(),
            actions: Vec::new(),
            events: Vec::new(),
            models: Vec::new(),
            hosts: Vec::new(),
            feeds: Vec::new(),
            metadata_write: false,
            limits: Vec::new(),
            rate_limit: None,
            config: None,
            auth: Vec::new(),
        }
    }

    /// What it is, in a sentence.
    pub fn describe(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// Ask to reach an origin: `https://api.example.com`, `https://*.example.com`, or `base-url`
    /// for the origin of each connection's base URL, or `granted` for whatever the operator grants, where a
    /// connection's config names hosts. The operator grants, or doesn't.
    pub fn host(mut self, origin: impl Into<String>) -> Self {
        self.hosts.push(origin.into());
        self
    }

    /// Ask to read a change feed: `integration/model`, or `config` when the connection's config
    /// names them.
    pub fn feed(mut self, feed: impl Into<String>) -> Self {
        self.feeds.push(feed.into());
        self
    }

    /// Ask to merge the connection's metadata ([`Cx::merge_metadata`]).
    pub fn metadata_write(mut self) -> Self {
        self.metadata_write = true;
        self
    }

    /// Ask for a limit other than the default, for example `memory_bytes`.
    pub fn limit(mut self, name: impl Into<String>, value: u64) -> Self {
        self.limits.push((name.into(), value));
        self
    }

    /// How fast the API lets one account ask: so many requests in this time, spread evenly. The
    /// host holds all runs of a connection to it together.
    pub fn rate_limit(mut self, requests: u32, per: std::time::Duration) -> Self {
        self.rate_limit = Some((requests, per));
        self
    }

    /// The JSON Schema of a connection's config.
    pub fn config(mut self, schema: impl Into<Schema>) -> Self {
        self.config = Some(schema.into());
        self
    }

    /// A way to authenticate: where the connection's secrets go on a request. With several, the
    /// host uses the first whose secrets the connection all has.
    pub fn auth(mut self, auth: impl Into<Auth>) -> Self {
        self.auth.push(auth.into());
        self
    }

    /// Describe a model, with its JSON Schema. Models that syncs and actions name need not be
    /// described.
    pub fn model(mut self, model: impl Into<Model>) -> Self {
        self.models.push(model.into());
        self
    }

    /// Add a sync.
    pub fn sync(mut self, sync: Sync) -> Self {
        self.syncs.push(sync);
        self
    }

    /// Add an action.
    pub fn action(mut self, action: Action) -> Self {
        self.actions.push(action);
        self
    }

    /// Answer `connection-check`: do one cheap authenticated request; `Ok` means that the
    /// connection works.
    pub fn check<F, Fut>(self, handler: F) -> Self
    where
        F: Fn(Cx) -> Fut + 'static,
        Fut: HandlerFuture<()> + 'static,
    {
        self.on_event(CHECK, move |cx, _: IgnoredAny| handler(cx))
    }

    /// Answer an event: `connection-created`, which comes at least once and again when it fails, or
    /// `connection-removed`, which comes once and may take 10 s. `P` is decoded from the event's
    /// payload. Kinds without a handler are answered with `unsupported`.
    pub fn on_event<P, O, F, Fut>(mut self, kind: impl Into<String>, handler: F) -> Self
    where
        P: DeserializeOwned + 'static,
        O: Serialize + 'static,
        F: Fn(Cx, P) -> Fut + 'static,
        Fut: HandlerFuture<O> + 'static,
    {
        let kind = kind.into();
        self.events.push(Event {
            run: Rc::from(value_handler(
                format!("the payload of event {kind}"),
                handler,
            )),
            kind,
        });
        self
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin")
            .field("name", &self.name)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}
