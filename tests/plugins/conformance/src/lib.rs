//! Carries out the runs of `cases/*.json`: each step is a call of the host, and its answer is a line of the run's log.
//!
//! The connection's config holds the runs by name under `/cases`, so that each is a sync, and an action, with a model of
//! its own. The same files are read by two tests, which expect the same answers: this crate's own runs them on
//! `FakeHost`, and `tests/e2e/conformance.rs` on the built binary. A rule of the contract is added to both by a case.

mod steps;
mod texts;

#[cfg(test)]
mod cases;
#[cfg(test)]
mod fake_host;

use tidegate_sdk::prelude::*;

/// What a line of the log begins with that has an answer.
const ANSWER: &str = "answer ";

fn plugin() -> Plugin {
    Plugin::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
        .host("base-url")
        .host("https://api.example.com")
        .host("https://*.example.org")
        .host("http://169.254.169.254")
        .feed("crm/Contact")
        .metadata_write()
        // Other than the default: what the manifest asks for counts.
        .limit("record_bytes", 2 << 20)
        .limit("checkpoint_bytes", 100_000)
        .sync(Sync::each("/cases", sync))
        .action(Action::each("/cases", action))
}

tidegate_sdk::export!(plugin);

async fn sync(cx: Cx) -> Result<()> {
    run(&cx).await
}

async fn action(cx: Cx, _: Value) -> Result<()> {
    run(&cx).await
}

#[derive(Deserialize)]
struct Config {
    cases: std::collections::BTreeMap<String, Vec<Value>>,
}

/// Take the steps one after the other; one that is refused does not end the run.
async fn run(cx: &Cx) -> Result<()> {
    let name = cx.context()?.name;
    let config: Config = cx.config()?;
    for step in config.cases.get(&name).into_iter().flatten() {
        let answer = match steps::take(cx, &name, &texts::expand(step)).await {
            Ok(value) => json!({ "ok": value }),
            Err(failure) => json!({
                "fails": failure.code,
                "says": ends_of(&failure.message),
                "caused": failure.cause.is_some(),
            }),
        };
        info!("{ANSWER}{answer}");
    }
    Ok(())
}

/// What is said at the start and the end of a long message, as a line of the log has a limit.
fn ends_of(message: &str) -> String {
    let letters: Vec<char> = message.chars().collect();
    let (Some((start, _)), Some((_, end))) = (
        letters.split_first_chunk::<500>(),
        letters.split_last_chunk::<500>(),
    ) else {
        return message.to_owned();
    };
    [start.as_slice(), end.as_slice()].concat().iter().collect()
}
