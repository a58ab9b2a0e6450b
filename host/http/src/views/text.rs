//! Texts with a form: ids, names, URLs. Their types have one text each, so that the engine's own stand in answers and
//! requests; these here are what the document says of them.

use serde::{Serialize, Serializer};
use tidegate_engine::Timestamp;
use tidegate_service::display;
use utoipa::openapi::schema::{
    AdditionalProperties, ObjectBuilder, Schema, SchemaFormat, SchemaType, Type,
};
use utoipa::openapi::{KnownFormat, RefOr};
use utoipa::{PartialSchema, ToSchema};

/// A text of that pattern.
fn pattern(pattern: &str, description: &str) -> RefOr<Schema> {
    let text = ObjectBuilder::new().schema_type(Type::String);
    let text = text.pattern(Some(pattern)).description(Some(description));
    text.build().into()
}

/// A text of that format.
fn format(format: SchemaFormat, description: &str) -> RefOr<Schema> {
    let text = ObjectBuilder::new().schema_type(Type::String);
    let text = text.format(Some(format)).description(Some(description));
    text.build().into()
}

macro_rules! texts {
    ($($(#[doc = $doc:literal])* $name:ident = $pattern:literal;)*) => {
        $(
            $(#[doc = $doc])*
            #[derive(Debug)]
            pub(crate) enum $name {}

            impl PartialSchema for $name {
                fn schema() -> RefOr<Schema> {
                    pattern($pattern, concat!($($doc),*).trim_start())
                }
            }

            impl ToSchema for $name {}
        )*

        /// All of them with the time, by name: parameters only refer to them.
        pub(crate) fn schemas() -> Vec<(String, RefOr<Schema>)> {
            vec![
                (Time::name().into_owned(), Time::schema()),
                (Url::name().into_owned(), Url::schema()),
                $(($name::name().into_owned(), $name::schema()),)*
            ]
        }
    };
}

texts! {
    /// The name of an integration, sync, action, model or variant.
    Name = "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$";
    /// The name of a connection: usually the application's own id of its customer.
    ConnectionName = "^[A-Za-z0-9][A-Za-z0-9_.:@-]{0,127}$";
    /// The id of a run. Ids sort by the time at which they were made.
    RunId = "^run_[0-7][0-9A-HJKMNP-TV-Z]{25}$";
    /// The id of a job.
    JobId = "^job_[0-7][0-9A-HJKMNP-TV-Z]{25}$";
    /// The id of a schedule.
    ScheduleId = "^sch_[0-7][0-9A-HJKMNP-TV-Z]{25}$";
    /// The id of a webhook endpoint.
    EndpointId = "^ep_[0-7][0-9A-HJKMNP-TV-Z]{25}$";
    /// The id of an event.
    EventId = "^evt_[0-7][0-9A-HJKMNP-TV-Z]{25}$";
    /// The id of an API key, which opens nothing.
    ApiKeyId = "^key_[0-7][0-9A-HJKMNP-TV-Z]{25}$";
    /// The sha256 of a component.
    Digest = "^[0-9a-f]{64}$";
    /// A version of a plugin, as of Semantic Versioning 2.0.0.
    Version = "^(0|[1-9][0-9]*)[.](0|[1-9][0-9]*)[.](0|[1-9][0-9]*)([-+].+)?$";
    /// An origin to send requests to: a scheme, and a host, `*.` with a host below it, or a range of addresses; perhaps a port.
    HostPattern = "^https?://[^/?#]+(/[0-9]+(:[0-9]+)?)?/?$";
    /// A range of IP addresses in CIDR notation.
    IpRange = "^[0-9A-Fa-f.:]+/[0-9]{1,3}$";
    /// A change feed: `INTEGRATION/MODEL` of the connection of the same name, `INTEGRATION/MODEL@CONNECTION` of
    /// that one, `INTEGRATION/MODEL@*` of each.
    FeedGrant = "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}/[A-Za-z0-9][A-Za-z0-9_.-]{0,63}(@([*]|[A-Za-z0-9][A-Za-z0-9_.:@-]{0,127}))?$";
    /// A JSON pointer (RFC 6901) into the connection's config.
    ConfigPointer = "^/";
}

/// A URL.
#[derive(Debug)]
pub(crate) enum Url {}

impl PartialSchema for Url {
    fn schema() -> RefOr<Schema> {
        let uri = SchemaFormat::Custom("uri".to_owned());
        format(uri, "A URL, absolute")
    }
}

impl ToSchema for Url {}

/// Any JSON: a plugin's own, or a JSON Schema.
#[derive(Debug)]
pub(crate) enum JsonValue {}

impl PartialSchema for JsonValue {
    fn schema() -> RefOr<Schema> {
        let any = ObjectBuilder::new().schema_type(SchemaType::AnyValue);
        any.description(Some("Any JSON")).build().into()
    }
}

impl ToSchema for JsonValue {}

/// An object with any members: a customer's data.
#[derive(Debug)]
pub(crate) enum JsonObject {}

impl PartialSchema for JsonObject {
    fn schema() -> RefOr<Schema> {
        let object = ObjectBuilder::new().schema_type(Type::Object);
        let object = object.additional_properties(Some(AdditionalProperties::FreeForm(true)));
        object
            .description(Some("An object with any members"))
            .build()
            .into()
    }
}

impl ToSchema for JsonObject {}

/// A time: RFC 3339, in answers in UTC with milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Time(pub(crate) Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&display::time(self.0))
    }
}

impl PartialSchema for Time {
    fn schema() -> RefOr<Schema> {
        let date_time = SchemaFormat::KnownFormat(KnownFormat::DateTime);
        format(date_time, "RFC 3339; in answers in UTC with milliseconds")
    }
}

impl ToSchema for Time {}
