//! Random histories of a list that changes while it is read, in every style: never is a record
//! deleted here that the source has; after a run that asked for changes, each one that was there when it began is
//! here; and once the source rests, everything is as it is there (but for what is gone, where nothing can prove it). Pulls as one would write them without a second
//! thought (`naive`) are found out by the same histories.
//!
//! `TIDEGATE_HISTORIES=100000` plays more of them; `TIDEGATE_HISTORY=17` plays one alone.

use std::collections::BTreeSet;

use fastrand::Rng;
use tidegate_sdk::test::{FakeHost, Outcome};

use super::churn::{Churn, STYLES, Style};
use super::{host, naive};
use crate::plugin;
use tidegate_sdk::Plugin;

const HISTORIES: u64 = 2_000;
const HOUR_MS: u64 = 3_600_000;

/// What the histories came to.
#[derive(Debug, Default)]
struct Tally {
    runs: u64,
    changes: u64,
    deleted: u64,
    kept_for_lack_of_proof: u64,
    /// Runs after which all changes had to be here, and runs that said that some may not be.
    compared: u64,
    told: u64,
}

impl Tally {
    fn add(&mut self, more: &Tally) {
        self.runs += more.runs;
        self.changes += more.changes;
        self.deleted += more.deleted;
        self.kept_for_lack_of_proof += more.kept_for_lack_of_proof;
        self.compared += more.compared;
        self.told += more.told;
    }
}

/// What went wrong in a history.
#[derive(Debug)]
enum Problem {
    /// A record that lives was deleted.
    Deleted(String),
    /// A change is not here, and nobody said so.
    Missed(String),
    Other(String),
}

impl Problem {
    fn text(&self) -> &str {
        match self {
            Problem::Deleted(text) | Problem::Missed(text) | Problem::Other(text) => text,
        }
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn what_lives_is_never_deleted_and_nothing_is_lost() {
    let histories = match number("TIDEGATE_HISTORY") {
        Some(one) => one..one + 1,
        None => 0..number("TIDEGATE_HISTORIES").unwrap_or(HISTORIES),
    };
    let (tally, wrong) = play_all(histories, plugin);
    println!("{tally:?}");
    assert!(
        wrong.is_empty(),
        "{} histories went wrong:\n{}",
        wrong.len(),
        wrong
            .iter()
            .take(5)
            .map(Problem::text)
            .collect::<Vec<_>>()
            .join("\n")
    );
    if number("TIDEGATE_HISTORY").is_none() {
        assert!(tally.deleted > 0, "deletions are found at all");
        assert!(
            tally.compared > tally.told,
            "changes are compared, and few runs have to say something"
        );
    }
}

/// A test of what can't go wrong shows nothing: here it does.
#[test]
fn pulls_without_proofs_are_found_out() {
    let (_, wrong) = play_all(0..400, naive::plugin);
    let deleted = wrong
        .iter()
        .filter(|problem| matches!(problem, Problem::Deleted(_)))
        .count();
    let missed = wrong
        .iter()
        .filter(|problem| matches!(problem, Problem::Missed(_)))
        .count();
    println!("{deleted} histories with wrong deletions, {missed} with changes that are missed");
    assert!(deleted > 40 && missed > 5, "{deleted} {missed}");
}

fn play_all(histories: impl Iterator<Item = u64>, plugin: fn() -> Plugin) -> (Tally, Vec<Problem>) {
    let mut tally = Tally::default();
    let mut wrong = Vec::new();
    for history in histories {
        let played = std::panic::catch_unwind(|| {
            let mut own = Tally::default();
            let problem = play(history, plugin, &mut own);
            (own, problem)
        });
        let (own, problem) = played.unwrap_or_else(|_| {
            let problem = format!("history {history}: the run itself broke");
            (Tally::default(), Some(Problem::Other(problem)))
        });
        tally.add(&own);
        wrong.extend(problem);
    }
    (tally, wrong)
}

/// Play one history. What went wrong in it, if anything did.
fn play(history: u64, plugin: fn() -> Plugin, tally: &mut Tally) -> Option<Problem> {
    let mut rng = Rng::with_seed(history);
    let style = STYLES[rng.usize(0..STYLES.len())];
    let confirms = rng.bool();
    let api = Churn::new(style, rng.fork());
    let name = format!("history {history}, {style:?}, confirm: {confirms}");
    // More than half may be gone: the guard is not what is tested.
    let host = host(api.config(confirms))
        .snapshot_delete_percent(100)
        .on(api.handler());
    let mut now = 1_767_225_600_000;
    api.happens(if rng.bool() { 0 } else { rng.u8(0..70) }, 0);
    run(&host, plugin, None);
    let mut owed = Owed::from(&api);
    for _ in 0..rng.u8(2..6) {
        for _ in 0..rng.u8(0..3) {
            api.change();
        }
        // What an answer hides can only be told by asking for the record.
        let hides = confirms && !(style.is_incremental() && rng.bool());
        let trouble = if hides { rng.u8(0..12) } else { 0 };
        api.happens(rng.u8(0..70), trouble);
        let full_is_due = rng.bool();
        now += if full_is_due { 2 * HOUR_MS } else { 60_000 };
        let host = host.clone().now(now);
        let kill = (rng.u8(0..5) == 0).then(|| rng.usize(1..6));
        let before: BTreeSet<String> = host.records("M").into_keys().collect();
        owed.begin(&api, trouble > 0);
        let outcome = run(&host, plugin, kill);
        tally.runs += 1;
        tally.deleted += u64::from(outcome.totals("M").deleted);
        let unproven = |line: &str| line.contains("not proven");
        tally.kept_for_lack_of_proof +=
            u64::from(outcome.logs.iter().any(|line| unproven(&line.message)));
        if let Some(problem) = wrongly_deleted(&api, &host, before, &outcome) {
            return Some(Problem::Deleted(format!("{name}: {problem}")));
        }
        if style.is_incremental()
            && let Some(problem) = owed.missed(&api, &host, &outcome, tally)
        {
            return Some(Problem::Missed(format!("{name}: {problem}")));
        }
    }
    tally.changes += api.changes();
    // It rests. What was interrupted comes to its end, and one more full pull is made.
    api.happens(0, 0);
    let mut is_cleaned_up = true;
    for last in [false, true] {
        now += 2 * HOUR_MS;
        let outcome = run(&host.clone().now(now), plugin, None);
        let requests = outcome.requests.iter();
        let answers = requests.filter(|request| request.path.ends_with("/m"));
        is_cleaned_up = confirms || !style.is_opaque() || answers.count() == 1;
        if let Err(failure) = &outcome.result
            && last
        {
            return Some(Problem::Other(format!("{name}: {failure}")));
        }
    }
    let (mut stored, truth) = (host.records("M"), api.truth());
    if !is_cleaned_up {
        stored.retain(|id, _| truth.contains_key(id));
    }
    (stored != truth).then(|| {
        let problem = format!("{name}: at the end there is\n  {stored:?}\nand not\n  {truth:?}");
        Problem::Other(problem)
    })
}

fn run(host: &FakeHost, plugin: fn() -> Plugin, kill: Option<usize>) -> Outcome<()> {
    let host = match kill {
        Some(commits) => host.clone().kill_after_commits(commits),
        None => host.clone(),
    };
    host.run_sync(plugin(), "M")
}

/// Which changes have to be here after a run that asked for changes: docs/rest-plugin.md, the table of what is
/// promised of changes.
struct Owed {
    /// Since the first pull was over: what that one passes over is found by a full one.
    since: i64,
    /// The API's clock when the pull began that is under way.
    begun: Option<i64>,
    /// An answer hid something, or a run said that it goes on although changes may be missing.
    is_over: bool,
}

impl Owed {
    fn from(api: &Churn) -> Self {
        Owed {
            since: api.clock(),
            begun: None,
            is_over: false,
        }
    }

    fn begin(&mut self, api: &Churn, is_troubled: bool) {
        self.begun.get_or_insert(api.clock());
        self.is_over |= is_troubled;
    }

    /// What is not as it was at the source when the pull began, although it did not change since.
    fn missed(
        &mut self,
        api: &Churn,
        host: &FakeHost,
        outcome: &Outcome<()>,
        tally: &mut Tally,
    ) -> Option<String> {
        if outcome.result.is_err() {
            return None;
        }
        let begun = self.begun.take().unwrap_or_default();
        let says = |text: &str| outcome.logs.iter().any(|line| line.message.contains(text));
        let is_told = says("may have been missed");
        self.is_over |= says("several times in a row");
        tally.told += u64::from(is_told);
        // A pull of everything leaves the mark where it is: what it passes over comes with the changes.
        let lists = outcome
            .requests
            .iter()
            .filter(|request| request.path == "/base/m" || request.path == "/m");
        let asked_for_changes = lists.clone().count() > 0
            && lists
                .clone()
                .all(|request| request.query("since").is_some());
        if self.is_over || is_told || !asked_for_changes {
            return None;
        }
        tally.compared += 1;
        let stored = host.records("M");
        let is_missed = |(id, body): &(String, tidegate_sdk::serde_json::Value)| {
            let updated = body["updated"].as_i64().unwrap_or_default();
            (self.since..begun).contains(&updated) && stored.get(id) != Some(body)
        };
        let missed: Vec<_> = api.truth().into_iter().filter(is_missed).collect();
        (!missed.is_empty()).then(|| format!("not here after asking for changes: {missed:?}"))
    }
}

/// Records that the source has now, and that the run deleted.
fn wrongly_deleted(
    api: &Churn,
    host: &FakeHost,
    before: BTreeSet<String>,
    outcome: &Outcome<()>,
) -> Option<String> {
    let pages = outcome.commits.iter().flat_map(|commit| &commit.batches);
    let saved = pages.flat_map(|page| page.save.iter().map(|saved| saved.id.clone()));
    let had: BTreeSet<String> = before.into_iter().chain(saved).collect();
    let has: BTreeSet<String> = host.records("M").into_keys().collect();
    let lives: BTreeSet<String> = api.truth().into_keys().collect();
    let wrong: Vec<&String> = had
        .difference(&has)
        .filter(|id| lives.contains(*id))
        .collect();
    (!wrong.is_empty()).then(|| format!("deleted although they live: {wrong:?}"))
}

#[test]
fn every_style_is_played() {
    let played: BTreeSet<String> = (0..HISTORIES)
        .map(|history| {
            let mut rng = Rng::with_seed(history);
            format!("{:?} {}", STYLES[rng.usize(0..STYLES.len())], rng.bool())
        })
        .collect();
    assert_eq!(played.len(), 2 * STYLES.len());
    assert!(STYLES.contains(&Style::None));
}
