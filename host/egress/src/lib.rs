//! The one gate for every outgoing byte.
//!
//! Plugins run with their users' credentials beside them, so what leaves is decided here and
//! nowhere else: this is the only crate of the workspace that knows an HTTP client.
//!
//! # A request's way
//!
//! [`Session::send`] → budgets (`meter`) → the URL (`target`) and headers (`headers`) → the
//! gate (`gate`: manifest and grants in `policy`, addresses in `address`) → up to 4 attempts
//! (`retry`, paid for from a `budget`), each of up to 3 redirects (`redirect`) that pass the gate again →
//! its turn (`throttle`) → credentials (`credentials`) → the client (`client`: names through `resolve`, peers through `peer`)
//! → the body (`body`) or one of ten errors (`error`).
//!
//! # Layout
//!
//! | module | its one job |
//! |---|---|
//! | `gate` | what all sessions share; the check that each request and redirect passes |
//! | `session` | one run's requests: budgets, attempts and redirects |
//! | `policy` | what one run may reach, and why a URL is refused |
//! | `address` | which IP addresses may be connected to |
//! | `resolve` | names to addresses, all of them judged |
//! | `peer` | the open connection's peer, judged again |
//! | `client` | the HTTP client of a session |
//! | `clients` | those of connections that ran lately |
//! | `target` | the guest's text and the base URL make one URL |
//! | `headers` | headers both ways |
//! | `credentials` | the connection's secrets on its own origin |
//! | `token` | tokens that change while a run goes on |
//! | `endpoint` | requests to a token endpoint, under a grant of their own |
//! | `session::deliver` | webhooks and traces to their receivers, under an allowance of their own |
//! | `redirect` | what the next request is, and what it must not carry along |
//! | `message`, `timers` | requests and answers; time and chance |
//! | `retry` | which answers are asked for again, and when |
//! | `budget` | how many retries all runs of an integration have left |
//! | `throttle` | the pace at one origin, shared by all runs of a connection |
//! | `said` | what an answer's headers say about the pace |
//! | `registry` | what is shared by owner and origin, bounded |
//! | `proxy` | the operator's egress proxy |
//! | `body` | the answer's body within limits; the client's errors in our words |
//! | `meter` | figures and budgets |
//! | `held` | bytes that the host holds, of a run and of all runs |
//! | `error` | why there is no response, and who must act |
//!
//! # What always holds
//!
//! - Nothing is sent before `gate` has said yes to the URL: to each redirect's too.
//! - A connection leads to an address that was judged: a literal before, a name's when it was
//!   looked up for this connection, and both again when it is open.
//! - Credentials of the connection are on requests to its base URL's origin only, are added after
//!   the gate to a copy of the request, and are in no error, no `Debug` text and no response's URL.
//! - Runs of two connections share no open connection, no TLS ticket and no cookie. There are no cookies.
//! - Everything has a limit, and an error that names it.

mod body;
mod budget;
mod client;
mod clients;
mod credentials;
mod deadline;
mod decode;
mod endpoint;
mod error;
mod gate;
mod headers;
mod held;
mod hints;
mod message;
mod meter;
mod peer;
mod policy;
mod proxy;
mod redirect;
mod registry;
mod resolve;
mod retry;
mod sent;
mod session;
mod throttle;
mod timers;
mod token;

pub use credentials::{Credentials, CredentialsError};
pub use endpoint::TokenEndpoint;
pub use error::{EgressError, Missing, TokenFault};
pub use gate::{Gate, GateOptions};
pub use held::{Account, Overdrawn, Pool, Share};
pub use hints::{Quota, RateLimitHints};
pub use message::{Request, Response, Retry};
pub use meter::Figures;
pub use policy::Policy;
pub use proxy::{Proxy, ProxyError};
pub use resolve::{Resolve, SystemResolver};
pub use retry::is_idempotent;
pub use sent::Sent;
pub use session::Session;
pub use session::deliver::{Answer, Receiver};
pub use tidegate_rules::address::{AddressPolicy, Refused};
pub use timers::{SystemTimers, Timers};
// Whoever gives the gate credentials has secrets.
pub use tidegate_engine::redact::{Secret, SecretTexts};
pub use token::TokenSource;
