//! The table that the plugin's expressions are compared with (`plugins/push/src/tests/jq.jsonl`) is jq's own.

use std::process::Command;

use crate::support::real::{or_loudly, python};
use crate::support::root;

#[test]
fn the_table_is_what_jq_makes_of_it() {
    let installed = python("jq", "tests/jq/requirements.txt");
    let Some(bin) = or_loudly("JQ", installed) else {
        return;
    };
    let output = Command::new(bin.join("python"))
        .arg(root().join("tests/jq/compare.py"))
        .arg(root().join("plugins/push/src/tests/jq.jsonl"))
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{said}");
}
