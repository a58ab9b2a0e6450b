//! Documents show what there is, what is written twice is the same, and sentences are short.

use std::collections::BTreeMap;
use std::mem;
use std::path::{Path, PathBuf};

use super::{documents, files, read, root};

/// Most words of a sentence in a public document.
const SENTENCE_WORDS_MAX: usize = 30;

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

/// The sentences of a document outside its blocks of code. Cells of tables, items of lists and headings end a sentence,
/// as colons and semicolons do.
fn sentences(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut in_block = false;
    for line in text.lines().map(str::trim) {
        let is_fence = line.starts_with("```");
        in_block ^= is_fence;
        let is_numbered = line
            .split_once(". ")
            .is_some_and(|(number, _)| number.parse::<u32>().is_ok());
        let begins = is_fence
            || is_numbered
            || line.is_empty()
            || line.starts_with("- ")
            || line.starts_with('#');
        if begins {
            parts.push(String::new());
        }
        if in_block || is_fence {
            continue;
        }
        if let Some(row) = line.strip_prefix('|') {
            let row = row.replace("\\|", " ");
            parts.extend(row.split('|').map(str::to_owned));
            parts.push(String::new());
        } else if let Some(last) = parts.last_mut() {
            last.push(' ');
            last.push_str(line);
        }
    }

    let mut found = Vec::new();
    for part in &parts {
        let mut words = Vec::new();
        for word in part.split_whitespace() {
            if word.chars().any(char::is_alphanumeric) {
                words.push(word);
            }
            let bare = word.trim_end_matches(['*', ')']);
            if bare.ends_with(['.', '!', '?', ':', ';']) {
                found.push(mem::take(&mut words).join(" "));
            }
        }
        found.push(words.join(" "));
    }
    found.retain(|sentence| !sentence.is_empty());
    found
}

#[test]
fn sentences_are_short() {
    let sample =
        "One two. **Three:** four\n\n| a \\| b | c |\n\n```\nno sentence\n```\n- five\n2. six";
    let expected = "One two. / **Three:** / four / a b / c / five / 2. / six";
    assert_eq!(sentences(sample).join(" / "), expected);

    let mut public = files(&["docs"], ".md");
    // Decisions are of their time, and tests write the table of hostile cases.
    public.retain(|file| {
        !file.starts_with("docs/decisions") && file.as_path() != Path::new("docs/hostile.md")
    });
    public.extend(["ARCHITECTURE.md", "README.md", "SECURITY.md"].map(PathBuf::from));
    let mut long = Vec::new();
    for file in public {
        for sentence in sentences(&read(&file)) {
            let words = sentence.split(' ').count();
            if words > SENTENCE_WORDS_MAX {
                let file = file.display();
                long.push(format!("{file}: {words} words: {sentence}"));
            }
        }
    }
    assert!(
        long.is_empty(),
        "split sentences of more than {SENTENCE_WORDS_MAX} words:\n{}",
        long.join("\n")
    );
}
