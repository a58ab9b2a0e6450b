//! `log.write`: lines for the run's log.

use tidegate_contract::tidegate::plugin::log::{Host, Level};
use tidegate_engine::run::{self, LogSource};

use crate::state::RunState;

impl Host for RunState {
    fn write(&mut self, level: Level, message: String, fields: String) -> wasmtime::Result<()> {
        let level = match level {
            Level::Debug => run::Level::Debug,
            Level::Info => run::Level::Info,
            Level::Warn => run::Level::Warn,
            Level::Error => run::Level::Error,
        };
        let live = self.live("log.write")?;
        live.copied(message.len() + fields.len())?;
        live.log.write(level, LogSource::Plugin, &message, &fields);
        Ok(())
    }
}
