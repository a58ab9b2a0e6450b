//! What a plugin is made of: syncs, actions, models, and their handlers.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::model::{Model, Schema};
use crate::{Cx, Failure, Result};

pub(crate) type Running<T> = Pin<Box<dyn Future<Output = Result<T>>>>;
pub(super) type UnitHandler = Box<dyn Fn(Cx) -> Running<()>>;
/// JSON text in, JSON text out.
pub(crate) type SharedHandler = Rc<dyn Fn(Cx, String) -> Running<String>>;
pub(super) type ValueHandler = Box<dyn Fn(Cx, String) -> Running<String>>;

/// What a handler gives when it is called: every future of a [`Result<T>`], so what an `async fn` gives that returns one.
/// A trait of its own only for what the compiler says of other ones.
#[diagnostic::on_unimplemented(
    message = "this is no handler: it has to be an `async fn` that returns `tidegate_sdk::Result<{T}>`",
    label = "gives `{Self}`",
    note = "a sync is `async fn name(cx: Cx) -> Result<()>`, an action `async fn name(cx: Cx, input: I) -> Result<O>`; \
            the error is `Failure`, which `?` makes of every standard error"
)]
pub trait HandlerFuture<T>: Future<Output = Result<T>> {}

#[diagnostic::do_not_recommend]
impl<T, F: Future<Output = Result<T>>> HandlerFuture<T> for F {}

/// A sync: pulls records of one or several models from the outside API.
#[must_use]
pub struct Sync {
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) models: Vec<Model>,
    pub(super) schedule: Option<Schedule>,
    pub(super) each: Option<String>,
    pub(super) run: UnitHandler,
}

pub(super) enum Schedule {
    Every(String),
    Cron {
        expression: String,
        timezone: String,
    },
}

impl Sync {
    /// A sync of this name. It returns when everything that could be read has been committed.
    pub fn new<F, Fut>(name: impl Into<String>, handler: F) -> Self
    where
        F: Fn(Cx) -> Fut + 'static,
        Fut: HandlerFuture<()> + 'static,
    {
        Sync {
            name: name.into(),
            description: None,
            models: Vec::new(),
            schedule: None,
            each: None,
            run: Box::new(move |cx| Box::pin(handler(cx))),
        }
    }

    /// As many syncs as the object at this JSON pointer of the connection's config has keys:
    /// each key is the name of a sync, and of the one model it writes. The handler learns which
    /// one is asked for from [`RunContext::name`](crate::RunContext).
    pub fn each<F, Fut>(pointer: impl Into<String>, handler: F) -> Self
    where
        F: Fn(Cx) -> Fut + 'static,
        Fut: HandlerFuture<()> + 'static,
    {
        let mut sync = Sync::new("*", handler).model("*");
        sync.each = Some(pointer.into());
        sync
    }

    /// What it does, in a sentence.
    pub fn describe(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// A model that it writes: a name, or a [`Model`] with a schema.
    pub fn model(mut self, model: impl Into<Model>) -> Self {
        self.models.push(model.into());
        self
    }

    /// Models that it writes.
    pub fn models<M: Into<Model>>(mut self, models: impl IntoIterator<Item = M>) -> Self {
        self.models.extend(models.into_iter().map(Into::into));
        self
    }

    /// Run it by default every `15m`, `1h`, `1d` (`s`, `m`, `h`, `d`; at least `10s`).
    pub fn every(mut self, interval: impl Into<String>) -> Self {
        self.schedule = Some(Schedule::Every(interval.into()));
        self
    }

    /// Run it by default when a cron expression (5 fields) is due in an IANA time zone, for
    /// example `cron("0 6 * * 1-5", "Europe/Berlin")`.
    pub fn cron(mut self, expression: impl Into<String>, timezone: impl Into<String>) -> Self {
        self.schedule = Some(Schedule::Cron {
            expression: expression.into(),
            timezone: timezone.into(),
        });
        self
    }
}

impl fmt::Debug for Sync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sync")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// An action: does one thing at the outside API, and returns a value.
#[must_use]
pub struct Action {
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) models: Vec<Model>,
    pub(super) each: Option<String>,
    pub(super) input: Option<Schema>,
    pub(super) output: Option<Schema>,
    pub(super) run: ValueHandler,
}

impl Action {
    /// An action of this name. `I` is decoded from the caller's input, which fails as `rejected`
    /// with the code `invalid-input` when it doesn't fit; `O` becomes the result.
    pub fn new<I, O, F, Fut>(name: impl Into<String>, handler: F) -> Self
    where
        I: DeserializeOwned + 'static,
        O: Serialize + 'static,
        F: Fn(Cx, I) -> Fut + 'static,
        Fut: HandlerFuture<O> + 'static,
    {
        let name = name.into();
        Action {
            run: value_handler(format!("the input of action {name}"), handler),
            name,
            description: None,
            models: Vec::new(),
            each: None,
            input: None,
            output: None,
        }
    }

    /// As many actions as the object at this JSON pointer of the connection's config has keys: each
    /// key is the name of an action. The handler learns which one is asked for from
    /// [`RunContext::name`](crate::RunContext). It may read and write the models of the plugin's
    /// [`Sync::each`].
    pub fn each<I, O, F, Fut>(pointer: impl Into<String>, handler: F) -> Self
    where
        I: DeserializeOwned + 'static,
        O: Serialize + 'static,
        F: Fn(Cx, I) -> Fut + 'static,
        Fut: HandlerFuture<O> + 'static,
    {
        let mut action = Action::new("*", handler).model("*");
        action.each = Some(pointer.into());
        action
    }

    /// What it does, in a sentence.
    pub fn describe(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// A model that it reads or writes.
    pub fn model(mut self, model: impl Into<Model>) -> Self {
        self.models.push(model.into());
        self
    }

    /// The JSON Schema of its input; the host checks it before the call.
    pub fn input(mut self, schema: impl Into<Schema>) -> Self {
        self.input = Some(schema.into());
        self
    }

    /// The JSON Schema of its result; the host checks it after the call.
    pub fn output(mut self, schema: impl Into<Schema>) -> Self {
        self.output = Some(schema.into());
        self
    }
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Action")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

pub(super) struct Event {
    pub(super) kind: String,
    pub(super) run: SharedHandler,
}

/// A typed handler as one from JSON text to JSON text. `what` names the input in failures.
pub(super) fn value_handler<I, O, F, Fut>(what: String, handler: F) -> ValueHandler
where
    I: DeserializeOwned + 'static,
    O: Serialize + 'static,
    F: Fn(Cx, I) -> Fut + 'static,
    Fut: HandlerFuture<O> + 'static,
{
    // The handler is shared, as the future may not borrow from the plugin.
    let handler = Rc::new(handler);
    let what = Rc::new(what);
    Box::new(move |cx, input| {
        let handler = Rc::clone(&handler);
        let what = Rc::clone(&what);
        Box::pin(async move {
            let input: I = serde_json::from_str(&input).map_err(|error| {
                Failure::rejected(format!("{what} does not fit: {error}")).code("invalid-input")
            })?;
            let output = handler(cx, input).await?;
            Ok(serde_json::to_string(&output)?)
        })
    })
}
