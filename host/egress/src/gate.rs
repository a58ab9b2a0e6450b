//! The gate of a process: what all sessions share, and the check that each request and redirect passes.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use tidegate_engine::Name;
use url::{Host, Url};

use crate::budget::Budget;
use crate::client;
use crate::clients::Clients;
use crate::error::{EgressError, Missing};
use crate::held::Pool;
use crate::policy::Policy;
use crate::proxy::{Proxy, Route};
use crate::registry::Registry;
use crate::resolve::{Guard, LookupError, Resolve, SystemResolver};
use crate::session::Session;
use crate::throttle::Throttle;
use crate::timers::{SystemTimers, Timers};
use tidegate_rules::address::{self, AddressPolicy, Refused};
use tidegate_rules::request::{self, shown};

/// What a gate is made of.
#[derive(Debug, Clone)]
pub struct GateOptions {
    /// Looks names up; the gate judges its answers.
    pub resolver: Arc<dyn Resolve>,
    /// Back-off's clock, sleep and chance.
    pub timers: Arc<dyn Timers>,
    /// Where this process listens. Never reachable, whatever is granted.
    pub own_addresses: Vec<SocketAddr>,
    /// Root certificates (DER) that are trusted besides the machine's, such as a company's own.
    pub extra_roots: Vec<Vec<u8>>,
    /// What all connections go through instead of leading straight to their targets.
    pub proxy: Option<Proxy>,
    /// What all runs together may hold of calls that have not ended.
    pub held: Pool,
}

impl Default for GateOptions {
    fn default() -> Self {
        Self {
            resolver: Arc::new(SystemResolver),
            timers: Arc::new(SystemTimers),
            own_addresses: Vec::new(),
            extra_roots: Vec::new(),
            proxy: None,
            held: Pool::default(),
        }
    }
}

/// The one gate of a process. Clones are the same gate.
#[derive(Debug, Clone)]
pub struct Gate(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    options: GateOptions,
    /// Made when the first request needs it: reading root certificates costs milliseconds.
    trusting: OnceLock<Result<ClientConfig, String>>,
    trusting_nobody: OnceLock<Result<ClientConfig, String>>,
    throttle: Throttle,
    clients: Clients,
    /// By integration: its connections fail together, when its API does.
    budgets: Registry<Name, Budget>,
}

impl Gate {
    #[must_use]
    pub fn new(options: GateOptions) -> Self {
        Self(Arc::new(Shared {
            options,
            trusting: OnceLock::new(),
            trusting_nobody: OnceLock::new(),
            throttle: Throttle::default(),
            clients: Clients::default(),
            budgets: Registry::default(),
        }))
    }

    /// A session for one run. Open connections and TLS tickets are those of its (integration, connection)
    /// and nobody else's, and it costs nothing until its first request.
    #[must_use]
    pub fn session(&self, policy: Policy) -> Session {
        Session::new(self.clone(), policy)
    }

    /// What all runs together may hold of calls that have not ended.
    #[must_use]
    pub fn held(&self) -> &Pool {
        &self.0.options.held
    }

    pub(crate) fn timers(&self) -> &dyn Timers {
        &*self.0.options.timers
    }

    pub(crate) fn clients(&self) -> &Clients {
        &self.0.clients
    }

    pub(crate) fn throttle(&self) -> &Throttle {
        &self.0.throttle
    }

    /// The retry budget of an integration at this URL's origin.
    pub(crate) fn budget(&self, integration: &Name, url: &Url) -> Arc<Budget> {
        let origin = url.origin().ascii_serialization();
        let now = self.timers().instant();
        self.0.budgets.get(integration, &origin, now)
    }

    /// May a request with this policy go to `text`, an absolute URL or one below the policy's base?
    /// Where it goes, or the refusal that [`Session::send`] would give. Nothing is sent and no name
    /// is looked up: a name is judged by its addresses when it is connected to.
    pub fn judge(&self, policy: &Policy, text: &str) -> Result<Url, EgressError> {
        let url = request::resolve(text, &policy.base_url)?;
        judge_url(&url, policy, &self.guard(policy))?;
        Ok(url)
    }

    /// The guard for a session with this policy.
    pub(crate) fn guard(&self, policy: &Policy) -> Guard {
        let own = self.0.options.own_addresses.clone();
        Guard {
            resolver: Arc::clone(&self.0.options.resolver),
            addresses: Arc::new(AddressPolicy::new(policy.private.clone(), own)),
            route: self.0.options.proxy.clone().map(Route::new).map(Arc::new),
        }
    }

    /// The TLS settings for clients that speak https, or for those that don't.
    pub(crate) fn tls(&self, https: bool) -> Result<&ClientConfig, String> {
        let made = if https {
            self.0.trusting.get_or_init(|| {
                let roots = self.0.options.extra_roots.iter().cloned();
                client::trusting(&roots.map(CertificateDer::from).collect::<Vec<_>>())
            })
        } else {
            self.0.trusting_nobody.get_or_init(client::trusting_nobody)
        };
        made.as_ref().map_err(Clone::clone)
    }
}

/// What can be said of a URL without looking its name up: its form, its origin, its literal.
fn judge_url(url: &Url, policy: &Policy, guard: &Guard) -> Result<(), EgressError> {
    request::check_url(url)?;
    policy.check_origin(url)?;
    match url.host() {
        Some(Host::Ipv4(ip)) => judge(url, guard, IpAddr::V4(ip)),
        Some(Host::Ipv6(ip)) => judge(url, guard, IpAddr::V6(ip)),
        _ => Ok(()),
    }
}

fn judge(url: &Url, guard: &Guard, ip: IpAddr) -> Result<(), EgressError> {
    let socket = SocketAddr::new(ip, url.port_or_known_default().unwrap_or_default());
    let judged = guard.addresses.judge_socket(socket);
    // Through a proxy no open connection tells that it leads to this machine.
    let judged = judged.and_then(|()| {
        if guard.route.is_some() && guard.addresses.listens_everywhere_on(socket.port()) {
            return Err(address::own_listener(socket));
        }
        Ok(())
    });
    judged.map_err(|refused| denied(url, &refused))
}

/// May a request go to `url`? Asked for the first URL and for each redirect, before anything is
/// sent. A name is judged when it is looked up for connecting, so that what is judged is what is
/// connected to; only a name with a port of our own, or one that a proxy will look up, is looked
/// up here as well.
pub(crate) async fn check(url: &Url, policy: &Policy, guard: &Guard) -> Result<(), EgressError> {
    judge_url(url, policy, guard)?;
    let port = url.port_or_known_default().unwrap_or_default();
    match url.host() {
        Some(Host::Domain(name)) if guard.route.is_some() || guard.addresses.listens_on(port) => {
            let answers = guard.lookup(name).await.map_err(|error| match error {
                LookupError::Refused(refused) => denied(url, &refused),
                other => EgressError::connect(format!("{}: {other}", shown(url))),
            })?;
            answers.into_iter().try_for_each(|ip| judge(url, guard, ip))
        }
        _ => Ok(()),
    }
}

/// The address of `url` is refused.
pub(crate) fn denied(url: &Url, refused: &Refused) -> EgressError {
    let missing = if refused.opens.is_some() {
        Missing::Private
    } else {
        Missing::Nothing
    };
    let shown = shown(url);
    let message = match url.host() {
        Some(Host::Domain(name)) => format!("{shown} is not allowed: {name} leads to {refused}"),
        _ => format!("{shown} is not allowed: {refused}"),
    };
    EgressError::Denied { missing, message }
}
