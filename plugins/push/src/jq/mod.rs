//! Expressions of jq: compiled once, run on values; and values as JSON text.
//!
//! jaq parses and runs them. Where it means otherwise than jq, an expression is rewritten (`rewrite`) to use
//! definitions (`prelude.jq`) and functions (`native`) of ours; `docs/push-plugin.md` lists what differs still.

mod native;
mod number;
mod rewrite;

use jaq_core::data::JustLut;
use jaq_core::load::parse::Def;
use jaq_core::load::{self, Arena, File, Loader, Modules};
use jaq_core::{Compiler, Ctx, Filter, Vars, unwrap_valr};
use jaq_json::{Num, Val, read};
use serde_json::value::RawValue;
use tidegate_sdk::prelude::*;
use tidegate_sdk::{ConfigPath, Pointer};

/// Definitions of jq's library whose native part is missing here: what reaches for a process or its
/// inputs, and what comes from the parts of `jaq-std` that can be had only together with one that
/// opens files (dates with the machine's time zones, regular expressions, formats, some mathematics).
const LEFT_OUT: [&str; 37] = [
    "halt",
    "halt_error",
    "env",
    "input",
    "inputs",
    "debug",
    "stderr", // the process
    "logb",
    "significand",
    "pow10",
    "drem",
    "nexttoward",
    "scalb",
    "gamma", // mathematics
    "test",
    "scan_",
    "scan",
    "match",
    "capture",
    "capture_of_match",
    "splits",
    "sub",
    "gsub", // regular expressions
    "todate",
    "fromdate", // dates
    "@html",
    "@htmld",
    "@uri",
    "@urid",
    "@base64",
    "@base64d",
    "@sh", // formats
    "@base32",
    "tobytes", // of jaq only
    "has",
    "setpath",
    "delpaths", // ours are in `native`
];
/// Definitions that mean what jaq means by them.
const OF_JAQ: &str = "def map_values(f): .[] |= first(f); def _last_of(f): [f] | .[-1];";
/// Definitions that are rewritten as expressions are.
const PRELUDE: &str = include_str!("prelude.jq");
/// What an expression is called.
const PROGRAM: &str = "_program";
/// How much of a wrong expression a message shows.
const SHOWN_CHARS: usize = 20;
/// How much of an expression's error goes into a message: it may have a whole record in it.
const ERROR_CHARS: usize = 300;
/// A record's body nests at most 64 deep (the limit `json_depth`), and `page::sending` adds a level.
const DEPTH_MAX: usize = 63;

/// An expression. In those about one record, `$id` is the record's id.
pub(crate) struct Jq {
    filter: Filter<JustLut<Val>>,
    has_id: bool,
}

impl Jq {
    /// The expression `code`; `has_id` says whether it may speak of `$id`.
    pub(crate) fn new(code: &str, has_id: bool, key: &ConfigPath) -> Result<Self> {
        let arena = Arena::default();
        // As it is written, to show the place of what is wrong.
        let modules = Loader::new(prelude())
            .load(&arena, File { code, path: () })
            .map_err(|errors| key.wrong(load_problem(code, &errors)))?;
        compile(modules, has_id).map_err(|errors| key.wrong(compile_problem(code, &errors)))?;
        // And as jq means it.
        let no_jq = || key.wrong("is no jq expression");
        let body = load::parse(code, |parser| parser.term()).ok_or_else(no_jq)?;
        let program = Def {
            name: PROGRAM,
            args: ["$id"].into_iter().filter(|_| has_id).collect(),
            body: rewrite::term(body),
        };
        let main = File {
            code: if has_id { "_program($id)" } else { PROGRAM },
            path: (),
        };
        let modules = Loader::new(prelude().chain([program])).load(&arena, main);
        let filter = compile(modules.map_err(|_| no_jq())?, has_id).map_err(|_| no_jq())?;
        Ok(Jq { filter, has_id })
    }

    /// The value that the expression makes of `input`, if it makes one. `Err` says what is wrong.
    pub(crate) fn run(&self, input: Val, id: &str) -> Result<Option<Val>, String> {
        let mut values = self.values(input, id);
        let first = values.next().transpose()?;
        match (first, values.next().transpose()?) {
            (first, None) => Ok(first),
            (_, Some(_)) => Err("it makes more than one value".to_owned()),
        }
    }

    /// All values that it makes.
    #[cfg(test)]
    pub(crate) fn all(&self, input: Val, id: &str) -> Result<Vec<Val>, String> {
        self.values(input, id).collect()
    }

    fn values(&self, input: Val, id: &str) -> impl Iterator<Item = Result<Val, String>> + '_ {
        let id = self.has_id.then(|| Val::from(id.to_owned()));
        let context = Ctx::<JustLut<Val>>::new(&self.filter.lut, Vars::new(id));
        let values = self.filter.id.run((context, input)).map(unwrap_valr);
        values.map(|value| value.map_err(|error| shortened(&error.to_string())))
    }
}

/// What an expression may use: jaq's library, and what of it jq means otherwise.
fn prelude<'s>() -> impl Iterator<Item = Def<&'s str>> {
    let parsed = |code| load::parse(code, |parser| parser.defs()).unwrap_or_default();
    let of_jaq = jaq_core::defs()
        .chain(jaq_std::defs())
        .chain(jaq_json::defs())
        .filter(|def| !LEFT_OUT.contains(&def.name))
        // With a regular expression; `split($separator)` stays.
        .filter(|def| (def.name, def.args.len()) != ("split", 2));
    of_jaq
        .chain(parsed(OF_JAQ))
        .chain(parsed(PRELUDE).into_iter().map(rewrite::def))
        .map(|def: Def<&'static str>| -> Def<&'s str> { def })
}

fn compile(
    modules: Modules<&str, ()>,
    has_id: bool,
) -> Result<Filter<JustLut<Val>>, jaq_core::compile::Errors<&str, ()>> {
    let funs = jaq_core::funs()
        .chain(jaq_std::base_funs())
        .chain(jaq_json::funs())
        .filter(|(name, ..)| !LEFT_OUT.contains(name))
        .chain(native::funs());
    let variables = ["$id"].into_iter().filter(|_| has_id);
    Compiler::default()
        .with_funs(funs)
        .with_global_vars(variables)
        .compile(modules)
}

/// A number, as it is written in texts.
fn digits(number: &Num) -> String {
    number::digits(number)
}

/// The text or the number's digits at a pointer of a value, as `tidegate_sdk::scalar_text` has it of JSON text.
pub(crate) fn scalar_text(value: &Val, pointer: &Pointer) -> Option<String> {
    let mut value = value;
    for segment in pointer.segments() {
        value = match value {
            Val::Obj(members) => members.get(&Val::from(segment.clone()))?,
            Val::Arr(items) => items.get(Pointer::index(segment)?)?,
            _ => return None,
        };
    }
    match value {
        Val::Num(number) => Some(digits(number)),
        Val::TStr(text) => std::str::from_utf8(text).ok().map(str::to_owned),
        _ => None,
    }
}

/// The value of a text that is JSON (RFC 8259) and nothing more.
fn parse_strictly(json: &str) -> Result<Val, String> {
    serde_json::from_str::<&RawValue>(json).map_err(|error| error.to_string())?;
    parse(json)
}

/// The value of a JSON text.
pub(crate) fn parse(json: &str) -> Result<Val, String> {
    read::parse_single(json.as_bytes()).map_err(|error| error.to_string())
}

/// A value as JSON text. jq knows values that JSON doesn't: byte strings, NaN, keys that are no texts.
pub(crate) fn text(value: &Val) -> Result<String, String> {
    if nests_deeper(value, DEPTH_MAX) {
        return Err(format!("it nests deeper than {DEPTH_MAX} levels"));
    }
    match not_json(value) {
        None => Ok(number::text(value)),
        Some(what) => Err(format!("it is not JSON: {}", shortened(&what))),
    }
}

/// What JSON has no word for, somewhere in the value.
fn not_json(value: &Val) -> Option<String> {
    match value {
        Val::Num(Num::Float(float)) if !float.is_finite() => Some(float.to_string()),
        Val::BStr(_) => Some(value.to_string()),
        Val::Arr(items) => items.iter().find_map(not_json),
        Val::Obj(members) => members.iter().find_map(|(name, member)| match name {
            Val::TStr(_) => not_json(member),
            other => Some(format!("the name {other}")),
        }),
        _ => None,
    }
}

fn nests_deeper(value: &Val, levels: usize) -> bool {
    let Some(below) = levels.checked_sub(1) else {
        return matches!(value, Val::Arr(_) | Val::Obj(_));
    };
    match value {
        Val::Arr(items) => items.iter().any(|item| nests_deeper(item, below)),
        Val::Obj(members) => members.values().any(|member| nests_deeper(member, below)),
        _ => false,
    }
}

fn load_problem(code: &str, errors: &load::Errors<&str, ()>) -> String {
    let first = errors.iter().find_map(|(_, error)| match error {
        load::Error::Io(errors) => errors
            .first()
            .map(|(path, _)| at(code, path, "modules can't be imported")),
        load::Error::Lex(errors) => errors
            .first()
            .map(|(expected, found)| at(code, found, &format!("expected {}", expected.as_str()))),
        load::Error::Parse(errors) => errors
            .first()
            .map(|(expected, found)| at(code, found, &format!("expected {}", expected.as_str()))),
    });
    first.unwrap_or_else(|| "is no jq expression".to_owned())
}

fn compile_problem(code: &str, errors: &jaq_core::compile::Errors<&str, ()>) -> String {
    let first = errors.iter().flat_map(|(_, errors)| errors).next();
    let problem = first.map(|(found, undefined)| {
        at(
            code,
            found,
            &format!("there is no such {}", undefined.as_str()),
        )
    });
    problem.unwrap_or_else(|| "is no jq expression".to_owned())
}

/// A problem with the place in the expression where `found` begins.
fn at(code: &str, found: &str, problem: &str) -> String {
    let start = load::span(code, found).start;
    let before = code.get(..start).unwrap_or(code);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    let rest = code.get(start..).unwrap_or_default().trim_end();
    let found = match rest.char_indices().nth(SHOWN_CHARS) {
        _ if rest.is_empty() => "the end".to_owned(),
        Some((end, _)) => format!("`{}…`", rest.get(..end).unwrap_or_default()),
        None => format!("`{rest}`"),
    };
    format!("is no jq expression: line {line}, column {column}: {problem}, at {found}")
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(ERROR_CHARS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
