//! The files of cases as both tests read them, and whether an answer is the one that a case expects.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

/// A file of `cases/`: rules of one interface.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    #[serde(default)]
    pub runs: Vec<Run>,
    /// What plugins say of themselves.
    #[serde(default)]
    pub declarations: Vec<Declaration>,
}

/// Steps of one run, which share what is stored.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    pub name: String,
    #[serde(default = "sync")]
    pub kind: String,
    /// Limits that the operator sets.
    #[serde(default)]
    pub limits: BTreeMap<String, u64>,
    pub steps: Vec<Step>,
    /// The run fails, whatever the plugin makes of it.
    #[serde(default)]
    pub fails: bool,
}

fn sync() -> String {
    "sync".to_owned()
}

/// One call of the host, and its answer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The rule, in words.
    pub rule: String,
    pub call: Value,
    /// What it returns: `true` is anything; nothing, and no failure either, is null.
    pub ok: Option<Value>,
    /// The code of its failure.
    pub fails: Option<String>,
    /// A part of the failure's message.
    pub says: Option<String>,
}

/// A part of a manifest, and whether the host takes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declaration {
    /// As a manifest has it; name, version, models and syncs are honest ones unless they are given.
    pub says: Value,
    /// A part of the refusal; `null` when it is taken.
    pub refused: Option<String>,
}

impl Run {
    /// What the plugin's config holds of it.
    pub fn calls(&self) -> Value {
        self.steps.iter().map(|step| step.call.clone()).collect()
    }

    /// Compare the answers with those that the steps expect; `host` says whose they are.
    pub fn check(&self, host: &str, answers: &[Value], failed: bool) -> Vec<String> {
        let mut faults = Vec::new();
        let name = &self.name;
        for (step, answer) in self.steps.iter().zip(answers) {
            let says = answer["says"].as_str().unwrap_or_default();
            let fits = match (&step.ok, &step.fails) {
                (None, None) => answer.get("ok") == Some(&Value::Null),
                (Some(Value::Bool(true)), None) => answer.get("ok").is_some(),
                (Some(value), None) => answer.get("ok") == Some(value),
                (None, Some(code)) => {
                    let part = step.says.as_deref().unwrap_or_default();
                    // Whatever a host refuses it has a number for.
                    let caused = answer["caused"] == json!(true);
                    answer["fails"] == json!(code) && says.contains(part) && caused
                }
                _ => false,
            };
            if !fits {
                let (rule, call) = (&step.rule, &step.call);
                let expected = json!({ "ok": step.ok, "fails": step.fails, "says": step.says });
                faults.push(format!(
                    "{host}: {name}: {rule}: {call}\n  expected {expected}\n  answered {answer}"
                ));
            }
        }
        if answers.len() != self.steps.len() {
            faults.push(format!(
                "{host}: {name}: {} answers to {} steps",
                answers.len(),
                self.steps.len()
            ));
        }
        if failed != self.fails {
            faults.push(format!("{host}: {name}: failed: {failed}"));
        }
        faults
    }
}

impl Declaration {
    /// The whole manifest.
    pub fn manifest(&self) -> Value {
        let mut manifest = json!({
            "manifest": 1,
            "name": "declared",
            "version": "0.1.0",
            "models": [{ "name": "M" }],
            "syncs": [{ "name": "s", "models": ["M"] }],
        });
        for (key, value) in self.says.as_object().into_iter().flatten() {
            manifest[key] = value.clone();
        }
        manifest
    }

    /// `refusal`: what the host says against it.
    pub fn check(&self, host: &str, refusal: Option<&str>) -> Vec<String> {
        let fits = match (&self.refused, refusal) {
            (None, None) => true,
            (Some(part), Some(refusal)) => refusal.contains(part),
            _ => false,
        };
        if fits {
            return Vec::new();
        }
        vec![format!("{host}: {self:?}\n  is answered {refusal:?}")]
    }
}

/// All files of a folder.
pub fn read(folder: &Path) -> Vec<File> {
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let parse = |path: &std::path::PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    paths.iter().map(parse).collect()
}

/// What the API of the cases answers: its status, its headers and the length of its body, as the query says.
pub fn reply(query: impl Fn(&str) -> Option<String>) -> (u16, Vec<(String, String)>, usize) {
    let number = |name| query(name).map_or(0, |value| value.parse::<usize>().unwrap());
    let size = number("header_bytes");
    let headers = (0..number("headers")).map(|n| (format!("X-Own-{n}"), "v".repeat(size)));
    let status = query("status").map_or(200, |status| status.parse().unwrap());
    (status, headers.collect(), number("bytes"))
}
