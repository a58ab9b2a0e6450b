//! `clock.now` and `clock.sleep`: time is the host's.

use tidegate_contract::tidegate::plugin::clock::{Host, HostWithStore};
use wasmtime::component::Accessor;

use crate::state::{Imports, RunState};

impl Host for RunState {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.live("clock.now")?.clock.now().0)
    }
}

impl<T: Send> HostWithStore<T> for Imports {
    async fn sleep(accessor: &Accessor<T, Self>, duration_ms: u64) -> wasmtime::Result<()> {
        let live = accessor.with(|mut access| access.get().live("clock.sleep"))?;
        live.calls.sleep(duration_ms).await;
        Ok(())
    }
}
