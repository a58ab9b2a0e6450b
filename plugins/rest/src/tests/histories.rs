//! Random histories of a list that changes while it is read, in every style: never is a record
//! deleted here that the source has, and once the source rests, everything is as it is there.
//!
//! `TIDEGATE_HISTORIES=100000` plays more of them; `TIDEGATE_HISTORY=17` plays one alone.

use std::collections::BTreeSet;

use fastrand::Rng;
use tidegate_sdk::test::{FakeHost, Outcome};

use super::churn::{Churn, STYLES, Style};
use super::host;
use crate::plugin;

const HISTORIES: u64 = 2_000;
const HOUR_MS: u64 = 3_600_000;

/// What the histories came to.
#[derive(Debug, Default)]
struct Tally {
    runs: u64,
    changes: u64,
    deleted: u64,
    kept_for_lack_of_proof: u64,
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
    let mut tally = Tally::default();
    let mut wrong = Vec::new();
    for history in histories {
        let played = std::panic::catch_unwind(|| {
            let mut own = Tally::default();
            let problem = play(history, &mut own);
            (own, problem)
        });
        let (own, problem) = played.unwrap_or_else(|_| {
            let problem = format!("history {history}: the run itself broke");
            (Tally::default(), Some(problem))
        });
        tally.runs += own.runs;
        tally.changes += own.changes;
        tally.deleted += own.deleted;
        tally.kept_for_lack_of_proof += own.kept_for_lack_of_proof;
        wrong.extend(problem);
    }
    println!("{tally:?}");
    assert!(
        wrong.is_empty(),
        "{} histories went wrong:\n{}",
        wrong.len(),
        wrong.iter().take(5).cloned().collect::<Vec<_>>().join("\n")
    );
    assert!(tally.deleted > 0, "deletions are found at all");
}

/// Play one history. What went wrong in it, if anything did.
fn play(history: u64, tally: &mut Tally) -> Option<String> {
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
    run(&host, None);
    for _ in 0..rng.u8(2..6) {
        for _ in 0..rng.u8(0..3) {
            api.change();
        }
        // What an answer hides can only be told by asking for the record.
        let trouble = if confirms { rng.u8(0..12) } else { 0 };
        api.happens(rng.u8(0..70), trouble);
        let full_is_due = rng.bool();
        now += if full_is_due { 2 * HOUR_MS } else { 60_000 };
        let host = host.clone().now(now);
        let kill = (rng.u8(0..5) == 0).then(|| rng.usize(1..6));
        let before: BTreeSet<String> = host.records("M").into_keys().collect();
        let outcome = run(&host, kill);
        tally.runs += 1;
        tally.deleted += u64::from(outcome.totals("M").deleted);
        let unproven = |line: &str| line.contains("not proven");
        tally.kept_for_lack_of_proof +=
            u64::from(outcome.logs.iter().any(|line| unproven(&line.message)));
        let problem = wrongly_deleted(&api, &host, before, &outcome);
        if problem.is_some() {
            return problem.map(|problem| format!("{name}: {problem}"));
        }
    }
    tally.changes += api.changes();
    // It rests. What was interrupted comes to its end, and one more full pull is made.
    api.happens(0, 0);
    for last in [false, true] {
        now += 2 * HOUR_MS;
        let outcome = run(&host.clone().now(now), None);
        if let Err(failure) = &outcome.result
            && last
        {
            return Some(format!("{name}: {failure}"));
        }
    }
    let (stored, truth) = (host.records("M"), api.truth());
    (stored != truth)
        .then(|| format!("{name}: at the end there is\n  {stored:?}\nand not\n  {truth:?}"))
}

fn run(host: &FakeHost, kill: Option<usize>) -> Outcome<()> {
    let host = match kill {
        Some(commits) => host.clone().kill_after_commits(commits),
        None => host.clone(),
    };
    host.run_sync(plugin(), "M")
}

/// Records that the source has now, and that the run deleted.
fn wrongly_deleted(
    api: &Churn,
    host: &FakeHost,
    before: BTreeSet<String>,
    outcome: &Outcome<()>,
) -> Option<String> {
    let pages = outcome.commits.iter().flat_map(|commit| &commit.pages);
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
