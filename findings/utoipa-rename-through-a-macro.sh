#!/bin/sh
# utoipa 6.0.0 (utoipa-gen 6.0.1), with serde 1.0.229, rustc 1.95
#
# `#[derive(ToSchema)]` reads serde's attributes, so that the schema has the names that serde writes. A name that a
# macro_rules macro puts into `#[serde(rename = $word)]` is an exception when the macro took it as `$word:literal`: serde renames the
# variant, and the schema keeps the Rust name. There is no error and no warning. Taken as `$word:tt`, both rename.
#
# The cause: a captured `literal` fragment reaches a derive within a group without delimiters. serde parses attributes with syn, which looks
# into such groups; utoipa-gen 6.0.1 (`src/component/serde.rs`, `parse_next_lit_str`) takes a bare literal token only.
#
# Output seen on 2026-12-01:
#   literal: serde "ready", schema ["Ready"]
#   tt: serde "ready", schema ["ready"]
#
# Fails if that has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/src"
cat > "$folder/Cargo.toml" <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2024"

[dependencies]
serde = { version = "=1.0.229", features = ["derive"] }
serde_json = "=1.0.154"
utoipa = { version = "=6.0.0", default-features = false, features = ["macros"] }
utoipa-gen = "=6.0.1"

[workspace]
TOML
cat > "$folder/src/main.rs" <<'RUST'
use utoipa::PartialSchema;

macro_rules! by_literal {
    ($name:ident { $($variant:ident = $word:literal),* }) => {
        #[derive(serde::Serialize, utoipa::ToSchema)]
        enum $name { $(#[serde(rename = $word)] $variant),* }
    };
}

macro_rules! by_tt {
    ($name:ident { $($variant:ident = $word:tt),* }) => {
        #[derive(serde::Serialize, utoipa::ToSchema)]
        enum $name { $(#[serde(rename = $word)] $variant),* }
    };
}

by_literal!(Literal { Ready = "ready" });
by_tt!(Tt { Ready = "ready" });

fn say<T: serde::Serialize + PartialSchema>(how: &str, value: T) {
    let schema = serde_json::to_value(T::schema()).unwrap();
    let written = serde_json::to_value(value).unwrap();
    println!("{how}: serde {written}, schema {}", schema["enum"]);
}

fn main() {
    say("literal", Literal::Ready);
    say("tt", Tt::Ready);
}
RUST
seen=$(cargo run --quiet --manifest-path "$folder/Cargo.toml" --target-dir "$folder/target")
echo "$seen"
expected='literal: serde "ready", schema ["Ready"]
tt: serde "ready", schema ["ready"]'
[ "$seen" = "$expected" ]
