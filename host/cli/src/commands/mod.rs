//! The command line: arguments in, one command run, an exit code out.

mod api_keys;
mod build;
mod cassettes;
mod connections;
mod data;
mod demo;
mod deploy;
mod inspect;
mod integrations;
mod invoke;
mod jobs;
mod keys;
mod logs;
mod new;
mod records;
mod replay;
mod request;
mod rollback;
mod run;
mod runs;
mod schedules;
mod serve;
mod source;
mod span;
mod syncs;
mod test;
mod webhooks;

use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tidegate_engine::command_line::CommandLine;
use tidegate_http::remote::Remote;
use tidegate_service::control::{Control, Local};
use tidegate_service::problem::{Problem, Result};

use crate::output;

/// A self-hosted sync engine whose integrations are sandboxed WebAssembly components.
#[derive(Debug, Parser)]
#[command(
    name = "tidegate",
    version,
    max_term_width = 100,
    disable_help_subcommand = true
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Where the data directory is, if no option says so.
const DATA_VARIABLE: &str = "TIDEGATE_DATA";
const DATA_DEFAULT: &str = "./tidegate-data";

/// Options of every command.
#[derive(Debug, Clone, clap::Args)]
struct Global {
    /// The data directory
    #[arg(
        long,
        global = true,
        env = DATA_VARIABLE,
        default_value = DATA_DEFAULT,
        value_name = "DIR"
    )]
    data: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the HTTP API until told to stop
    Serve(serve::Args),
    /// Make, list and revoke the keys that open the HTTP API
    ApiKeys(api_keys::Args),
    /// Show everything once: build a plugin, sync a source API, change it, sync again
    Demo(demo::Args),
    /// Write a new plugin crate
    New(new::Args),
    /// Compile a plugin crate to a component and check it
    Build(build::Args),
    /// Replay a plugin's cassettes as its regression tests
    Test(test::Args),
    /// Say what a component is, what it does and what it asks for
    Inspect(inspect::Args),
    /// Store a component and what it is granted, under an integration's name
    Deploy(deploy::Args),
    /// Make an earlier deployment of an integration the current one again
    Rollback(rollback::Args),
    /// List the integrations
    Integrations(integrations::Args),
    /// Add, list, change, check and remove connections: customers' accounts at an integration
    Connections(connections::Args),
    /// Show and rotate the master key, under which connections' credentials are sealed
    Keys(keys::Args),
    /// Run a sync in the foreground
    Run(run::Args),
    /// Invoke an action and print what it returns
    Invoke(invoke::Args),
    /// Send one request with a connection's credentials
    Request(request::Args),
    /// Run a recorded run again, without network or store, and compare every commit
    Replay(replay::Args),
    /// Keep connections' last runs as cassettes
    Cassettes(cassettes::Args),
    /// Read a model's change feed
    Records(records::Args),
    /// List runs, and try one again
    Runs(runs::Args),
    /// Queue a run of a sync; it starts while `tidegate serve` runs
    Trigger(jobs::TriggerArgs),
    /// List, cancel, redrive and discard jobs: what waits, runs, or has ended
    Jobs(jobs::Args),
    /// Make, list, pause and preview schedules
    Schedules(schedules::Args),
    /// List a connection's syncs; pause and start them
    Syncs(syncs::Args),
    /// Show what a run logged and printed
    Logs(logs::Args),
    /// Tell URLs of what happens: endpoints, their secrets, and what was delivered to them
    Webhooks(webhooks::Args),
    /// Look after the data: check it, measure it, move it, prune and drop what nobody needs
    Data(data::Args),
}

/// Polls of tasks after which a thread looks for new requests and other threads' wakes. A guest that never
/// waits is polled for a tick of 2 ms each time; tokio's own 61 and 31 are meant for polls of microseconds.
const LOOK_EVERY: u32 = 4;

/// Run the program.
#[must_use]
pub fn main() -> ExitCode {
    tidegate_service::notice::show_by(|text| output::notice(text));
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .event_interval(LOOK_EVERY)
        .global_queue_interval(LOOK_EVERY)
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return report(&Problem::internal(format!("the async runtime: {error}"))),
    };
    let result = runtime.block_on(dispatch(cli));
    // Nothing that still runs in the background matters any more: commands await what they need.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => report(&problem),
    }
}

/// Why the command line doesn't take some words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandLineError {
    /// What is there is right, but not all of it is there.
    Incomplete(String),
    Wrong(String),
}

/// Whether the command line takes these words, the program's name first; nothing is run. Besides what the parser
/// sees, a command says what it would refuse whatever the data directory holds.
pub fn check(words: impl IntoIterator<Item = String>) -> std::result::Result<(), CommandLineError> {
    use clap::error::{ContextKind, ContextValue, ErrorKind};
    match parsed(words) {
        Ok(Command::Deploy(args)) => {
            deploy::check(&args).map_err(|problem| CommandLineError::Wrong(problem.to_string()))
        }
        Ok(_) => Ok(()),
        Err(error) => {
            let no_value = ContextValue::String(String::new());
            let text = error.to_string();
            match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Ok(()),
                ErrorKind::MissingRequiredArgument
                | ErrorKind::MissingSubcommand
                | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                    Err(CommandLineError::Incomplete(text))
                }
                ErrorKind::InvalidValue
                    if error.get(ContextKind::InvalidValue) == Some(&no_value) =>
                {
                    Err(CommandLineError::Incomplete(text))
                }
                _ => Err(CommandLineError::Wrong(text)),
            }
        }
    }
}

fn parsed(words: impl IntoIterator<Item = String>) -> std::result::Result<Command, clap::Error> {
    Cli::try_parse_from(words).map(|cli| cli.command)
}

async fn dispatch(cli: Cli) -> Result<()> {
    let global = cli.global;
    match cli.command {
        Command::Serve(args) => serve::run(&global, args).await,
        Command::ApiKeys(args) => api_keys::run(&global, args).await,
        Command::Demo(args) => demo::run(args).await,
        Command::New(args) => new::run(args),
        Command::Build(args) => build::run(args).await,
        Command::Test(args) => test::run(args).await,
        Command::Inspect(args) => inspect::run(args).await,
        Command::Deploy(args) => deploy::run(&global, args).await,
        Command::Rollback(args) => rollback::run(&global, args).await,
        Command::Integrations(args) => integrations::run(&global, args).await,
        Command::Connections(args) => connections::run(&global, args).await,
        Command::Keys(args) => keys::run(&global, args).await,
        Command::Run(args) => run::run(&global, args).await,
        Command::Invoke(args) => invoke::run(&global, args).await,
        Command::Request(args) => request::run(&global, args).await,
        Command::Replay(args) => replay::run(&global, args).await,
        Command::Cassettes(args) => cassettes::run(&global, args).await,
        Command::Records(args) => records::run(&global, args).await,
        Command::Runs(args) => runs::run(&global, args).await,
        Command::Trigger(args) => jobs::trigger(&global, args).await,
        Command::Jobs(args) => jobs::run(&global, args).await,
        Command::Schedules(args) => schedules::run(&global, args).await,
        Command::Syncs(args) => syncs::run(&global, args).await,
        Command::Logs(args) => logs::run(&global, args).await,
        Command::Webhooks(args) => webhooks::run(&global, args).await,
        Command::Data(args) => data::run(&global, args).await,
    }
}

/// How a data directory is reached.
enum Access {
    Here(Box<Local>),
    Server(Remote),
}

impl Global {
    /// A command on the same data directory, where that is not the one that it would take.
    fn named(&self, command: CommandLine) -> CommandLine {
        let usual = std::env::var_os(DATA_VARIABLE).unwrap_or_else(|| DATA_DEFAULT.into());
        if self.data.as_os_str() == usual {
            return command;
        }
        command.option("--data", crate::author::program::path(&self.data))
    }

    /// That there is a data directory.
    fn exists(&self) -> Result<()> {
        if !self.data.join("format").exists() {
            let message = format!("{} is no data directory of tidegate", self.data.display());
            return Err(Problem::not_found(message).hint("name it with --data or TIDEGATE_DATA"));
        }
        Ok(())
    }

    /// A data directory that is there already.
    async fn open_existing(&self) -> Result<Box<dyn Control>> {
        self.exists()?;
        self.open().await
    }

    /// The data directory, through the server that holds it if there is one; it comes to be if it is not
    /// there.
    async fn open(&self) -> Result<Box<dyn Control>> {
        match self.reach().await? {
            Access::Here(local) => Ok(local),
            Access::Server(remote) => Ok(Box::new(remote)),
        }
    }

    async fn reach_existing(&self) -> Result<Access> {
        self.exists()?;
        self.reach().await
    }

    async fn reach(&self) -> Result<Access> {
        if let Some(remote) = Remote::find(&self.data).await? {
            return Ok(Access::Server(remote));
        }
        match Local::open(&self.data).await {
            Ok(local) => Ok(Access::Here(Box::new(local))),
            // Somebody holds it: a server that has just started, perhaps.
            Err(problem) => match Remote::find(&self.data).await? {
                Some(remote) => Ok(Access::Server(remote)),
                None => Err(problem),
            },
        }
    }
}

fn report(problem: &Problem) -> ExitCode {
    output::error(problem);
    ExitCode::from(problem.kind.exit_code())
}

/// Ask on the terminal. Without one the answer can only be `--yes`, and `otherwise` says what has
/// come of it.
fn confirmed(question: &str, otherwise: &str) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        let message = format!("{otherwise}: nobody can be asked here");
        return Err(Problem::invalid(message).hint("add --yes"));
    }
    // A prompt that can't be shown is answered with no.
    let _ = write!(std::io::stderr(), "{question} [y/N] ");
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(Problem::internal)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
