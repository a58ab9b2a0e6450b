//! What a file is, and whether it is a plugin of ours, before wasmtime compiles anything.

use semver::Version;
use serde::{Deserialize, Serialize};
use tidegate_engine::command;
use tidegate_engine::limits;
use wasmparser::{ComponentExternalKind, ComponentTypeRef, Encoding, Parser, Payload};

use crate::bounds::{Counts, TooLarge};

/// Largest component that is looked at.
#[expect(clippy::cast_possible_truncation, reason = "a constant far below")]
pub const COMPONENT_BYTES_MAX: usize = limits::COMPONENT_BYTES as usize;

/// Interfaces of WASI that a language's standard library needs. All are virtual: no files, no
/// network, no environment; time and randomness are the host's.
const WASI_ALLOWED: &[&str] = &[
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/stderr",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:cli/terminal-stderr",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:random/random",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
];

/// The world's exports.
const EXPORTS: &[&str] = &["manifest", "sync", "action", "event"];

/// What a component's outside says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The version of the contract it was built against.
    pub contract: Version,
    /// Interfaces it imports, by name.
    pub imports: Vec<String>,
}

/// Why a file is not a plugin that this host can run, in words for its author.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentifyError {
    #[error(
        "this is not WebAssembly: it starts with {start:?}, and a component starts with \"\\0asm\""
    )]
    NotWasm { start: String },
    #[error("the file is empty")]
    Empty,
    #[error("the file has {bytes} bytes; the limit component_bytes is {COMPONENT_BYTES_MAX}")]
    Large { bytes: usize },
    #[error(transparent)]
    Inside(#[from] TooLarge),
    #[error(
        "this is a core WebAssembly module, not a component: build the crate for the target \
         wasm32-wasip2 with crate-type = [\"cdylib\"] (`{build}` does)",
        build = command!("build")
    )]
    CoreModule,
    #[error("this WebAssembly is damaged or cut off at byte {offset}: {reason}")]
    Damaged { offset: usize, reason: String },
    #[error(
        "this component implements another world: it exports {exports} and imports {imports}, but \
         nothing of tidegate:plugin; a plugin is built with tidegate-sdk, or from the WIT in `wit/`"
    )]
    OtherWorld { exports: String, imports: String },
    #[error(
        "this plugin was built against tidegate:plugin@{plugin}, and this host runs \
         tidegate:plugin@{host}: {advice}"
    )]
    OtherVersion {
        plugin: Version,
        host: Version,
        advice: &'static str,
    },
    #[error(
        "this component imports {imports}, which no plugin is given: a plugin reaches the world only \
         through tidegate:plugin; remove the dependency that opens files, sockets or the like"
    )]
    ForbiddenImports { imports: String },
    #[error(
        "this component does not export {missing}, which the world tidegate:plugin/plugin requires"
    )]
    MissingExports { missing: String },
}

/// Look at a file's outside.
pub fn identify(bytes: &[u8]) -> Result<Identity, IdentifyError> {
    check_header(bytes)?;
    let (imports, exports) = live(bytes)?;
    let package = format!("{}/", tidegate_contract::PACKAGE);
    let ours: Vec<&String> = imports
        .iter()
        .filter(|name| name.starts_with(&package))
        .collect();
    let host = Version::parse(tidegate_contract::VERSION).unwrap_or(Version::new(0, 0, 0));
    let Some(version) = ours.iter().find_map(|name| version_of(name)) else {
        let missing = EXPORTS
            .iter()
            .any(|name| !exports.iter().any(|e| e == name));
        if missing || ours.is_empty() {
            return Err(IdentifyError::OtherWorld {
                exports: listed(&exports),
                imports: listed(&imports),
            });
        }
        return Err(IdentifyError::OtherVersion {
            plugin: Version::new(0, 0, 0),
            host,
            advice: "rebuild it with a released SDK",
        });
    };
    if let Some(advice) = incompatible(&version, &host) {
        return Err(IdentifyError::OtherVersion {
            plugin: version,
            host,
            advice,
        });
    }
    let allowed = |name: &String| {
        name.starts_with(&package) || WASI_ALLOWED.contains(&name.split('@').next().unwrap_or(name))
    };
    let forbidden: Vec<String> = imports
        .iter()
        .filter(|name| !allowed(name))
        .cloned()
        .collect();
    if !forbidden.is_empty() {
        return Err(IdentifyError::ForbiddenImports {
            imports: listed(&forbidden),
        });
    }
    let missing: Vec<String> = EXPORTS
        .iter()
        .filter(|name| !exports.iter().any(|export| export == *name))
        .map(|name| (*name).to_owned())
        .collect();
    if !missing.is_empty() {
        return Err(IdentifyError::MissingExports {
            missing: listed(&missing),
        });
    }
    Ok(Identity {
        contract: version,
        imports,
    })
}

/// What is wrong between a plugin's contract version and the host's, as advice; `None` if nothing.
fn incompatible(plugin: &Version, host: &Version) -> Option<&'static str> {
    let same_line = plugin.major == host.major
        && (host.major > 0 || plugin.minor == host.minor)
        && plugin.pre.is_empty();
    if same_line && plugin <= host {
        None
    } else if plugin > host {
        Some("upgrade the host, or rebuild the plugin with an older SDK")
    } else {
        Some("rebuild the plugin with a newer SDK")
    }
}

fn check_header(bytes: &[u8]) -> Result<(), IdentifyError> {
    if bytes.is_empty() {
        return Err(IdentifyError::Empty);
    }
    if bytes.len() > COMPONENT_BYTES_MAX {
        return Err(IdentifyError::Large { bytes: bytes.len() });
    }
    if !bytes.starts_with(b"\0asm") {
        let start = bytes.iter().take(16).copied().collect::<Vec<u8>>();
        return Err(IdentifyError::NotWasm {
            start: String::from_utf8_lossy(&start).into_owned(),
        });
    }
    Ok(())
}

/// Names of the outermost component's imports and exports.
fn live(bytes: &[u8]) -> Result<(Vec<String>, Vec<String>), IdentifyError> {
    let damaged = |error: wasmparser::BinaryReaderError| IdentifyError::Damaged {
        offset: error.offset(),
        reason: error.message().to_owned(),
    };
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    let mut depth = 0_usize;
    let mut counts = Counts::default();
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(damaged)?;
        counts.take(&payload).map_err(damaged)?;
        counts.check()?;
        match payload {
            Payload::Version {
                encoding: Encoding::Module,
                ..
            } if depth == 0 => {
                return Err(IdentifyError::CoreModule);
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    let import = import.map_err(damaged)?;
                    // The world's own `use`s are imports of types, which give nothing.
                    if !matches!(import.ty, ComponentTypeRef::Type(_)) {
                        imports.push(import.name.name.to_owned());
                    }
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    let export = export.map_err(damaged)?;
                    if matches!(
                        export.kind,
                        ComponentExternalKind::Func | ComponentExternalKind::Instance
                    ) {
                        exports.push(export.name.name.to_owned());
                    }
                }
            }
            _ => {}
        }
    }
    Ok((imports, exports))
}

fn version_of(interface: &str) -> Option<Version> {
    Version::parse(interface.split_once('@')?.1).ok()
}

/// At most eight names, for a message.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 8;
    if names.is_empty() {
        return "nothing".to_owned();
    }
    let mut text = names
        .iter()
        .take(SHOWN)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ours_is_explained() {
        let rows: &[(&[u8], &str)] = &[
            (b"", "empty"),
            (b"#!/bin/sh\necho", "not WebAssembly"),
            (b"\0asm\x01\0\0\0", "core WebAssembly module"),
            (b"\0asm\x0d\0\x01\0", "another world"),
            (b"\0asm\x0d\0\x01\0\x07\xff", "damaged or cut off"),
            (b"\0asm", "damaged or cut off"),
        ];
        for (bytes, message) in rows {
            let error = identify(bytes).unwrap_err().to_string();
            assert!(error.contains(message), "wanted {message:?} in {error}");
        }
    }

    #[test]
    fn versions_fit_within_a_line_and_not_from_the_future() {
        // (plugin, host, fits)
        let rows = [
            ("0.1.0", "0.1.0", true),
            ("0.1.0", "0.1.3", true),
            ("0.1.4", "0.1.3", false),
            ("0.2.0", "0.1.3", false),
            ("0.1.0", "0.2.0", false),
            ("1.0.0", "1.4.2", true),
            ("1.5.0", "1.4.2", false),
            ("2.0.0", "1.4.2", false),
            ("0.1.0-draft", "0.1.0", false),
        ];
        for (plugin, host, fits) in rows {
            let verdict = incompatible(&plugin.parse().unwrap(), &host.parse().unwrap());
            assert_eq!(verdict.is_none(), fits, "{plugin} on {host}: {verdict:?}");
        }
    }
}
