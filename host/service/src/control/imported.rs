//! What an import brings, held to what holds for what is deployed and for what is added.

use std::collections::BTreeSet;

use async_trait::async_trait;
use tidegate_engine::StoreError;
use tidegate_engine::command;
use tidegate_engine::connection::{self, CONFIG_BYTES_MAX, check_size};
use tidegate_engine::integration::{Connection, Digest, Integration};

use super::connections::{Rules, check_base_url};
use super::deploy::{check_grants, inspect, put_component};
use super::local::Local;
use crate::problem::{Kind, Problem, Result};
use crate::secrets::{SECRET_BYTES_MAX, origin_of};
use crate::transfer::Checks;

/// What comes in by an import is held to what holds for what is deployed and added.
pub(super) struct Imported<'a> {
    pub(super) local: &'a Local,
    pub(super) signed_only: bool,
}

#[async_trait]
impl Checks for Imported<'_> {
    async fn keep(&self, digest: Digest, bytes: Vec<u8>) -> Result<()> {
        let store = &self.local.store;
        if !self.signed_only {
            store.put_component(bytes).await?;
            return Ok(());
        }
        match store.component(digest).await {
            Ok(_) if super::signed::of(self.local, digest)?.is_some() => Ok(()),
            Ok(_) => Err(super::signed::refused(digest)),
            Err(StoreError::NotFound { .. }) => Err(Problem::new(
                Kind::Plugin,
                format!("component {digest} is not here, and a signature is required, which an export has not"),
            )
            .advise("deploy it with its signature first", command!("deploy FILE"))),
            Err(error) => Err(error.into()),
        }
    }

    async fn integration(&self, integration: &Integration) -> Result<()> {
        check_integration(self.local, integration).await
    }

    async fn connection(&self, integration: &Integration, connection: &Connection) -> Result<()> {
        check_connection(self.local, integration, connection).await
    }
}

/// Check an integration that an import brings as if it were deployed: what it is granted, and that its
/// manifests are what its components say of themselves.
async fn check_integration(local: &Local, integration: &Integration) -> Result<()> {
    let Integration {
        name,
        current,
        earlier,
    } = integration;
    if earlier.len() > Integration::KEPT {
        let message = format!("it has {} earlier deployments", earlier.len());
        return Err(Problem::invalid(format!(
            "{message}; the most are {}",
            Integration::KEPT
        )));
    }
    for deployment in std::iter::once(current).chain(earlier) {
        let place = format!("deployment {} of {name}", deployment.number);
        let checked = check_grants(&deployment.grants).and_then(|()| {
            check_size(
                "the integration's config",
                &deployment.config,
                CONFIG_BYTES_MAX,
            )
            .map_err(Problem::invalid)
        });
        checked.map_err(|problem| problem.at(&place))?;
        let bytes = local.store.component(deployment.digest).await?;
        let inspected = match deployment.number == current.number {
            true => Some(put_component(local, bytes).await?),
            // One that this version can't run can't be rolled back to either.
            false => inspect(local, &bytes).await.ok(),
        };
        if inspected.is_some_and(|inspected| inspected.manifest != deployment.manifest) {
            let message = format!(
                "the manifest is not what the component sha256:{} says of itself: the export was changed",
                deployment.digest.short()
            );
            let deploy = command!("deploy FILE --as {integration}", name);
            return Err(Problem::new(Kind::Plugin, message)
                .at(&place)
                .advise("deploy the component itself", deploy));
        }
    }
    Ok(())
}

/// Check a connection that an import brings as if it were added, and that its secrets were given for where
/// they would be sent.
async fn check_connection(
    local: &Local,
    integration: &Integration,
    connection: &Connection,
) -> Result<()> {
    let here = |problem: Problem| problem.at(format!("connection {}", connection.key));
    let rules = Rules::of(local, integration).await?;
    let checked = async {
        check_base_url(&connection.base_url)?;
        let external_id = connection.external_id.as_deref();
        connection::check(
            &connection.config,
            &connection.metadata,
            &connection.tags,
            external_id,
        )
        .map_err(Problem::invalid)?;
        rules.check_secrets(connection.secret_names.iter())?;
        rules.check_config(&connection.config).await?;
        check_sealed(connection)
    };
    checked.await.map_err(here)
}

/// What can be seen of sealed secrets without a key. That it's true shows when they are opened.
fn check_sealed(connection: &Connection) -> Result<()> {
    let Connection {
        sealed_secrets: sealed,
        secret_names: names,
        ..
    } = connection;
    let unique: BTreeSet<&String> = names.iter().collect();
    if unique.len() != names.len() {
        return Err(Problem::invalid("a secret's name comes twice"));
    }
    if sealed.is_empty() && names.is_empty() {
        return Ok(());
    }
    // As JSON, with what the host keeps beside them: an access token and its times.
    let most = (names.len() + 2) * SECRET_BYTES_MAX * 6;
    if sealed.len() > most {
        let bytes = sealed.len();
        let message = format!("its sealed secrets have {bytes} bytes; the most are {most}");
        return Err(Problem::invalid(message));
    }
    match origin_of(sealed) {
        None => Err(Problem::invalid("its sealed secrets are damaged")),
        Some(origin) if origin == connection.origin() => Ok(()),
        Some(origin) => {
            let message = format!(
                "its secrets were given for {origin}, and its base URL is {}: the export was changed",
                connection.base_url
            );
            Err(Problem::new(Kind::Secrets, message).advise(
                "import it as it was, and change the base URL then",
                command!(
                    "connections update {integration} {connection} --base-url {url}",
                    connection.key.integration,
                    connection.key.connection,
                    connection.base_url
                ),
            ))
        }
    }
}
