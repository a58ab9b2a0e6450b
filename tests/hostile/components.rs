//! Components that are deployed and misbehave when they run, in ways that no compiler offers.

use crate::binary;
use crate::case::{Case, Does};
use crate::template::Template;

pub fn cases() -> Vec<Case> {
    let case = |name, make| Case::new(name, Does::Component(make));
    vec![
        case("several memories together", || {
            // Each is far below the limit.
            let memories = "(memory 1)".repeat(40);
            let grow: String = (1..41)
                .map(|m| format!("(if (i32.eq (memory.grow {m} (i32.const 16)) (i32.const -1)) (then unreachable))"))
                .collect();
            Template::syncs(&grow).module(&memories).bytes()
        })
        .with("memory_bytes", 16 << 20)
        .breaks("memory_bytes"),
        case("more memory than the limit from the start", || {
            Template::default().module("(memory 1000)").bytes()
        })
        .with("memory_bytes", 16 << 20)
        .breaks("memory_bytes"),
        case("a table that grows", || {
            let grow = "(loop (br_if 0 (i32.ne (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1)))) unreachable";
            Template::syncs(grow).module("(table $t 0 funcref)").bytes()
        })
        .breaks("table_elements"),
        case("several tables together", || {
            let tables: String = (0..20).map(|t| format!("(table $t{t} 0 funcref)")).collect();
            let grow: String = (0..20)
                .map(|t| format!("(if (i32.eq (table.grow $t{t} (ref.null func) (i32.const 50000)) (i32.const -1)) (then unreachable))"))
                .collect();
            Template::syncs(&grow).module(&tables).bytes()
        })
        .with("memory_bytes", 8 << 20)
        .breaks("memory_bytes"),
        case("sixty-five tables", || {
            Template::default().module(&"(table 1 funcref)".repeat(65)).bytes()
        })
        .breaks("tables"),
        case("sixty-five instances", || {
            let instances = "(core instance (instantiate $Empty))".repeat(65);
            let template = Template {
                component: format!("(core module $Empty) {instances}"),
                ..Template::default()
            };
            template.bytes()
        })
        .breaks("instances"),
        case("ten million empty texts in one call", || {
            // 8 bytes each in the guest, 24 in the host.
            let get = "(drop (memory.grow $memory (i32.const 1300)))
                (call $get (i32.const 16) (i32.const 0) (i32.const 65536) (i32.const 10000000) (i32.const 64))";
            let template = Template {
                waits: true,
                ..Template::syncs(get)
            };
            template.bytes()
        })
        .breaks("host_call_bytes"),
        case("a function of just the limit, all branches", || {
            let body = binary::branches(256 << 10);
            binary::with_modules(&[binary::functions(1, &body)])
        })
        .harmless(|_| ()),
        case("two million local variables", || {
            binary::with_modules(&[binary::functions(40, &binary::locals(50_000))])
        })
        .harmless(|_| ()),
        case("text that is not UTF-8", || {
            let log = "(i32.store8 (i32.const 600) (i32.const 255))
                (call $log (i32.const 1) (i32.const 600) (i32.const 1) (i32.const 0) (i32.const 0))";
            Template::syncs(log).bytes()
        })
        .class("trap")
        .says("utf-8"),
        case("text beyond the end of memory", || {
            let log = "(call $log (i32.const 1) (i32.const -16) (i32.const 64) (i32.const 0) (i32.const 0))";
            Template::syncs(log).bytes()
        })
        .class("trap")
        .says("out of bounds"),
        case("a log level that there is not", || {
            let log = "(call $log (i32.const 77) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))";
            Template::syncs(log).bytes()
        })
        .class("trap"),
        case("handles without end", || {
            Template::syncs("(loop (drop (call $waitable-set-new)) (br 0))").bytes()
        })
        .breaks("handles"),
        case("a result that is none", || {
            // The discriminant of ok or error is neither.
            Template::syncs("(i32.store8 (i32.const 0) (i32.const 9))").bytes()
        })
        .class("trap"),
    ]
}
