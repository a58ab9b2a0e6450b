//! wasmtime's configuration, the linker, and the ticker that makes guests yield.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tidegate_contract as contract;
use tidegate_egress::Gate;
use tidegate_engine::limits::STACK_BYTES;
use wasmtime::component::Linker;
use wasmtime::{Config, Engine, WasmFeatures};

use crate::clock::Clock;
use crate::cores::Cores;
use crate::error::RuntimeError;
use crate::state::{Imports, RunState};

/// How often guests yield: the granularity of CPU budgets and cancellation, and what whoever shares a
/// thread with one waits for.
const EPOCH_TICK: Duration = Duration::from_millis(2);

/// The same while no guest runs, so that one that begins may have a longer first turn.
const IDLE_TICK: Duration = Duration::from_millis(10);

/// What no language needs that plugins are written in (Rust, JavaScript, Python): off, so that the
/// compiler's part for it can't be reached. Several memories and tail calls stay: tools that merge
/// modules make the former, functional languages the latter, and both are bounded.
const NOT_NEEDED: WasmFeatures = WasmFeatures::MEMORY64
    .union(WasmFeatures::RELAXED_SIMD)
    .union(WasmFeatures::FUNCTION_REFERENCES)
    .union(WasmFeatures::GC)
    .union(WasmFeatures::EXCEPTIONS)
    .union(WasmFeatures::THREADS)
    .union(WasmFeatures::CUSTOM_PAGE_SIZES)
    .union(WasmFeatures::WIDE_ARITHMETIC)
    .union(WasmFeatures::STACK_SWITCHING);

/// What a runtime is made from.
#[derive(Debug)]
pub struct RuntimeOptions {
    /// Where precompiled components are kept; `None` compiles each time.
    pub cache: Option<PathBuf>,
    pub clock: Clock,
    pub gate: Gate,
}

/// One wasmtime engine with our imports linked; made once for each process.
pub struct Runtime {
    pub(crate) engine: Engine,
    pub(crate) linker: Linker<RunState>,
    pub(crate) cache: Option<PathBuf>,
    pub(crate) clock: Clock,
    pub(crate) gate: Gate,
    pub(crate) cores: Cores,
    /// Guests that run: there is one more of it for each.
    pub(crate) running: Arc<()>,
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}

impl Runtime {
    /// Set up wasmtime and link every import once.
    pub fn new(options: RuntimeOptions) -> Result<Self, RuntimeError> {
        let setup = |error: wasmtime::Error| RuntimeError::Setup(format!("{error:#}"));
        let engine = Engine::new(&config()).map_err(setup)?;
        let mut linker = Linker::new(&engine);
        link_wasi(&mut linker).map_err(setup)?;
        contract::Plugin::add_to_linker::<RunState, Imports>(&mut linker, |state| state)
            .map_err(setup)?;
        let running = Arc::new(());
        start_ticker(&engine, &running).map_err(|error| RuntimeError::Setup(error.to_string()))?;
        Ok(Self {
            engine,
            linker,
            cache: options.cache,
            clock: options.clock,
            gate: options.gate,
            cores: Cores::default(),
            running,
        })
    }

    /// The gate that everything goes through.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The clock that runs see.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }
}

fn config() -> Config {
    let stack = usize::try_from(STACK_BYTES).unwrap_or(1 << 20);
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .max_wasm_stack(stack)
        .async_stack_size(stack * 2)
        .wasm_backtrace_details(wasmtime::WasmBacktraceDetails::Disable)
        .wasm_features(NOT_NEEDED, false);
    config
}

/// What a language's standard library needs, and nothing that reaches out of the sandbox.
fn link_wasi(linker: &mut Linker<RunState>) -> wasmtime::Result<()> {
    use wasmtime_wasi::WasiView;
    use wasmtime_wasi::cli::{WasiCli, WasiCliView};
    use wasmtime_wasi::p2::bindings::{cli, random};
    use wasmtime_wasi::random::WasiRandom;

    wasmtime_wasi::p2::add_to_linker_proxy_interfaces_async(linker)?;
    random::insecure::add_to_linker::<_, WasiRandom>(linker, |s: &mut RunState| {
        s.ctx().ctx.random()
    })?;
    random::insecure_seed::add_to_linker::<_, WasiRandom>(linker, |s: &mut RunState| {
        s.ctx().ctx.random()
    })?;
    cli::exit::add_to_linker::<_, WasiCli>(linker, RunState::cli)?;
    cli::environment::add_to_linker::<_, WasiCli>(linker, RunState::cli)?;
    cli::terminal_input::add_to_linker::<_, WasiCli>(linker, RunState::cli)?;
    cli::terminal_output::add_to_linker::<_, WasiCli>(linker, RunState::cli)?;
    cli::terminal_stdin::add_to_linker::<_, WasiCli>(linker, RunState::cli)?;
    cli::terminal_stdout::add_to_linker::<_, WasiCli>(linker, RunState::cli)?;
    cli::terminal_stderr::add_to_linker::<_, WasiCli>(linker, RunState::cli)?;
    Ok(())
}

/// A thread that advances the epoch for as long as the engine lives.
fn start_ticker(engine: &Engine, running: &Arc<()>) -> std::io::Result<()> {
    let (engine, running) = (engine.weak(), Arc::downgrade(running));
    std::thread::Builder::new()
        .name("epoch-ticker".to_owned())
        .spawn(move || {
            while let Some(engine) = engine.upgrade() {
                engine.increment_epoch();
                drop(engine);
                // The runtime has one itself.
                std::thread::sleep(match running.strong_count() > 1 {
                    true => EPOCH_TICK,
                    false => IDLE_TICK,
                });
            }
        })?;
    Ok(())
}
