//! `Control` by calls to the server.

use std::io::{BufRead, Write};
use std::sync::Arc;

use async_trait::async_trait;
use tidegate_service::control::calls::*;
use tidegate_service::control::{Control, InvokeRequest, Invoked, Progress, SyncRequest};
use tidegate_service::control_calls;
use tidegate_service::problem::Result;
use tidegate_service::transfer::{ExportScope, ImportReport, ImportTerms, Totals};

use super::client::Remote;
use super::runs;

/// Each call of the table is sent under its name, with its arguments as a JSON array.
macro_rules! send {
    ($(
        $(#[$what:meta])* $trait:ident {
            $($(#[$doc:meta])* $name:ident($($lent:ident: $of:ty),*; $($given:ident: $as:ty),*) -> $answer:ty;)*
        }
    )*) => {$(
        #[async_trait]
        impl $trait for Remote {
            $(
                async fn $name(&self, $($lent: &$of,)* $($given: $as,)*) -> Result<$answer> {
                    self.call(stringify!($name), ($($lent,)* $(&$given,)*)).await
                }
            )*
        }
    )*};
}

control_calls!(send);

#[async_trait]
impl Control for Remote {
    async fn run_sync(&self, request: SyncRequest, progress: Arc<dyn Progress>) -> Result<Run> {
        runs::run_sync(self, request, &*progress).await
    }

    async fn invoke(&self, request: InvokeRequest, progress: Arc<dyn Progress>) -> Result<Invoked> {
        runs::invoke(self, request, &*progress).await
    }

    async fn export(&self, scope: &ExportScope, out: &mut (dyn Write + Send)) -> Result<Totals> {
        runs::export(self, scope, out).await
    }

    async fn import(
        &self,
        input: &mut (dyn BufRead + Send),
        terms: &ImportTerms,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<ImportReport> {
        runs::import(self, input, terms, progress).await
    }

    /// The server keeps it open.
    async fn close(&self) -> Result<()> {
        Ok(())
    }
}
