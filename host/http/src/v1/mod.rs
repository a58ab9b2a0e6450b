//! The HTTP API `/v1`: routes over [`Control`](tidegate_service::control::Control), described by what they are.
//!
//! A group of routes is a file with a function `routes`, and a line in [`GROUPS`]. Each route is added
//! with a [`Rule`](rule::Rule): who may ask, how much, how long. What the rule says stands in the
//! OpenAPI document too, against which `tests/e2e/api` tries every route.
//!
//! | module | its one job |
//! |---|---|
//! | `app` | what all requests share |
//! | `bounds` | the bounds that the operator may set |
//! | `places` | connections: who has shown a key, who has to go |
//! | `strangers` | requests without a key: how fast, and what the log tells of them |
//! | `host` | whom a request is for |
//! | `room` | what is held for clients at once: bytes, answers, streams |
//! | `rule` | who may ask a route, how much, how long; repeats |
//! | `routes` | routes under their rules, and the document that comes of them |
//! | `guard` | who asks, whether they may, how much and how long |
//! | `keyring` | the API keys in memory, and how fast each asks |
//! | `extract` | bodies, queries and paths, or the problem with them |
//! | `page` | pages of listings |
//! | `body` | how much body a route takes |
//! | `pulse` | whether the store has answered lately |
//! | `in_flight` | idempotency keys of requests that are being done |
//! | `problem` | problem details (RFC 9457), their types and their status |
//! | `trace` | ids, logs and metrics of requests; problems become answers here |
//! | `stream` | answers that go on: lines, events |
//! | the others | one group of routes each |

mod actions;
mod api_keys;
mod app;
mod body;
mod bounds;
mod connections;
mod data;
mod docs;
mod extract;
mod guard;
mod health;
mod host;
mod idempotency;
mod in_flight;
mod integrations;
mod jobs;
mod keyring;
mod master_keys;
mod metrics;
mod page;
mod places;
mod problem;
mod proxy;
mod pulse;
mod records;
mod room;
mod routes;
mod rule;
mod runs;
mod schedules;
mod strangers;
mod stream;
mod syncs;
mod trace;
mod webhooks;

use axum::{Extension, Router};

use app::Entrance;
pub(crate) use app::{App, Parts, Shared};
pub use bounds::Bounds;
pub(crate) use data::receive;
pub(crate) use extract::Pace;
pub(crate) use host::Names;
pub(crate) use metrics::recorder;
pub(crate) use places::{Answering, Peer, Place, Places};
use routes::{Routes, Rule, guarded};

/// The groups of routes, in the order of the document.
const GROUPS: &[fn(Routes) -> Routes] = &[
    health::routes,
    metrics::routes,
    docs::routes,
    api_keys::routes,
    integrations::routes,
    connections::routes,
    records::routes,
    syncs::routes,
    actions::routes,
    proxy::routes,
    runs::routes,
    jobs::routes,
    schedules::routes,
    webhooks::routes,
    data::routes,
    master_keys::routes,
];

/// What applications ask.
pub(crate) fn public(app: &App) -> Router {
    let none = Routes::new(app);
    let (routes, mut document) = GROUPS.iter().fold(none, |all, group| group(all)).finish();
    docs::describe(&mut document);
    app.documented(&document);
    served(app, routes, Entrance::Public)
}

/// What this machine's commands ask, on a socket of their own.
pub(crate) fn own(app: &App) -> Router {
    // Every call may change anything, and takes its time.
    let rule = Rule::MANAGE.untimed().body(u64::MAX);
    let calls = crate::remote::routes(|calls| guarded(app, rule, calls));
    served(app, calls, Entrance::Own)
}

fn served(app: &App, routes: Router<App>, via: Entrance) -> Router {
    routes
        .fallback(problem::no_route)
        .method_not_allowed_fallback(problem::wrong_method)
        .layer(axum::middleware::from_fn_with_state(
            app.clone(),
            trace::trace,
        ))
        .layer(Extension(via))
        .with_state(app.clone())
}
