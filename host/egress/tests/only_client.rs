//! Every byte leaves through this crate: nothing else of the workspace depends on an HTTP client.

use std::fs;
use std::path::Path;

const CLIENTS: [&str; 10] = [
    "reqwest",
    "hyper",
    "hyper-util",
    "ureq",
    "isahc",
    "curl",
    "attohttpc",
    "awc",
    "surf",
    "minreq",
];

#[test]
fn no_other_crate_has_an_http_client() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut manifests = vec![root.join("Cargo.toml"), root.join("plugin-sdk/Cargo.toml")];
    for folder in ["host", "plugins"] {
        let entries = fs::read_dir(root.join(folder)).unwrap();
        manifests.extend(entries.map(|entry| entry.unwrap().path().join("Cargo.toml")));
    }
    let mut found = Vec::new();
    for path in manifests {
        // Not every folder is a crate.
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        let mut counts = false;
        for line in text.lines() {
            if line.starts_with('[') {
                // What ships: neither the table of versions nor what tests use.
                counts = line.ends_with("dependencies]")
                    && !line.contains("workspace.")
                    && !line.contains("dev-");
            }
            let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
            if counts && CLIENTS.contains(&name) {
                let folder = path.parent().and_then(Path::file_name).unwrap_or_default();
                found.push(format!("{name} in {}", folder.display()));
            }
        }
    }
    found.sort();
    let of_egress = ["hyper-util in egress", "reqwest in egress"];
    // The server serves with these; commands ask their own server on loopback.
    let of_server = ["hyper in http", "hyper-util in http"];
    found.retain(|name| !of_server.contains(&name.as_str()));
    assert_eq!(found, of_egress);
    let mut folders = ["service", "http", "cli"]
        .map(|floor| root.join("host").join(floor).join("src"))
        .to_vec();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.ends_with("remote/client.rs") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap_or_default();
            for client in ["hyper::client", "hyper_util::client"] {
                assert!(!text.contains(client), "{client} in {}", path.display());
            }
        }
    }
}
