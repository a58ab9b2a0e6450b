//! Models: kinds of records, and the types that belong to them.

use std::borrow::Cow;

use serde_json::Value;

/// The field that holds a record's id unless a model says otherwise.
const ID: &str = "id";

/// A type that belongs to a model: its name, the field of its ids and its schema are written once, here.
///
/// [`Record::model`] is what the manifest and the handlers take, and [`Record::MODEL`] the name, for tests and messages:
///
/// ```
/// use tidegate_sdk::prelude::*;
///
/// #[derive(Serialize, Deserialize)]
/// struct Order {
///     number: u64,
///     total: f64,
/// }
///
/// impl Record for Order {
///     const MODEL: &str = "Order";
///     const ID: &str = "number";
///     const SCHEMA: Option<&str> = Some(r#"{ "type": "object", "required": ["number"] }"#);
/// }
///
/// fn plugin() -> Plugin {
///     Plugin::new("shop", "0.1.0")
///         .host("base-url")
///         .sync(Sync::new("orders", orders).model(Order::model()))
/// }
///
/// async fn orders(cx: Cx) -> Result<()> {
///     let orders: Vec<Order> = cx.get("/orders").json().await?;
///     cx.batch(Order::model()).save_all(&orders)?.commit().await?;
///     Ok(())
/// }
/// ```
///
/// A plugin whose models come from its config has no such types: names and [`Model`]s do as well.
#[diagnostic::on_unimplemented(
    message = "`{Self}` belongs to no model",
    note = "say to which: `impl Record for {Self} {{ const MODEL: &str = \"…\"; }}`"
)]
pub trait Record {
    /// The model's name.
    const MODEL: &'static str;
    /// The field that holds a record's id.
    const ID: &'static str = ID;
    /// What the records are, in a sentence.
    const DESCRIPTION: Option<&'static str> = None;
    /// The JSON Schema of a record's body, as text.
    const SCHEMA: Option<&'static str> = None;

    /// The model, for the manifest, for batches and for full pulls.
    fn model() -> Model {
        Model {
            name: Cow::Borrowed(Self::MODEL),
            id: Cow::Borrowed(Self::ID),
            description: Self::DESCRIPTION.map(Cow::Borrowed),
            schema: Self::SCHEMA.map(Schema::from),
        }
    }
}

/// A kind of record: its name, the field of its ids, and an optional JSON Schema of its bodies. A text is the model of
/// that name; a type has one by [`Record`].
#[derive(Debug, Clone)]
#[must_use]
pub struct Model {
    pub(crate) name: Cow<'static, str>,
    pub(crate) id: Cow<'static, str>,
    pub(super) description: Option<Cow<'static, str>>,
    pub(super) schema: Option<Schema>,
}

impl Model {
    /// A model of this name, whose records have their id in the field `id`.
    pub fn new(name: impl Into<String>) -> Self {
        Model {
            name: Cow::Owned(name.into()),
            id: Cow::Borrowed(ID),
            description: None,
            schema: None,
        }
    }

    /// Records have their id in this field: a string that is not empty, or an integer.
    pub fn id(mut self, field: impl Into<String>) -> Self {
        self.id = Cow::Owned(field.into());
        self
    }

    /// What it is, in a sentence.
    pub fn describe(mut self, description: impl Into<String>) -> Self {
        self.description = Some(Cow::Owned(description.into()));
        self
    }

    /// The JSON Schema of a record's body: see [`Schema`].
    pub fn schema(mut self, schema: impl Into<Schema>) -> Self {
        self.schema = Some(schema.into());
        self
    }
}

impl From<&str> for Model {
    fn from(name: &str) -> Self {
        Model::new(name)
    }
}

impl From<String> for Model {
    fn from(name: String) -> Self {
        Model::new(name)
    }
}

impl From<&String> for Model {
    fn from(name: &String) -> Self {
        Model::new(name)
    }
}

/// A JSON Schema: from a `json!({…})` value (or `schemars`' `schema_for!(T).to_value()`), or from
/// JSON text. Text costs nothing at run time, so `include_str!("contact.schema.json")` makes the
/// smaller component.
#[derive(Debug, Clone)]
pub struct Schema(pub(super) Cow<'static, str>);

impl From<Value> for Schema {
    fn from(schema: Value) -> Self {
        Schema(Cow::Owned(
            serde_json::to_string(&schema).unwrap_or_default(),
        ))
    }
}

impl From<&'static str> for Schema {
    fn from(json: &'static str) -> Self {
        Schema(Cow::Borrowed(json))
    }
}

impl From<String> for Schema {
    fn from(json: String) -> Self {
        Schema(Cow::Owned(json))
    }
}
