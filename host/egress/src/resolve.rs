//! Names to addresses: the resolver behind one trait, and the guard that judges every answer.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolving};

use crate::proxy::Route;
use tidegate_rules::address::{AddressPolicy, Refused};

/// Most addresses of one name that are tried.
const ANSWERS_MAX: usize = 16;

/// Looks names up. The guard around it decides what of the answer may be connected to.
pub trait Resolve: fmt::Debug + Send + Sync {
    /// All addresses of `name`.
    fn resolve(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// The machine's own resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let name = name.to_owned();
        Box::pin(async move {
            let answers = tokio::net::lookup_host((name, 0)).await?;
            Ok(answers.map(|socket| socket.ip()).collect())
        })
    }
}

/// Why a name can't be connected to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LookupError {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("the name can't be resolved: {0}")]
    Failed(#[from] io::Error),
    #[error("the name has no address")]
    Empty,
}

/// Lets a name through only if every address it has may be connected to: an answer that mixes
/// public and private ones is how rebinding attacks look.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    pub(crate) resolver: Arc<dyn Resolve>,
    pub(crate) addresses: Arc<AddressPolicy>,
    /// The proxy that the client connects to instead of what was judged.
    pub(crate) route: Option<Arc<Route>>,
}

impl Guard {
    pub(crate) async fn lookup(&self, name: &str) -> Result<Vec<IpAddr>, LookupError> {
        let answers = self.resolver.resolve(name).await?;
        for answer in &answers {
            self.addresses.judge(*answer)?;
        }
        some(answers)
    }

    /// The addresses that the client connects to for `name`.
    async fn connects_to(&self, name: &str) -> Result<Vec<IpAddr>, LookupError> {
        match &self.route {
            Some(route) if route.is_named(name) => {
                let answers = some(self.resolver.resolve(name).await?)?;
                route.leads_to(&answers);
                Ok(answers)
            }
            _ => self.lookup(name).await,
        }
    }
}

fn some(mut answers: Vec<IpAddr>) -> Result<Vec<IpAddr>, LookupError> {
    answers.truncate(ANSWERS_MAX);
    if answers.is_empty() {
        Err(LookupError::Empty)
    } else {
        Ok(answers)
    }
}

/// The client connects to the addresses returned here, without asking again.
impl reqwest::dns::Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let answers = guard.connects_to(name.as_str()).await?;
            // Port 0 stands for the URL's.
            let sockets: Addrs = Box::new(answers.into_iter().map(|ip| SocketAddr::new(ip, 0)));
            Ok(sockets)
        })
    }
}
