//! Random histories of a source, pushed to a destination that redirects, answers texts, pages of HTML, statuses for each
//! record and errors with 200, that loses answers and is asked by runs that are killed: nothing counts as done that is not, and
//! nothing is done twice.
//!
//! `TIDEGATE_HISTORIES=20000` plays more of them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use tidegate_sdk::prelude::*;
use tidegate_sdk::test::{Change, ChangeAction, FakeHost, Reply, Request};

use super::{plugin, push};

/// xorshift64*: a history is known by its number.
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % most
    }
}

/// A destination that knows idempotency keys, as the IETF's draft has them: a repeat is not done again, and gets the
/// first answer. What it was told to do, and how often it did that, is the truth.
#[derive(Default)]
struct Truth {
    people: BTreeMap<String, Value>,
    /// By key, what was answered first.
    answered: BTreeMap<String, (u16, String)>,
    /// What counts as acknowledged and was not told otherwise since: telling it again is wrong.
    acknowledged: BTreeMap<String, Value>,
    told_again: Vec<String>,
    /// Whether requests succeed from now on.
    is_well: bool,
}

struct History {
    seed: u64,
    per_page: bool,
    is_post: bool,
    truth: Rc<RefCell<Truth>>,
    chance: Rc<RefCell<Chance>>,
}

impl History {
    fn config(&self) -> Value {
        let method = if self.is_post { "POST" } else { "PUT" };
        let (path, per) = match self.per_page {
            true => ("/people/batch", "page"),
            false => ("/people/{id}", "record"),
        };
        let save = json!({
            "method": method, "path": path, "per": per,
            "body": if self.per_page { "{records: .}" } else { "." },
        });
        push(
            json!({ "save": save, "page_size": 3, "concurrency": 2, "on_reject": if self.seed.is_multiple_of(3) { "skip" } else { "fail" } }),
        )
    }

    fn answers(&self) -> impl FnMut(&Request) -> Option<Reply> + 'static {
        let (truth, chance) = (Rc::clone(&self.truth), Rc::clone(&self.chance));
        move |request| {
            Some(answer(
                &mut truth.borrow_mut(),
                &mut chance.borrow_mut(),
                request,
            ))
        }
    }
}

fn json_reply(status: u16, body: &str) -> Reply {
    Reply::status(status)
        .header("Content-Type", "application/json")
        .body(body)
}

fn answer(truth: &mut Truth, chance: &mut Chance, request: &Request) -> Reply {
    let key = request.idempotency_key.clone();
    if let Some((status, body)) = key.as_ref().and_then(|key| truth.answered.get(key)) {
        return json_reply(*status, body);
    }
    let told: Vec<(String, Option<Value>)> = match request.path.as_str() {
        "/people/batch" => {
            let body = request.json();
            let records = body["records"].as_array().unwrap().iter();
            records
                .map(|one| (one["id"].as_str().unwrap().to_owned(), Some(one.clone())))
                .collect()
        }
        path => {
            let id = path.strip_prefix("/people/").unwrap().to_owned();
            let body = (request.method != "DELETE").then(|| request.json());
            vec![(id, body)]
        }
    };
    for (id, body) in &told {
        let acknowledged = truth.acknowledged.remove(id);
        if acknowledged.is_some() && acknowledged == *body {
            truth.told_again.push(id.clone());
        }
    }
    let people = &mut truth.people;
    let mut act = |told: &[(String, Option<Value>)]| {
        for (id, body) in told {
            match body {
                Some(body) => drop(people.insert(id.clone(), body.clone())),
                None => drop(people.remove(id)),
            }
        }
    };
    let kind = if truth.is_well { 99 } else { chance.below(26) };
    // What it says by a repeat under the key: the answer of the first time, if that was a final one.
    let (acted, reply) = match kind {
        0 => (0, Reply::status(302).header("Location", "/elsewhere")),
        1 => (0, Reply::status(303).header("Location", "/elsewhere")),
        2 => (0, json_reply(200, r#"{"ok":false,"error":"invalid"}"#)),
        3 => (0, json_reply(200, r#"{"status":"rejected"}"#)),
        4 => (
            0,
            Reply::status(200)
                .header("Content-Type", "text/html")
                .body("<html>Maintenance</html>"),
        ),
        5 => (0, Reply::status(503)),
        6 => (0, Reply::status(422)),
        7 => (0, Reply::status(429).header("Retry-After", "1")),
        8 => (0, Reply::connect_error()),
        9 => (told.len(), Reply::timeout()),
        10 => (told.len(), Reply::connect_error()),
        11 => (told.len(), Reply::status(502)),
        12 => (told.len(), Reply::status(200).body("OK")),
        13 => (told.len(), Reply::status(204)),
        14 => (told.len(), Reply::status(200).body("{\"id\": tr")),
        15 | 16 if told.len() > 1 => (1, json_reply(200, r#"{"saved_count":1}"#)),
        17..=19 => {
            let taken: Vec<bool> = told.iter().map(|_| chance.below(3) > 0).collect();
            let items = taken.iter().map(|taken| match (taken, chance.below(2)) {
                (true, _) => json!({ "status": 201 }),
                (false, 0) => json!({ "status": 422, "error": "no" }),
                (false, _) => json!({ "status": 503 }),
            });
            let body = json!({ "results": items.collect::<Vec<_>>() }).to_string();
            let of: Vec<_> = told
                .iter()
                .zip(&taken)
                .filter(|(_, taken)| **taken)
                .map(|(told, _)| told.clone())
                .collect();
            act(&of);
            if let (Some(key), true) = (key, of.len() == told.len()) {
                truth.answered.insert(key, (207, body.clone()));
            }
            return json_reply(207, &body);
        }
        _ => (told.len(), json_reply(200, "{}")),
    };
    act(&told[..acted]);
    if let (Some(key), true) = (key, acted == told.len()) {
        truth.answered.insert(key, (200, "{}".to_owned()));
    }
    reply
}

/// Play one history; `Err` says what is wrong with it.
fn play(seed: u64) -> Result<(), String> {
    let chance = Rc::new(RefCell::new(Chance(
        seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
    )));
    let history = History {
        seed,
        per_page: seed.is_multiple_of(2),
        is_post: seed % 4 < 2,
        truth: Rc::default(),
        chance: Rc::clone(&chance),
    };
    let roll = |most| chance.borrow_mut().below(most);
    let config = json!({ "pushes": { "people": history.config() } });
    let host = FakeHost::new()
        .base_url("https://api.example.com")
        .config(config)
        .on(history.answers());
    let mut source: BTreeMap<String, Value> = BTreeMap::new();
    let mut rejected_once = BTreeSet::new();
    for step in 0..6 {
        // The fake feed has every change; a page of a real one has each record once.
        let mut changed = BTreeSet::new();
        for _ in 0..=roll(4) {
            let id = ["a", "b", "c", "d", "e"][usize::try_from(roll(5)).unwrap()].to_owned();
            if !changed.insert(id.clone()) {
                continue;
            }
            let is_deleted = source.contains_key(&id) && roll(4) == 0;
            let body = json!({ "id": id, "v": roll(3) });
            let action = if is_deleted {
                ChangeAction::Deleted
            } else {
                ChangeAction::Updated
            };
            let change = Change {
                id: id.clone(),
                action,
                body: (!is_deleted).then(|| body.to_string()),
                first_seen_at: 1,
                last_modified_at: step * 100 + changed.len() as u64,
                cursor: format!("{step}-{}", changed.len()),
            };
            drop(host.clone().feed_change("crm", "Contact", change));
            match is_deleted {
                true => drop(source.remove(&id)),
                false => drop(source.insert(id, body)),
            }
        }
        for _ in 0..=roll(2) {
            let host = match roll(4) {
                0 => host
                    .clone()
                    .kill_after_commits(usize::try_from(roll(4)).unwrap()),
                _ => host.clone(),
            };
            let outcome = host.run_sync(plugin(), "people");
            rejected_once.extend(
                outcome
                    .logs
                    .iter()
                    .filter(|line| line.message.contains("passed over"))
                    .map(|_| step),
            );
            agrees(&host, &history, &format!("step {step}"))?;
        }
    }
    history.truth.borrow_mut().is_well = true;
    for _ in 0..40 {
        if host.run_sync(plugin(), "people").result.is_ok() {
            break;
        }
    }
    agrees(&host, &history, "the end")?;
    if rejected_once.is_empty() {
        let truth = history.truth.borrow();
        if truth.people != source {
            return Err(format!(
                "at last the destination has {:?} of {source:?}",
                truth.people
            ));
        }
    }
    Ok(())
}

/// What is stored as acknowledged is there, and was not told again.
fn agrees(host: &FakeHost, history: &History, when: &str) -> Result<(), String> {
    let mut truth = history.truth.borrow_mut();
    if let Some(id) = truth.told_again.first() {
        return Err(format!(
            "{when}: {id} was told again as it was acknowledged"
        ));
    }
    truth.acknowledged.clear();
    for (id, record) in host.records("people") {
        if record.get("tidegate/sending").is_none() && truth.people.get(&id) != Some(&record) {
            let there = truth.people.get(&id);
            return Err(format!(
                "{when}: {id} counts as {record}, and the destination has {there:?}"
            ));
        }
        if record.get("tidegate/sending").is_none() {
            truth.acknowledged.insert(id, record);
        }
    }
    Ok(())
}

#[test]
fn nothing_counts_as_done_that_is_not() {
    let count = std::env::var("TIDEGATE_HISTORIES").ok();
    let count = count.map_or(1_000, |count| count.parse().unwrap());
    for seed in 1..=count {
        if let Err(problem) = play(seed) {
            panic!("history {seed}: {problem}");
        }
    }
}
