//! Tidegate as an operator runs it: the built binary, a plugin in its sandbox, sled.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::measure::{self, Measured};
use crate::source::Source;
use crate::{Pull, System, inside, size_of};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tidegate");

pub(crate) struct Tidegate {
    name: &'static str,
    data: PathBuf,
    source: String,
}

impl Tidegate {
    /// `plugins/rest`, which is told by config what to pull.
    pub(crate) fn rest(directory: &Path, source: &Source, page: usize) -> Self {
        let config = json!({"models": {"Contact": {
            "path": "/records",
            "records": "/items",
            "pagination": {
                "style": "cursor", "parameter": "cursor", "cursor_pointer": "/next_cursor",
                "page_size": page, "page_size_parameter": "limit",
            },
            "incremental": {"parameter": "updated_since", "field": "/updated_at", "format": "epoch_ms"},
            "full_pull_with_deletes": true,
        }}});
        Self::new("tidegate-rest", "plugins/rest", directory, source, &config)
    }

    /// A plugin written for the source.
    pub(crate) fn coded(directory: &Path, source: &Source, page: usize) -> Self {
        let config = json!({ "page_size": page });
        let plugin = "tests/plugins/bench-source";
        Self::new("tidegate-coded", plugin, directory, source, &config)
    }

    fn new(
        name: &'static str,
        plugin: &str,
        directory: &Path,
        source: &Source,
        config: &Value,
    ) -> Self {
        let data = directory.join(name);
        let origin = format!("http://{}", source.address);
        let file = directory.join(format!("{name}.json"));
        std::fs::write(&file, config.to_string()).expect("the config is written");
        let this = Self {
            name,
            data,
            source: origin.clone(),
        };
        let config = format!("@{}", file.display());
        this.succeed(&[
            "deploy",
            &built(plugin),
            "--as",
            "bench",
            "--yes",
            "--allow-host",
            &origin,
            "--allow-private",
            "127.0.0.0/8",
            "--config",
            &config,
        ]);
        this.succeed(&["connections", "add", "bench", "acme", "--base-url", &origin]);
        this
    }

    /// Sync `runs` connections of the source at once, in one process.
    pub(crate) fn concurrent(&self, runs: usize) -> Value {
        let line =
            measure::answer::<String>(&mut inside::concurrent(&self.data, &self.source, runs));
        serde_json::from_str(&line).expect("a JSON line")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).arg("--data").arg(&self.data);
        command
    }

    fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().expect("tidegate starts");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tidegate {arguments:?}: {error}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

/// Build a plugin with the binary itself.
fn built(plugin: &str) -> String {
    let crate_path = Path::new(env!("CARGO_MANIFEST_DIR")).join(plugin);
    let output = Command::new(PROGRAM)
        .arg("build")
        .arg(crate_path)
        .arg("--json")
        .output();
    let output = output.expect("tidegate starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    report["file"]
        .as_str()
        .expect("the component's path")
        .to_owned()
}

impl System for Tidegate {
    fn name(&self) -> &'static str {
        self.name
    }

    fn sync(&self, pull: Pull) -> Measured {
        let mut command = self.command(&["run", "bench/Contact", "--connection", "acme", "--json"]);
        if pull == Pull::Full {
            command.arg("--reset");
        }
        measure::run(&mut command)
    }

    fn incremental_inside(&self, runs: usize) -> f64 {
        measure::answer(&mut inside::incremental(&self.data, &self.source, runs))
    }

    fn stored(&self) -> usize {
        let shown = self.succeed(&["connections", "show", "bench", "acme", "--json"]);
        let shown: Value = serde_json::from_str(&shown).expect("JSON");
        shown["models"][0]["live"].as_u64().expect("a count") as usize
    }

    fn disk_bytes(&self) -> u64 {
        size_of(&self.data)
    }
}
