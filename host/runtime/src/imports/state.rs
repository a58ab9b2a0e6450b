//! `state`: what the plugin knows of its run.

use serde_json::{Map, Value};
use tidegate_contract::tidegate::plugin::records::Error;
use tidegate_contract::tidegate::plugin::state::{Host, HostWithStore};
use tidegate_engine::grant::GrantFlag;
use tidegate_engine::integration;
use tidegate_engine::limits::METADATA_BYTES_MAX;
use wasmtime::component::Accessor;

use super::records::{error, invalid, not_granted, without_secrets};
use crate::state::{Imports, RunState};

impl Host for RunState {
    fn checkpoint(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(self.live("state.checkpoint")?.checkpoint.clone())
    }

    fn config(&mut self) -> wasmtime::Result<String> {
        Ok(self.live("state.config")?.config.clone())
    }

    fn metadata(&mut self) -> wasmtime::Result<String> {
        let live = self.live("state.metadata")?;
        let metadata = live.metadata.lock();
        Ok(Value::Object(metadata.clone()).to_string())
    }

    fn context(&mut self) -> wasmtime::Result<String> {
        Ok(self.live("state.context")?.context.clone())
    }
}

impl<T: Send> HostWithStore<T> for Imports {
    async fn merge_metadata(
        accessor: &Accessor<T, Self>,
        patch: String,
    ) -> wasmtime::Result<Result<(), Error>> {
        let live = accessor.with(|mut access| access.get().live("state.merge-metadata"))?;
        let _held = live.hold(patch.len()).await?;
        if !live.metadata_write {
            let message = format!(
                "merging metadata needs the capability metadata_write: the manifest must request it and the \
                 operator grant it with {}",
                GrantFlag::MetadataWrite
            );
            return Ok(Err(error(&live, not_granted(message))));
        }
        let patch = without_secrets(&live, "the metadata", patch);
        let patch = match serde_json::from_str::<Map<String, Value>>(&patch) {
            Ok(patch) => patch,
            Err(problem) => {
                let message = format!("the metadata patch is not a JSON object: {problem}");
                return Ok(Err(invalid(&live, message)));
            }
        };
        let stored = live.calls.merge_metadata(&patch, METADATA_BYTES_MAX).await;
        Ok(match stored {
            Ok(()) => {
                let mut metadata = live.metadata.lock();
                integration::merge(&mut metadata, &patch);
                Ok(())
            }
            Err(refusal) => Err(error(&live, refusal)),
        })
    }
}
