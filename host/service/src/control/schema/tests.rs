//! Schemas as authors and their tools write them, and those that cost more than they may: just above
//! our bounds, and harmless to whoever evaluates them.

use serde_json::{Map, json};

use super::steps::{Cost, TooMuch, count};
use super::*;

/// The formats that are asserted, as `docs/manifest.md` lists them.
const FORMATS: &[&str] = &[
    "date",
    "date-time",
    "time",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "uri",
    "uri-reference",
    "json-pointer",
    "uuid",
];

fn compiled(schema: &Value) -> Arc<Schema> {
    Arc::new(Schema::compile("config", schema).unwrap_or_else(|problem| panic!("{problem}")))
}

#[track_caller]
fn refused(schema: &Value, says: &str) {
    let Err(problem) = Schema::compile("config", schema) else {
        panic!("{schema} is taken");
    };
    let said = problem.to_string();
    assert!(
        said.contains("the manifest is not valid at config"),
        "{said}"
    );
    assert!(said.contains(says), "{says:?} is not in {said}");
}

async fn violations(schema: &Value, value: Value) -> Vec<String> {
    compiled(schema).violations(value).await
}

/// `levels` definitions, each of which leads to the next one twice.
fn doubling(keyword: &str, levels: usize) -> Value {
    let definition = |level: usize| {
        let next = json!({"$ref": format!("#/$defs/d{}", level + 1)});
        json!({ keyword: [next.clone(), next] })
    };
    let mut definitions: Map<String, Value> = (0..levels)
        .map(|level| (format!("d{level}"), definition(level)))
        .collect();
    definitions.insert(format!("d{levels}"), json!({"type": "integer"}));
    json!({"$ref": "#/$defs/d0", "$defs": definitions})
}

/// `levels` schemas, each the value of a property of the one before.
fn nested(levels: usize) -> Value {
    (1..levels).fold(json!({}), |inner, _| json!({"properties": {"a": inner}}))
}

fn listed(number: usize, schema: impl Fn(usize) -> Value) -> Value {
    let properties: Map<String, Value> = (0..number)
        .map(|number| (format!("p{number}"), schema(number)))
        .collect();
    json!({ "properties": properties })
}

#[test]
fn what_costs_too_much_is_refused_by_name() {
    // Just within.
    compiled(&listed(4_999, |_| json!(true)));
    compiled(&nested(65));
    compiled(&doubling("anyOf", 11));
    compiled(&listed(
        256,
        |number| json!({"pattern": format!("^{number}-[a-f]$")}),
    ));
    // And just beyond.
    refused(&listed(5_000, |_| json!(true)), "schema_parts = 5000");
    refused(&nested(66), "schema_depth = 64");
    let chain = |length: usize| {
        let definition = |n: usize| json!({"$ref": format!("#/$defs/d{}", n + 1)});
        let mut all: Map<String, Value> = (0..length)
            .map(|n| (format!("d{n}"), definition(n)))
            .collect();
        all.insert(format!("d{length}"), json!({}));
        json!({"$ref": "#/$defs/d0", "$defs": all})
    };
    compiled(&chain(40));
    refused(&chain(70), "schema_depth = 64");
    for keyword in ["anyOf", "oneOf", "allOf"] {
        refused(&doubling(keyword, 13), "schema_unfolded = 10000");
    }
    refused(
        &listed(
            257,
            |number| json!({"pattern": format!("^{number}-[a-f]$")}),
        ),
        "schema_patterns = 256",
    );
    refused(
        &json!({"pattern": "^([a-z]{1,900}){1,900}$"}),
        "schema_pattern_bytes",
    );
    refused(
        &listed(
            200,
            |number| json!({"pattern": format!("^{number}[a-z]{{2000}}$")}),
        ),
        "schema_pattern_bytes",
    );
}

#[test]
fn what_leads_back_or_outside_is_refused() {
    let back = "leads back to where it is";
    refused(&json!({"$ref": "#"}), back);
    refused(
        &json!({"anyOf": [{"type": "string"}, {"not": {"$ref": "#"}}]}),
        back,
    );
    let two = json!({"a": {"allOf": [{"$ref": "#/$defs/b"}]}, "b": {"$ref": "#/$defs/a"}});
    refused(&json!({"$ref": "#/$defs/a", "$defs": two}), back);
    let when = json!({"dependentSchemas": {"x": {"$ref": "#"}}});
    refused(&when, back);
    refused(
        &json!({"$ref": "https://example.com/s.json"}),
        "leads outside",
    );
    refused(&json!({"$ref": "other.json#/$defs/a"}), "leads outside");
    refused(&json!({"$ref": "#/$defs/none"}), "leads nowhere");
    refused(&json!({"$ref": "#name"}), "is to an anchor");
    refused(
        &json!({"$dynamicRef": "#node"}),
        "$dynamicRef is not supported",
    );
    let inner = json!({"properties": {"a": {"$id": "https://example.com/a"}}});
    refused(&inner, "$id is allowed at the top only");
    // Into the value and back is how trees are described.
    let tree = json!({"properties": {"children": {"items": {"$ref": "#"}}}, "required": ["id"]});
    compiled(&tree);
}

#[test]
fn what_looks_back_is_counted_for_each_way_that_leads_there() {
    let fine = json!({
        "$ref": "#/$defs/base", "unevaluatedProperties": false,
        "$defs": {"base": {"properties": {"a": {"type": "string"}}}},
    });
    compiled(&fine);
    // Each definition goes into the value, and twice to the next.
    let levels = 14;
    let definition = |n: usize| {
        let next = json!({"$ref": format!("#/$defs/d{}", n + 1)});
        json!({"properties": {"a": next, "b": next}})
    };
    let mut all: Map<String, Value> = (0..levels)
        .map(|n| (format!("d{n}"), definition(n)))
        .collect();
    all.insert(format!("d{levels}"), json!({}));
    let ways = json!({"$ref": "#/$defs/d0", "$defs": all});
    compiled(&ways);
    let mut looks_back = ways;
    looks_back["unevaluatedProperties"] = json!(false);
    refused(&looks_back, "schema_unfolded");
}

#[test]
fn steps_are_counted_before_anything_is_evaluated() {
    // Both branches lead to the same member: twice as much with each level of the value.
    let filter = json!({
        "anyOf": [
            {"properties": {"and": {"$ref": "#"}}, "required": ["and"]},
            {"properties": {"and": {"$ref": "#"}, "or": {}}, "required": ["and", "or"]},
        ],
    });
    let schema = compiled(&filter);
    let value = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!({"and": inner}));
    let most = |steps| Cost {
        steps,
        depth: 1_000,
    };
    let cost = |levels, steps| count(&schema.shape, &value(levels), most(steps));
    let (three, four) = (cost(3, 10_000).unwrap(), cost(4, 10_000).unwrap());
    assert!(four.steps > three.steps * 18 / 10, "{three:?} {four:?}");
    assert_eq!(cost(8, 1_000), Err(TooMuch::Steps));
    // However much there would be to do, the count ends where it may.
    assert_eq!(cost(60, 1_000), Err(TooMuch::Steps));
    // A tree whose branches part ways costs as much as it is large.
    let tree = json!({"properties": {"l": {"$ref": "#"}, "r": {"$ref": "#"}}, "type": "object"});
    let tree = compiled(&tree);
    let full =
        |levels: usize| (0..levels).fold(json!({}), |inner, _| json!({"l": inner, "r": inner}));
    let steps = count(&tree.shape, &full(6), most(10_000)).unwrap().steps;
    assert!((127..1_000).contains(&steps), "{steps}");
    let deep = Cost {
        steps: 10_000,
        depth: 20,
    };
    // The schema, then a reference and the schema again for each level.
    let depth = count(&tree.shape, &full(6), deep).map(|cost| cost.depth);
    assert_eq!(depth, Ok(13));
    assert_eq!(count(&tree.shape, &full(11), deep), Err(TooMuch::Depth));
}

#[test]
fn each_keyword_that_goes_on_is_counted() {
    let one = |schema: Value, value: Value| {
        let schema = compiled(&schema);
        let most = Cost {
            steps: 100_000,
            depth: 100,
        };
        count(&schema.shape, &value, most).unwrap().steps
    };
    let object = json!({"a": "x", "b": "x"});
    let list = json!(["x", "x", "x"]);
    let s = json!({"type": "string"});
    for (schema, value, steps) in [
        (json!({}), object.clone(), 1),
        (json!({"allOf": [s, s]}), json!("x"), 3),
        (json!({"oneOf": [s, s]}), json!("x"), 3),
        (json!({"not": s}), json!("x"), 2),
        (json!({"if": s, "then": s, "else": s}), json!("x"), 4),
        (json!({"properties": {"a": s}}), object.clone(), 2),
        (json!({"additionalProperties": s}), object.clone(), 3),
        (
            json!({"properties": {"a": s}, "additionalProperties": s}),
            object.clone(),
            3,
        ),
        (
            json!({"patternProperties": {"^a": s, "^b": s}}),
            object.clone(),
            5,
        ),
        (json!({"propertyNames": s}), object.clone(), 3),
        (json!({"dependentSchemas": {"a": s}}), object.clone(), 2),
        (json!({"items": s}), list.clone(), 4),
        (json!({"prefixItems": [s], "items": s}), list.clone(), 5),
        (json!({"contains": s}), list.clone(), 4),
        (json!({"unevaluatedItems": s}), list, 5),
        (json!({"allOf": [s], "unevaluatedProperties": s}), object, 7),
    ] {
        assert_eq!(one(schema.clone(), value), steps, "{schema}");
    }
    let long = json!("x".repeat(100_000));
    assert!(one(json!({"pattern": "^x+$"}), long.clone()) > 1_600);
    assert!(one(json!({"minLength": 3}), long) > 500);
    let many: Vec<Value> = (0..1_000).map(|n| json!(n)).collect();
    assert!(one(json!({"uniqueItems": true}), json!(many)) > 9_000);
    let words: Vec<String> = (0..1_000).map(|n| format!("word {n}")).collect();
    assert!(one(json!({"enum": words}), json!("x")) > 300);
}

/// What authors and their tools write of what contains itself, with a value that fits and one that doesn't.
fn recursive() -> Vec<(&'static str, Value, Value, Value)> {
    let object = |properties: Value, required: &[&str]| json!({"type": "object", "properties": properties, "required": required});
    // schemars: definitions by name.
    let category = object(
        json!({"name": {"type": "string"},
               "children": {"type": "array", "items": {"$ref": "#/$defs/Category"}}}),
        &["name"],
    );
    let tree = |levels: usize, leaf: Value| {
        (0..levels).fold(
            leaf,
            |inner, _| json!({"name": "c", "children": [inner, {"name": "d"}]}),
        )
    };
    // A union whose kinds share a member, as of zod's `discriminatedUnion`.
    let kind = |op: &str| {
        let args = json!({"type": "array", "items": {"$ref": "#/$defs/Filter"}});
        object(json!({"op": {"const": op}, "args": args}), &["op", "args"])
    };
    let mut kinds: Vec<Value> = ["and", "or", "not", "xor", "nor", "nand"].map(kind).into();
    kinds.push(object(
        json!({"field": {"type": "string"}, "equals": {}}),
        &["field", "equals"],
    ));
    let filter = |leaf: Value| {
        let ops = ["and", "nand", "or"].iter().cycle();
        ops.take(6)
            .fold(leaf, |inner, op| json!({"op": op, "args": [inner]}))
    };
    // Any JSON, as zod 4 writes `z.json()`.
    let any = json!({"anyOf": [
        {"type": ["string", "number", "boolean", "null"]},
        {"type": "array", "items": {"$ref": "#/$defs/Any"}},
        {"type": "object", "propertyNames": {"type": "string"}, "additionalProperties": {"$ref": "#/$defs/Any"}},
    ]});
    // Two that contain one another, closed as TypeSpec and OpenAPI 3.1 close what they extend.
    let folder = json!({
        "allOf": [{"$ref": "#/$defs/Named"}], "unevaluatedProperties": false,
        "properties": {"files": {"items": {"$ref": "#/$defs/File"}}, "folders": {"items": {"$ref": "#/$defs/Folder"}}},
    });
    let file = json!({
        "allOf": [{"$ref": "#/$defs/Named"}], "unevaluatedProperties": false,
        "properties": {"attached": {"$ref": "#/$defs/Folder"}},
    });
    let named = object(json!({"name": {"type": "string"}}), &["name"]);
    let inside = |file: Value| json!({"name": "a", "folders": [{"name": "b", "files": [file]}]});
    let deep = |leaf: Value| (0..50).fold(leaf, |inner, n| json!({ format!("m{n}"): [inner] }));
    vec![
        (
            "a tree of categories",
            json!({"$ref": "#/$defs/Category", "$defs": {"Category": category}}),
            tree(30, json!({"name": "leaf"})),
            tree(30, json!({"nom": "leaf"})),
        ),
        (
            "a filter",
            json!({"$ref": "#/$defs/Filter", "$defs": {"Filter": {"anyOf": kinds}}}),
            filter(json!({"field": "a", "equals": 1})),
            filter(json!({"field": 1, "equals": 1})),
        ),
        (
            "a list that goes on, of an older draft",
            json!({"$schema": "http://json-schema.org/draft-07/schema#", "type": "object",
                   "definitions": {"Next": {"anyOf": [{"type": "null"}, {"$ref": "#"}]}},
                   "properties": {"next": {"$ref": "#/definitions/Next"}}, "required": ["next"]}),
            (0..100).fold(Value::Null, |inner, _| json!({"next": inner})),
            json!({"next": {"next": 1}}),
        ),
        (
            "any JSON",
            json!({"properties": {"value": {"$ref": "#/$defs/Any"}}, "required": ["value"], "$defs": {"Any": any}}),
            json!({"value": deep(json!([1, "a", null]))}),
            json!({"valeur": 1}),
        ),
        (
            "folders and files",
            json!({"$ref": "#/$defs/Folder", "$defs": {"Folder": folder, "File": file, "Named": named}}),
            inside(json!({"name": "f", "attached": inside(json!({"name": "g"}))})),
            inside(json!({"name": "f", "attached": inside(json!({"name": "g", "size": 1}))})),
        ),
    ]
}

#[tokio::test]
async fn what_contains_itself_is_checked_in_full() {
    for (name, schema, good, bad) in recursive() {
        assert_eq!(violations(&schema, good).await, [""; 0], "{name}");
        let said = violations(&schema, bad).await;
        assert!(!said.is_empty(), "{name}: {said:?}");
        assert!(!said[0].contains("schema_check"), "{name}: {said:?}");
    }
}

#[tokio::test]
async fn patterns_of_zod_4_are_taken() {
    // What `z.toJSONSchema` writes for `z.hostname()`, `z.emoji()`, `z.iso.duration()` and `z.email()`.
    let hostname = r"^(?=.{1,253}\.?$)[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[-0-9a-zA-Z]{0,61}[0-9a-zA-Z])?)*\.?$";
    let duration = r"^P(?:(\d+W)|(?!.*W)(?=\d|T\d)(\d+Y)?(\d+M)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+([.,]\d+)?S)?)?)$";
    let emoji = r"^(\p{Extended_Pictographic}|\p{Emoji_Component})+$";
    let email = r"^(?!\.)(?!.*\.\.)([A-Za-z0-9_'+\-\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}$";
    let slug = "^[a-z]+$";
    let schema = json!({"properties": {
        "host": {"type": "string", "format": "hostname", "pattern": hostname},
        "time": {"type": "string", "format": "duration", "pattern": duration},
        "mood": {"type": "string", "pattern": emoji},
        "mail": {"type": "string", "format": "email", "pattern": email},
        "slug": {"type": "string", "pattern": slug},
    }});
    let schema = compiled(&schema);
    for passed_over in [hostname, duration, email] {
        assert!(
            schema
                .passed_over
                .iter()
                .any(|pattern| pattern == passed_over)
        );
    }
    assert!(!schema.passed_over.iter().any(|pattern| pattern == slug));
    let good = json!({"host": "a.example", "time": "P1DT2H", "mood": "🙂", "mail": "a@b.example", "slug": "x"});
    assert_eq!(schema.violations(good).await, [""; 0]);
    // What is passed over has its format all the same.
    let bad = json!({"host": "-.example", "time": "1 day", "mail": "a", "slug": "X"});
    let said = schema.violations(bad).await.join("\n");
    for part in [
        "/host: ",
        "/time: ",
        "/mail: ",
        "/slug: \"X\" does not match \"^[a-z]+$\"",
    ] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    // What is no pattern anywhere is refused, and a property can't be told by what can't be matched.
    refused(&json!({"pattern": "(?=a"}), "is none of ECMA-262");
    refused(&json!({"pattern": "[z-a]"}), "is none of ECMA-262");
    refused(
        &json!({"patternProperties": {"^(?=a)": {}}}),
        "patternProperties can't be by",
    );
}

#[tokio::test]
async fn the_formats_of_the_page_are_asserted_and_no_others() {
    for (format, good, bad) in [
        ("date", "2026-11-30", "2026-13-30"),
        ("date-time", "2026-11-30T12:00:00Z", "2026-11-30 noon"),
        ("time", "12:00:00Z", "25:00:00Z"),
        ("duration", "P1D", "1D"),
        ("email", "a@example.com", "a"),
        ("hostname", "api.example.com", "-a-"),
        ("ipv4", "192.0.2.1", "192.0.2.256"),
        ("ipv6", "2001:db8::1", "2001:db8::g"),
        ("uri", "https://example.com/a", "/a"),
        ("uri-reference", "/a", "\\a"),
        ("json-pointer", "/a/b", "a"),
        ("uuid", "2eb8aa08-aa98-11ea-b4aa-73b441d16380", "2eb8aa08"),
    ] {
        assert!(FORMATS.contains(&format));
        let schema = json!({"format": format});
        assert_eq!(violations(&schema, json!(good)).await, [""; 0], "{format}");
        assert_eq!(violations(&schema, json!(bad)).await.len(), 1, "{format}");
    }
    for format in OTHER_FORMATS.iter().chain(&["color", "int64"]) {
        let schema = json!({"format": format});
        assert_eq!(violations(&schema, json!("((")).await, [""; 0], "{format}");
    }
    let page = include_str!("../../../../../docs/manifest.md");
    for format in FORMATS {
        assert!(
            page.contains(&format!("`{format}`")),
            "{format} is not on the page"
        );
    }
}

#[tokio::test]
async fn what_does_not_fit_is_listed_unless_there_is_too_much() {
    let schema = json!({"items": {"type": "integer"}});
    let few = violations(&schema, json!(["a", 1, "b"])).await;
    assert_eq!(few.len(), 2, "{few:?}");
    let many = violations(&schema, json!(vec!["a"; 1_000])).await;
    assert_eq!((many.len(), many[100].as_str()), (101, "and 900 more"));
    // Beyond that only the first, and with branches only that there is something.
    let most = violations(&schema, json!(vec!["a"; 100_000])).await;
    assert_eq!(most[0], "/0: \"a\" is not of type \"integer\"");
    assert!(most[1].contains("too large to list"), "{most:?}");
    let branches = json!({"items": {"anyOf": [{"type": "integer"}, {"type": "null"}]}});
    let most = violations(&branches, json!(vec!["a"; 100_000])).await;
    assert!(most[0].contains("too large to say where"), "{most:?}");
    assert_eq!(
        violations(&branches, json!(vec![1; 100_000])).await,
        [""; 0]
    );
    // A long value is quoted in part.
    let long = violations(&json!({"type": "null"}), json!("x".repeat(100_000))).await;
    assert!(long[0].len() < 400, "{}", long[0].len());
    // More than may be done at all.
    let wide = json!({"items": {"allOf": vec![json!({}); 200]}});
    let much = violations(&wide, json!(vec![1; 30_000])).await;
    assert!(much[0].contains("schema_check_steps = 4000000"), "{much:?}");
}

#[test]
fn the_deepest_that_may_be_is_evaluated() {
    // As many schemas within one another as may be, and a value as deep as JSON may be.
    let combine = |inner: Value| json!({"anyOf": [inner]});
    let again = (0..6).fold(json!({"properties": {"a": {"$ref": "#"}}}), |inner, _| {
        combine(inner)
    });
    let schema = compiled(&again);
    let value = (0..120).fold(json!({}), |inner, _| json!({"a": inner}));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let said = runtime.block_on(schema.violations(value));
    assert_eq!(said, [""; 0]);
}

#[test]
fn schemas_of_our_own_plugins_are_far_within() {
    let rest = include_str!("../../../../../plugins/rest/config.schema.json");
    let schema = compiled(&serde_json::from_str(rest).unwrap());
    assert!(schema.shape.len() < 1_000, "{} schemas", schema.shape.len());
    assert!(schema.passed_over.is_empty(), "{:?}", schema.passed_over);
}
