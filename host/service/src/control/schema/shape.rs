//! What a JSON Schema consists of, read without following it anywhere, and bounded: how many schemas
//! are in it, which of them the same value is checked with, and how many these are once references are
//! followed.
//!
//! A library evaluates schemas, and it follows references as often as they are met. A schema of a few
//! kilobytes can be met more often than there are atoms, so what the library would do is counted here
//! before it does it: once for the schema (this file), and for each value (`steps`).

use std::collections::{BTreeMap, HashMap, VecDeque};

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};
use tidegate_engine::limits::{SCHEMA_DEPTH, SCHEMA_PARTS, SCHEMA_UNFOLDED};

use super::patterns::Patterns;

/// Bytes of a keyword's value that cost as much as one step.
const BYTES_A_STEP: u64 = 32;

/// A schema within a schema, by its number.
pub(super) type PartId = usize;

/// All parts of a schema; the first is the schema itself.
#[derive(Debug)]
pub(super) struct Shape {
    parts: Vec<Part>,
    /// Whether an error can list those of branches.
    pub(super) has_branches: bool,
    /// Bytes of the schema's text, about.
    pub(super) bytes: u64,
}

/// One schema, as far as it says what else is checked.
#[derive(Debug, Default)]
pub(super) struct Part {
    /// Schemas that the same value is checked with: `allOf`, `$ref` and the like.
    pub(super) same: Vec<PartId>,
    pub(super) properties: BTreeMap<String, PartId>,
    /// By pattern; any of them may fit a property.
    pub(super) by_pattern: Vec<PartId>,
    /// What these patterns cost for each KiB of a name.
    pub(super) name_steps: u64,
    pub(super) other_properties: Option<PartId>,
    pub(super) names: Option<PartId>,
    pub(super) first_items: Vec<PartId>,
    pub(super) other_items: Vec<PartId>,
    pub(super) unevaluated_properties: Option<PartId>,
    pub(super) unevaluated_items: Option<PartId>,
    pub(super) is_unique: bool,
    /// What its own keywords cost once.
    pub(super) steps: u64,
    /// What they cost for each KiB of a text.
    pub(super) text_steps: u64,
}

impl Part {
    pub(super) fn looks_back(&self) -> bool {
        self.unevaluated_properties.is_some() || self.unevaluated_items.is_some()
    }

    fn children(&self) -> impl Iterator<Item = PartId> {
        let lists = [
            &self.same,
            &self.by_pattern,
            &self.first_items,
            &self.other_items,
        ];
        let options = [
            self.other_properties,
            self.names,
            self.unevaluated_properties,
            self.unevaluated_items,
        ];
        let lists = lists.into_iter().flatten().copied();
        lists
            .chain(options.into_iter().flatten())
            .chain(self.properties.values().copied())
    }
}

/// Why a schema is not taken: the text, which names the limit if it is one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refused(String);

impl Refused {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl Shape {
    /// Read a schema and its patterns. With it come the patterns that are passed over.
    pub(super) fn read(
        schema: &Value,
        patterns: &mut Patterns,
    ) -> Result<(Self, Vec<String>), Refused> {
        let mut reader = Reader {
            root: schema,
            patterns,
            parts: Vec::new(),
            known: HashMap::new(),
            pending: VecDeque::new(),
            passed_over: Vec::new(),
            has_branches: false,
        };
        reader.part(schema, 0)?;
        while let Some((id, value, depth)) = reader.pending.pop_front() {
            if let Value::Object(keywords) = value {
                let part = reader.keywords(keywords, depth)?;
                if let Some(place) = reader.parts.get_mut(id) {
                    *place = part;
                }
            }
        }
        let Reader {
            parts,
            has_branches,
            passed_over,
            ..
        } = reader;
        let shape = Self {
            parts,
            has_branches,
            bytes: text_bytes(schema),
        };
        shape.check_unfolded()?;
        shape.check_looking_back()?;
        Ok((shape, passed_over))
    }

    pub(super) fn part(&self, id: PartId) -> Option<&Part> {
        self.parts.get(id)
    }

    /// How many schemas there are.
    pub(super) fn len(&self) -> usize {
        self.parts.len()
    }

    /// How many schemas one value is checked with, wherever it stands, is bounded, and none of them
    /// leads back to itself before something of the value was entered.
    fn check_unfolded(&self) -> Result<(), Refused> {
        let mut seen = vec![Seen::New; self.parts.len()];
        for id in 0..self.parts.len() {
            self.unfold(id, 1, &mut seen)?;
        }
        Ok(())
    }

    /// The number of schemas below and with this one, and how deep they go.
    fn unfold(&self, id: PartId, depth: u64, seen: &mut [Seen]) -> Result<(u64, u64), Refused> {
        match seen.get(id) {
            Some(Seen::Done(count, height)) => {
                check_depth(depth.saturating_add(*height))?;
                return Ok((*count, *height));
            }
            Some(Seen::Open) => {
                return Err(Refused::new(
                    "a reference leads back to where it is, with nothing of the value entered between",
                ));
            }
            _ => check_depth(depth)?,
        }
        mark(seen, id, Seen::Open);
        let (mut count, mut height) = (1_u64, 0);
        for child in self.part(id).into_iter().flat_map(|part| &part.same) {
            let (more, below) = self.unfold(*child, depth + 1, seen)?;
            count = count.saturating_add(more);
            height = height.max(below + 1);
        }
        if count > SCHEMA_UNFOLDED {
            return Err(too_many_unfolded());
        }
        mark(seen, id, Seen::Done(count, height));
        Ok((count, height))
    }

    /// `unevaluatedProperties` and `unevaluatedItems` look at all that was checked before, and the
    /// library prepares this for each way that leads there.
    fn check_looking_back(&self) -> Result<(), Refused> {
        let mut count = 0;
        let mut on_way = vec![false; self.parts.len()];
        for (id, part) in self.parts.iter().enumerate() {
            if part.looks_back() {
                self.follow(id, 1, &mut on_way, &mut count)?;
            }
        }
        Ok(())
    }

    fn follow(
        &self,
        id: PartId,
        depth: u64,
        on_way: &mut [bool],
        count: &mut u64,
    ) -> Result<(), Refused> {
        *count += 1;
        if *count > SCHEMA_UNFOLDED {
            return Err(too_many_unfolded());
        }
        if on_way.get(id).is_none_or(|is_open| *is_open) {
            return Ok(());
        }
        // The way goes into the value, too.
        check_depth(depth / 4)?;
        mark(on_way, id, true);
        for child in self.part(id).into_iter().flat_map(Part::children) {
            self.follow(child, depth + 1, on_way, count)?;
        }
        mark(on_way, id, false);
        Ok(())
    }
}

#[derive(Debug, Clone, Copy)]
enum Seen {
    New,
    Open,
    Done(u64, u64),
}

fn mark<T>(places: &mut [T], id: PartId, value: T) {
    if let Some(place) = places.get_mut(id) {
        *place = value;
    }
}

fn check_depth(depth: u64) -> Result<(), Refused> {
    if depth <= SCHEMA_DEPTH {
        return Ok(());
    }
    Err(Refused::new(format!(
        "schemas in schemas, or references to references, go deeper than the limit schema_depth = {SCHEMA_DEPTH}"
    )))
}

fn too_many_unfolded() -> Refused {
    Refused::new(format!(
        "one value would be checked with more schemas than the limit schema_unfolded = {SCHEMA_UNFOLDED}, once \
         references, allOf, anyOf and the like are followed"
    ))
}

/// Reads the parts of a schema, one after the other.
struct Reader<'a> {
    root: &'a Value,
    patterns: &'a mut Patterns,
    parts: Vec<Part>,
    /// By where they are in memory, which is theirs alone while they are read.
    known: HashMap<usize, PartId>,
    pending: VecDeque<(PartId, &'a Value, u64)>,
    passed_over: Vec<String>,
    has_branches: bool,
}

impl<'a> Reader<'a> {
    /// The part that a schema is, to be read if it is a new one.
    fn part(&mut self, schema: &'a Value, depth: u64) -> Result<PartId, Refused> {
        let place = std::ptr::from_ref(schema) as usize;
        if let Some(id) = self.known.get(&place) {
            return Ok(*id);
        }
        check_depth(depth)?;
        let id = self.parts.len();
        if id as u64 >= SCHEMA_PARTS {
            return Err(Refused::new(format!(
                "there are more schemas in it than the limit schema_parts = {SCHEMA_PARTS}"
            )));
        }
        self.parts.push(Part::default());
        self.known.insert(place, id);
        self.pending.push_back((id, schema, depth));
        Ok(id)
    }

    fn keywords(&mut self, keywords: &'a Map<String, Value>, depth: u64) -> Result<Part, Refused> {
        let mut part = Part {
            steps: 1,
            ..Part::default()
        };
        let below = depth + 1;
        for (keyword, value) in keywords {
            match keyword.as_str() {
                "$ref" => part.same.extend(self.target(value)?),
                "$dynamicRef" | "$recursiveRef" => {
                    return Err(Refused::new(format!(
                        "{keyword} is not supported: write $ref with #/$defs/NAME"
                    )));
                }
                "$id" | "$schema" if depth > 0 => {
                    return Err(Refused::new(format!(
                        "{keyword} is allowed at the top only: a schema is one document"
                    )));
                }
                "allOf" | "anyOf" | "oneOf" => {
                    self.has_branches |= keyword != "allOf";
                    part.same.extend(self.list(value, below)?);
                }
                "not" | "if" | "then" | "else" => part.same.push(self.part(value, below)?),
                "dependentSchemas" | "dependencies" => {
                    let schemas = self.members(value, below)?;
                    part.same.extend(schemas.into_values());
                    part.steps += text_bytes(value) / BYTES_A_STEP;
                }
                "properties" => part.properties = self.members(value, below)?,
                "patternProperties" => {
                    let schemas = self.members(value, below)?;
                    for pattern in schemas.keys() {
                        if !self.patterns.add(pattern)? {
                            return Err(Refused::new(format!(
                                "patternProperties can't be by {pattern:?}: it needs look-around or a \
                                 back-reference"
                            )));
                        }
                        part.name_steps += self.patterns.steps(pattern);
                    }
                    part.by_pattern = schemas.into_values().collect();
                }
                "additionalProperties" => part.other_properties = Some(self.part(value, below)?),
                "propertyNames" => part.names = Some(self.part(value, below)?),
                "unevaluatedProperties" => {
                    part.unevaluated_properties = Some(self.part(value, below)?);
                }
                "unevaluatedItems" => part.unevaluated_items = Some(self.part(value, below)?),
                "prefixItems" => part.first_items.extend(self.list(value, below)?),
                "items" if value.is_array() => part.first_items.extend(self.list(value, below)?),
                "items" | "additionalItems" | "contains" => {
                    part.other_items.push(self.part(value, below)?);
                }
                "uniqueItems" => part.is_unique = value == &Value::Bool(true),
                "pattern" => {
                    let pattern = value.as_str().unwrap_or_default();
                    if !self.patterns.add(pattern)? {
                        self.passed_over.push(pattern.to_owned());
                    }
                    part.text_steps += self.patterns.steps(pattern);
                }
                "format" | "minLength" | "maxLength" => part.text_steps += 8,
                "enum" | "const" | "required" | "dependentRequired" => {
                    part.steps += text_bytes(value) / BYTES_A_STEP;
                }
                _ => {}
            }
        }
        Ok(part)
    }

    fn list(&mut self, value: &'a Value, depth: u64) -> Result<Vec<PartId>, Refused> {
        let schemas = value.as_array().into_iter().flatten();
        schemas.map(|schema| self.part(schema, depth)).collect()
    }

    fn members(
        &mut self,
        value: &'a Value,
        depth: u64,
    ) -> Result<BTreeMap<String, PartId>, Refused> {
        let schemas = value.as_object().into_iter().flatten();
        // `dependencies` has lists of names among them.
        let schemas = schemas.filter(|(_, schema)| !schema.is_array());
        schemas
            .map(|(name, schema)| Ok((name.clone(), self.part(schema, depth)?)))
            .collect()
    }

    /// What a reference leads to.
    fn target(&mut self, reference: &Value) -> Result<Option<PartId>, Refused> {
        let root: &'a Value = self.root;
        let Some(text) = reference.as_str() else {
            return Ok(None);
        };
        let shown: String = text.chars().take(200).collect();
        let refuse = |why: &str| Err(Refused::new(format!("the reference {shown:?} {why}")));
        let Some(fragment) = text.strip_prefix('#') else {
            return refuse("leads outside the schema: write #/$defs/NAME");
        };
        let Ok(pointer) = percent_decode_str(fragment).decode_utf8() else {
            return refuse("is not UTF-8");
        };
        if !pointer.is_empty() && !pointer.starts_with('/') {
            return refuse("is to an anchor: write #/$defs/NAME");
        }
        match root.pointer(&pointer) {
            // Where it leads begins anew; how far references go is counted afterwards.
            Some(target) => self.part(target, 1).map(Some),
            None => refuse("leads nowhere"),
        }
    }
}

/// About how many bytes a value's text has.
pub(super) fn text_bytes(value: &Value) -> u64 {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(text) => text.len() as u64 + 3,
        Value::Array(items) => 2 + items.iter().map(text_bytes).sum::<u64>(),
        Value::Object(members) => {
            let members = members.iter();
            2 + members
                .map(|(name, value)| name.len() as u64 + 4 + text_bytes(value))
                .sum::<u64>()
        }
    }
}
