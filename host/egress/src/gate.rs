//! The gate of a process: what all sessions share, and the check that each request and redirect passes.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use url::{Host, Url};

use crate::address::{AddressPolicy, Refused};
use crate::client;
use crate::error::{EgressError, Missing};
use crate::policy::Policy;
use crate::resolve::{Guard, LookupError, Resolve, SystemResolver};
use crate::retry::{SystemTimers, Timers};
use crate::session::Session;
use crate::target::{self, shown};

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
}

impl Default for GateOptions {
    fn default() -> Self {
        Self {
            resolver: Arc::new(SystemResolver),
            timers: Arc::new(SystemTimers),
            own_addresses: Vec::new(),
            extra_roots: Vec::new(),
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
}

impl Gate {
    #[must_use]
    pub fn new(options: GateOptions) -> Self {
        Self(Arc::new(Shared {
            options,
            trusting: OnceLock::new(),
            trusting_nobody: OnceLock::new(),
        }))
    }

    /// A session for one run. It has connections and TLS tickets of its own, so nothing is shared
    /// with other customers or plugins, and it costs nothing until its first request.
    #[must_use]
    pub fn session(&self, policy: Policy) -> Session {
        Session::new(self.clone(), policy)
    }

    pub(crate) fn timers(&self) -> &dyn Timers {
        &*self.0.options.timers
    }

    /// The guard for a session with this policy.
    pub(crate) fn guard(&self, policy: &Policy) -> Guard {
        let own = self.0.options.own_addresses.clone();
        Guard {
            resolver: Arc::clone(&self.0.options.resolver),
            addresses: Arc::new(AddressPolicy::new(policy.private.clone(), own)),
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

/// May a request go to `url`? Asked for the first URL and for each redirect, before anything is
/// sent. A name is judged when it is looked up for connecting, so that what is judged is what is
/// connected to; only a name with a port of our own is looked up here as well.
pub(crate) async fn check(url: &Url, policy: &Policy, guard: &Guard) -> Result<(), EgressError> {
    target::check(url)?;
    policy.check_origin(url)?;
    let port = url.port_or_known_default().unwrap_or_default();
    let judge = |ip: IpAddr| {
        let judged = guard.addresses.judge_socket(SocketAddr::new(ip, port));
        judged.map_err(|refused| denied(url, &refused))
    };
    match url.host() {
        Some(Host::Ipv4(ip)) => judge(IpAddr::V4(ip)),
        Some(Host::Ipv6(ip)) => judge(IpAddr::V6(ip)),
        Some(Host::Domain(name)) if guard.addresses.listens_on(port) => {
            let answers = guard.lookup(name).await.map_err(|error| match error {
                LookupError::Refused(refused) => denied(url, &refused),
                other => EgressError::connect(format!("{}: {other}", shown(url))),
            })?;
            answers.into_iter().try_for_each(judge)
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
