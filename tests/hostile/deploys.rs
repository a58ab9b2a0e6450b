//! Components that are not even deployed: too large inside, with imports that no plugin is given,
//! or with a manifest that is huge, slow or lies.

use crate::binary;
use crate::case::{Case, Does};
use crate::template::Template;

pub fn cases() -> Vec<Case> {
    [insides(), imports(), manifests(), lies()].concat()
}

fn case(name: &'static str, make: fn() -> Vec<u8>) -> Case {
    Case::new(name, Does::Deploy(make))
}

/// Refused before wasmtime sees them.
fn insides() -> Vec<Case> {
    vec![
        case("a hundred thousand functions", || {
            binary::with_modules(&[binary::functions(100_001, &binary::idle(2))])
        })
        .breaks("component_functions"),
        case("a function of more than 256 KiB", || {
            binary::with_modules(&[binary::functions(1, &binary::idle((256 << 10) + 1))])
        })
        .breaks("component_function_bytes"),
        case("33 MiB of code", || {
            binary::with_modules(&[binary::functions(132, &binary::idle(256 << 10))])
        })
        .breaks("component_code_bytes"),
        case("millions of local variables in a few bytes", || {
            binary::with_modules(&[binary::functions(41, &binary::locals(50_000))])
        })
        .breaks("component_locals"),
        case("a hundred thousand types", || {
            binary::with_modules(&[binary::types(50_000), binary::types(50_000)])
        })
        .breaks("component_types"),
        case("hundreds of modules", || {
            binary::with_modules(&vec![binary::types(0); 257])
        })
        .breaks("component_modules"),
        case("components nested in components", || binary::nested(17)).breaks("component_depth"),
        case("hundreds of instances", || {
            let instances = "(core instance (instantiate $Empty))".repeat(257);
            let template = Template {
                component: format!("(core module $Empty) {instances}"),
                ..Template::default()
            };
            template.bytes()
        })
        .breaks("component_parts"),
        case("a memory of 64 bits", || {
            Template::default().module("(memory i64 1)").bytes()
        })
        .says("memory64"),
        case("vectors whose result is the machine's choice", || {
            let swizzle = "(func (param v128) (result v128)
                (i8x16.relaxed_swizzle (local.get 0) (local.get 0)))";
            Template::default().module(swizzle).bytes()
        })
        .says("relaxed SIMD"),
        case("references to functions of a type", || {
            let types = "(type $Called (func)) (func (param (ref null $Called)))";
            Template::default().module(types).bytes()
        })
        .says("function references"),
        case("pages of one byte", || {
            let memory = "(memory 1 (pagesize 1))";
            Template::default().module(memory).bytes()
        })
        .says("custom page sizes"),
        case("a file beyond the limit", || {
            let mut bytes = Template::default().bytes();
            bytes.resize((64 << 20) + 1, 0);
            bytes
        })
        .breaks("component_bytes"),
        case("data beyond the end of memory", || {
            Template::default()
                .module("(data (i32.const 0x7fff0000) \"x\")")
                .bytes()
        })
        .says("out of bounds"),
    ]
}

/// Imports are a component's capabilities.
fn imports() -> Vec<Case> {
    macro_rules! importing {
        ($name:literal, $import:literal) => {
            case($name, || {
                let template = Template {
                    component: format!("(import \"{}\" (instance))", $import),
                    ..Template::default()
                };
                template.bytes()
            })
            .says($import)
            .says("no plugin is given")
        };
    }
    vec![
        importing!("files through WASI", "wasi:filesystem/types@0.2.6"),
        importing!(
            "preopened folders through WASI",
            "wasi:filesystem/preopens@0.2.6"
        ),
        importing!("sockets through WASI", "wasi:sockets/tcp@0.2.6"),
        importing!("names through WASI", "wasi:sockets/ip-name-lookup@0.2.6"),
        importing!("HTTP past the gate", "wasi:http/outgoing-handler@0.2.6"),
        importing!("an import that nobody knows", "evil:corp/backdoor@1.0.0"),
    ]
}

/// Manifests that cost too much.
fn manifests() -> Vec<Case> {
    vec![
        case("a manifest of more than a megabyte", || {
            made_by(
                "(drop (memory.grow $memory (i32.const 40)))
                (i32.store (i32.const 16) (i32.const 65536)) (i32.store (i32.const 20) (i32.const 1048577))
                (i32.const 16)",
            )
        })
        .breaks("manifest_bytes"),
        case("a manifest that is never done", || made_by("(loop (br 0)) (i32.const 16)"))
            .breaks("manifest_ms"),
        case("a manifest that takes all memory", || {
            made_by(
                "(loop (br_if 0 (i32.ne (memory.grow $memory (i32.const 16)) (i32.const -1)))) unreachable",
            )
        })
        .breaks("manifest_memory_bytes"),
        case("a manifest that calls the host", || {
            made_by(
                "(call $log (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)) (i32.const 16)",
            )
        })
        .says("without any capability"),
        case("a manifest that recurses", || {
            let template = Template {
                manifest_code: "(call $deeper)".to_owned(),
                ..Template::default()
            };
            template
                .module("(func $deeper (result i32) (i32.add (call $deeper) (i32.const 1)))")
                .bytes()
        })
        .says("stack"),
        case("a start function that is never done", || {
            Template::default()
                .module("(func $start (loop (br 0))) (start $start)")
                .bytes()
        })
        .breaks("manifest_ms"),
        case("a manifest nested ten thousand deep", || {
            let (open, close) = ("[".repeat(10_000), "]".repeat(10_000));
            Template::says(&format!(r#"{{"manifest": 1, "config": {open}{close}}}"#)).bytes()
        })
        .says("recursion limit"),
        case("ten thousand syncs", || {
            let syncs: Vec<String> = (0..10_000)
                .map(|n| format!(r#"{{"name": "s{n}", "models": ["A"]}}"#))
                .collect();
            manifest(&format!(r#""models": [{{"name": "A"}}], "syncs": [{}]"#, syncs.join(",")))
        })
        .breaks("manifest_entries"),
    ]
}

fn made_by(code: &str) -> Vec<u8> {
    let template = Template {
        manifest_code: code.to_owned(),
        ..Template::default()
    };
    template.bytes()
}

/// Manifests that are not what they should be.
fn lies() -> Vec<Case> {
    vec![
        case("a manifest that is not JSON", || {
            Template::says("surprise").bytes()
        })
        .says("not JSON"),
        case("a manifest of a version to come", || {
            Template::says(r#"{"manifest": 7}"#).bytes()
        })
        .says("version 7"),
        case("a name that leads elsewhere", || {
            Template::says(r#"{"manifest": 1, "name": "../../etc/passwd", "version": "0.1.0"}"#)
                .bytes()
        })
        .says("name"),
        case("a sync of a model that is not listed", || {
            manifest(r#""syncs": [{"name": "s", "models": ["Secret"]}]"#)
        })
        .says("Secret"),
        case("a limit that there is not", || {
            manifest(r#""capabilities": {"limits": {"memory": 1}}"#)
        })
        .says("unknown limit"),
        case("a limit that nobody gets", || {
            manifest(r#""capabilities": {"limits": {"http_headers": 1001}}"#)
        })
        .says("the most that can be set is 1000"),
        case("more answers at once than there is room for", || {
            manifest(
                r#""capabilities": {"limits": {"http_in_flight": 64, "http_response_bytes": 67108864}}"#,
            )
        })
        .breaks("runs_held_bytes")
        .says("http_in_flight"),
        case("a grant of its own", || {
            manifest(r#""grants": {"hosts": ["*"]}"#)
        })
        .says("grants"),
        case("a schema that is none", || {
            manifest(r#""config": {"type": 12}"#)
        })
        .says("not a JSON Schema"),
        case("a schema from the network", || {
            manifest(r#""config": {"$ref": "http://169.254.169.254/schema"}"#)
        })
        .says("leads outside the schema"),
        case("a schema from a file", || {
            manifest(r#""config": {"$ref": "file:///etc/passwd"}"#)
        })
        .says("leads outside the schema"),
        case("a schema of five thousand schemas", || {
            let parts: Vec<String> = (0..5_000).map(|n| format!(r#""p{n}": true"#)).collect();
            manifest(&format!(r#""config": {{"properties": {{{}}}}}"#, parts.join(",")))
        })
        .breaks("schema_parts"),
        case("schemas within schemas", || {
            let (begin, end) = (r#"{"items": "#.repeat(65), "}".repeat(65));
            manifest(&format!(r#""config": {begin}{{}}{end}"#))
        })
        .breaks("schema_depth"),
        case("references that double", || {
            manifest(&format!(r#""config": {}"#, doubling(13)))
        })
        .breaks("schema_unfolded"),
        case("a schema that leads back to itself", || {
            manifest(r##""config": {"allOf": [{"$ref": "#"}]}"##)
        })
        .says("leads back"),
        case("hundreds of patterns", || {
            let model = |n: usize| {
                format!(r#"{{"name": "M{n}", "schema": {{"pattern": "^{n}-(a|b)+$"}}}}"#)
            };
            let models: Vec<String> = (0..250).map(model).collect();
            let more: Vec<String> = (0..7)
                .map(|n| format!(r#""p{n}": {{"pattern": "^{n}[x-z]+$"}}"#))
                .collect();
            manifest(&format!(
                r#""models": [{}], "config": {{"properties": {{{}}}}}"#,
                models.join(","),
                more.join(",")
            ))
        })
        .breaks("schema_patterns"),
        case("a pattern of a million steps", || {
            manifest(r#""config": {"pattern": "^([a-z]{1,900}){1,900}$"}"#)
        })
        .breaks("schema_pattern_bytes"),
    ]
}

/// A schema whose definitions each lead to the next one twice.
fn doubling(levels: usize) -> String {
    let definition = |level: usize| {
        let next = format!(r##"{{"$ref": "#/$defs/d{}"}}"##, level + 1);
        format!(r#""d{level}": {{"anyOf": [{next}, {next}]}}"#)
    };
    let definitions: Vec<String> = (0..levels).map(definition).collect();
    format!(
        r##"{{"$ref": "#/$defs/d0", "$defs": {{{}, "d{levels}": {{"type": "object"}}}}}}"##,
        definitions.join(",")
    )
}

/// A component with a manifest of these parts.
fn manifest(parts: &str) -> Vec<u8> {
    Template::says(&format!(
        r#"{{"manifest": 1, "name": "liar", "version": "0.1.0", {parts}}}"#
    ))
    .bytes()
}
