//! What must be true afterwards, read through the API.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;

use crate::fleet::{EVERY, Fleet};
use crate::lives::Lives;
use crate::receiver::Receiver;
use crate::source::{Source, record};

/// A run that has ended.
#[derive(Debug)]
pub struct Run {
    pub id: String,
    pub connection: String,
    outcome: String,
    started: Timestamp,
    ended: Timestamp,
}

impl Run {
    /// Runs that were not skipped are told of.
    pub fn is_told(&self) -> bool {
        self.outcome != "skipped"
    }
}

fn time(value: &Value) -> Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

/// All runs; each has ended.
#[track_caller]
pub fn runs(fleet: &Fleet, lives: &Lives) -> Vec<Run> {
    let mut runs = Vec::new();
    lives
        .client()
        .all("/v1/runs?integration=crm", "runs", |run| {
            let text = |name: &str| run[name].as_str().unwrap().to_owned();
            assert!(run["ended_at"].is_string(), "it has no end: {run}");
            runs.push(Run {
                id: text("run"),
                connection: text("connection"),
                outcome: text("outcome"),
                started: time(&run["started_at"]),
                ended: time(&run["ended_at"]),
            });
        });
    let mut outcomes: BTreeMap<&str, usize> = BTreeMap::new();
    for run in &runs {
        *outcomes.entry(&run.outcome).or_default() += 1;
    }
    println!(
        "{} connections, {} runs: {outcomes:?}",
        fleet.connections,
        runs.len()
    );
    // Else the source would not have been asked for anything.
    assert!(outcomes["success"] > fleet.connections);
    runs
}

/// No run of a connection began before the one before it had ended.
#[track_caller]
pub fn one_run_at_a_time(runs: &[Run]) {
    let mut by_connection: BTreeMap<&str, Vec<&Run>> = BTreeMap::new();
    for run in runs {
        by_connection.entry(&run.connection).or_default().push(run);
    }
    for runs in by_connection.values_mut() {
        runs.sort_by_key(|run| (run.started, run.ended));
        for pair in runs.windows(2) {
            assert!(pair[0].ended <= pair[1].started, "at once: {pair:#?}");
        }
    }
}

/// Each moment of each schedule until `end` has one outcome; one that started something has one job, which
/// has come to an end.
#[track_caller]
pub fn one_outcome_for_each_moment(fleet: &Fleet, lives: &Lives, end: Timestamp) {
    let client = lives.client();
    let mut jobs: BTreeMap<(String, Timestamp), Vec<String>> = BTreeMap::new();
    client.all("/v1/jobs?integration=crm", "jobs", |job| {
        let schedule = job["schedule"].as_str().unwrap().to_owned();
        let state = job["state"].as_str().unwrap().to_owned();
        let key = (schedule, time(&job["scheduled_for"]));
        jobs.entry(key).or_default().push(state);
    });
    let mut schedules = Vec::new();
    client.all("/v1/schedules", "schedules", |schedule| {
        let id = schedule["schedule"].as_str().unwrap().to_owned();
        schedules.push((id, time(&schedule["created_at"])));
    });
    assert_eq!(schedules.len(), fleet.connections);
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    let mut late = Vec::new();
    for (id, created) in schedules {
        let mut moments = BTreeSet::new();
        client.all(&format!("/v1/schedules/{id}/fires"), "fires", |fire| {
            let (outcome, moment) = (
                fire["outcome"].as_str().unwrap(),
                time(&fire["scheduled_for"]),
            );
            let count = fire["missed"].as_i64().unwrap_or(1);
            *outcomes.entry(outcome.to_owned()).or_default() += count as usize;
            for step in 0..count {
                let second = moment.as_second() + step * EVERY;
                assert!(moments.insert(second), "{second} has two outcomes: {fire}");
            }
            if outcome == "started" {
                late.push(time(&fire["at"]).as_millisecond() - moment.as_millisecond());
                let states = jobs.remove(&(id.clone(), moment));
                let ended = ["succeeded", "dead", "cancelled"];
                assert!(
                    states.as_ref().is_some_and(
                        |states| states.len() == 1 && ended.contains(&states[0].as_str())
                    ),
                    "{fire}: {states:?}"
                );
            }
        });
        let first = created.as_second() / EVERY + 1;
        // The spread may put the last moments behind the end.
        let last = (end.as_second() - 1) / EVERY;
        let expected: BTreeSet<i64> = (first..=last).map(|step| step * EVERY).collect();
        let lost: Vec<_> = expected.difference(&moments).collect();
        assert!(
            lost.is_empty(),
            "{id}, made at {created}, has no outcome for {lost:?}"
        );
    }
    assert!(jobs.is_empty(), "jobs of no moment: {jobs:?}");
    late.sort_unstable();
    let part = |share: usize| late[(late.len() - 1) * share / 100];
    println!(
        "moments: {outcomes:?}; ms from moment to start, spread of {EVERY} s and kills included: median {}, \
         99 % {}, all {}",
        part(50),
        part(99),
        part(100)
    );
}

/// Each connection has all records up to its last commit, as the source gave them.
#[track_caller]
pub fn every_commit_is_there(fleet: &Fleet, lives: &Lives, source: &Source, receiver: &Receiver) {
    let client = lives.client();
    let mut all = 0;
    for connection in 0..fleet.connections {
        let mut numbers = BTreeSet::new();
        let place =
            format!("/v1/integrations/crm/connections/c{connection}/models/Contact/records");
        client.all(&place, "records", |row| {
            let number = row["body"]["number"].as_u64().unwrap();
            assert_eq!(row["body"], record(connection, number));
            assert!(numbers.insert(number), "c{connection} has {number} twice");
        });
        let (given, stored) = source.given_and_stored(connection);
        let told = receiver.told(&format!("c{connection}"));
        let last = numbers.last().copied().unwrap_or(0);
        assert_eq!(
            numbers.len() as u64,
            last,
            "c{connection} has gaps: {numbers:?}"
        );
        assert!(
            (stored.max(told)..=given).contains(&last),
            "c{connection} has records up to {last}: {given} were given, {stored} were stored, {told} told of"
        );
        all += numbers.len();
    }
    println!("records: {all}");
}
