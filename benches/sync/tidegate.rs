//! Tidegate as an operator runs it: the built binary, `plugins/rest` in its sandbox, sled.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::measure::{self, Measured};
use crate::source::Source;
use crate::{System, size_of};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tidegate");

pub(crate) struct Tidegate {
    data: PathBuf,
}

impl Tidegate {
    pub(crate) fn new(directory: &Path, source: &Source, page: usize) -> Self {
        let data = directory.join("tidegate-data");
        let plugin = built();
        let origin = format!("http://{}", source.address);
        let config = directory.join("rest.json");
        let text = json!({"models": {"Contact": {
            "path": "/records",
            "records": "/items",
            "pagination": {
                "style": "cursor", "parameter": "cursor", "cursor_pointer": "/next_cursor",
                "page_size": page, "page_size_parameter": "limit",
            },
            "incremental": {"parameter": "updated_since", "field": "/updated_at", "format": "epoch_ms"},
        }}});
        std::fs::write(&config, text.to_string()).expect("the config is written");
        let this = Self { data };
        let config = format!("@{}", config.display());
        this.succeed(&[
            "deploy",
            &plugin,
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

/// Build `plugins/rest` with the binary itself.
fn built() -> String {
    let crate_path = concat!(env!("CARGO_MANIFEST_DIR"), "/plugins/rest");
    let output = Command::new(PROGRAM)
        .args(["build", crate_path, "--json"])
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
        "tidegate"
    }

    fn sync(&self, full: bool) -> Measured {
        let mut command = self.command(&["run", "bench/Contact", "--connection", "acme", "--json"]);
        if full {
            command.arg("--reset");
        }
        measure::run(&mut command)
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
