//! Documents show what there is, and what is written twice is the same.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{documents, files, read, root};

#[test]
fn links_between_documents_lead_somewhere() {
    for document in documents() {
        let text = read(&document);
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let path = link.split('#').next().unwrap();
            if path.is_empty() || path.contains("://") {
                continue;
            }
            let target = root().join(&document).parent().unwrap().join(path);
            assert!(
                target.exists(),
                "{}: the link {link} leads nowhere",
                document.display()
            );
        }
    }
}

#[test]
fn the_example_of_the_readme_is_the_plugin_hello() {
    let readme = read("README.md");
    let example = readme
        .split("```rust\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .unwrap();
    let hello = read("plugins/hello/src/lib.rs");
    assert!(
        hello.contains(example.trim()),
        "README.md shows another plugin than plugins/hello:\n{example}"
    );
}

#[test]
fn the_contract_of_the_sdk_is_the_contract() {
    let content = |folder: &str| -> BTreeMap<PathBuf, String> {
        let named = |file: PathBuf| (file.strip_prefix(folder).unwrap().to_owned(), read(&file));
        files(&[folder], ".wit").into_iter().map(named).collect()
    };
    assert_eq!(
        content("wit"),
        content("plugin-sdk/wit"),
        "copy wit/ to plugin-sdk/wit"
    );
}
