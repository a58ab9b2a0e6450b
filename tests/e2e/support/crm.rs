//! The API that most tests sync from, as `plugins/demo-crm` expects it, and how `plugins/rest` is
//! configured for the same: pages of contacts with a cursor.

use serde_json::{Value, json};

use super::cli::Tidegate;
use super::plugins;
use super::server::{Reply, Server};

/// A contact of this number and version.
pub fn contact(number: u32, version: u32) -> Value {
    json!({"id": format!("c{number}"), "name": format!("Contact {number}"), "version": version})
}

/// Contacts of these numbers.
pub fn contacts(numbers: std::ops::Range<u32>, version: u32) -> Vec<Value> {
    numbers.map(|number| contact(number, version)).collect()
}

/// The body of a page, with the cursor of the next one if there is one.
pub fn page(items: &[Value], next: Option<&str>) -> Value {
    json!({"items": items, "next_cursor": next, "as_of": "2026-01-01T00:00:00Z"})
}

/// A page as an answer.
pub fn reply(items: &[Value], next: Option<&str>) -> Reply {
    Reply::json(&page(items, next))
}

/// A plugin that syncs contacts from this API, deployed as `crm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    DemoCrm,
    Rest,
}

impl Source {
    pub const ALL: [Self; 2] = [Self::DemoCrm, Self::Rest];

    /// `INTEGRATION/SYNC`
    pub fn sync(self) -> &'static str {
        match self {
            Self::DemoCrm => "crm/contacts",
            Self::Rest => "crm/Contact",
        }
    }

    /// Deploy it, and add the connection `acme`.
    #[track_caller]
    pub fn set_up(self, tidegate: &Tidegate, origin: &str) {
        match self {
            Self::DemoCrm => {
                tidegate.deploy(&plugins::demo_crm(), "crm", origin);
                tidegate.connect("crm", "acme", origin);
            }
            Self::Rest => {
                tidegate.deploy(&plugins::rest(), "crm", origin);
                let words = format!("connections add crm acme --base-url {origin} --config");
                tidegate
                    .cmd(&words)
                    .arg(format!("models={}", rest_models()))
                    .ok();
            }
        }
    }
}

/// The integration's only model.
pub const MODEL: &str = "crm/Contact";

fn rest_models() -> Value {
    json!({"Contact": {
        "path": "/contacts",
        "records": "/items",
        "id": "/id",
        "pagination": {"style": "cursor", "parameter": "cursor", "cursor_pointer": "/next_cursor"},
    }})
}

/// Three contacts at first; since then one is new, one changed, one gone.
pub fn changing() -> Server {
    Server::start(|request| match request.query("updated_since") {
        None => reply(&contacts(1..4, 1), None),
        Some(_) => {
            let gone = json!({"id": "c3", "deleted": true});
            reply(&[contact(4, 1), contact(1, 2), gone], None)
        }
    })
}

/// The demo's plugin on such a server, after both syncs.
pub fn synced_twice(server: &Server) -> Tidegate {
    let tidegate = Tidegate::new();
    Source::DemoCrm.set_up(&tidegate, &server.origin());
    tidegate.sync_ok("crm/contacts", "acme");
    tidegate.sync_ok("crm/contacts", "acme");
    tidegate
}
