//! HTTP for plugins: building requests, reading responses, following pages.

mod form;
mod link;
mod multipart;
mod pace;
mod page;
mod paginate;
mod query;
mod request;
mod response;
mod responses;
mod retry_after;
mod sizes;
mod url;

pub use self::multipart::Multipart;
pub use self::page::HttpPage;
pub(crate) use self::paginate::is_beyond;
pub use self::paginate::{Pages, Paginate, Position};
pub use self::query::encode;
pub use self::request::RequestBuilder;
pub use self::response::Response;
pub use self::responses::{Expected, ItemResult, Responses, Verdict, default_verdict};
pub use self::sizes::PageSizes;
pub use self::url::resolve as resolve_url;
