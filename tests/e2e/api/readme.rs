//! The README's section on running a service: its commands, as they stand there.

use std::process::Command;

use serde_json::{Value, json};

use super::serve;
use crate::support::cli::Tidegate;
use crate::support::crm::{Source, contacts, reply};
use crate::support::server::{Reply, Server};
use crate::support::{PATIENCE, root, wait_until};

/// The lines of the section's blocks, block by block.
fn blocks() -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(root().join("README.md")).unwrap();
    let section = text.split("## Run it as a service").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let blocks = section.split("```sh\n").skip(1);
    let lines = |block: &str| {
        block
            .split("```")
            .next()
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect()
    };
    blocks.map(lines).collect()
}

#[test]
fn the_section_on_services_does_what_it_says() {
    let source = Server::start(|request| match request.method.as_str() {
        "POST" => Reply::status(204),
        _ => reply(&contacts(1..4, 1), None),
    });
    let tidegate = Tidegate::new();
    Source::DemoCrm.set_up(&tidegate, &source.origin());
    let blocks = blocks();
    let [setup, calls] = blocks.as_slice() else {
        panic!("{} blocks", blocks.len());
    };
    assert_eq!(setup.last().unwrap(), "tidegate serve");
    let hook = format!("{}/hooks", source.origin());
    let mut key = String::new();
    for line in setup.iter().filter(|line| *line != "tidegate serve") {
        let words = line.strip_prefix("tidegate ").unwrap();
        let words = words.replace("https://app.example.com/hooks", &hook);
        let said = tidegate.cmd(&words).ok().stdout;
        let found = said
            .split_whitespace()
            .find(|word| word.starts_with("tgk_"));
        key = found.map_or(key, str::to_owned);
    }
    let (_running, address) = serve(&tidegate, "--webhook-allow-private 127.0.0.0/8");
    let call = |line: &String| -> Value {
        let line = line.replace("127.0.0.1:7411", &address.to_string());
        let output = Command::new("bash")
            .args(["-euc", &line])
            .env("KEY", &key)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        serde_json::from_str(&said).unwrap_or_else(|_| panic!("{line}: {said}"))
    };
    let triggered = call(&calls[0]);
    wait_until("the job has ended", PATIENCE, || {
        let jobs = call(&calls[1]);
        let last = &jobs["jobs"][0];
        (last["job"] == triggered["job"] && last["state"] == "succeeded").then_some(())
    });
    let records = call(&calls[2]);
    assert_eq!(records["records"].as_array().unwrap().len(), 3);
    let told = wait_until("the webhook comes", PATIENCE, || {
        let requests = source.requests();
        requests
            .into_iter()
            .find(|request| request.method == "POST")
    });
    assert!(
        told.header("webhook-signature")
            .is_some_and(|text| text.starts_with("v1,"))
    );
    let body: Value = serde_json::from_slice(&told.body).unwrap();
    assert_eq!(
        (&body["type"], &body["data"]["models"][0]["added"]),
        (&json!("run.finished"), &json!(3))
    );
}
