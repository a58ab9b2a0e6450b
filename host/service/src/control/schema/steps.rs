//! How many steps the check of a value by a schema takes at most, counted before it is done.
//!
//! The count goes the way that an evaluation goes when every schema has to be looked at: it decides
//! nothing, so it needs no memory, and it ends at its bound. Where an evaluation stops early, it takes
//! fewer steps.

use serde_json::Value;
use tidegate_engine::limits::{SCHEMA_CHECK_DEPTH, SCHEMA_CHECK_STEPS};

use super::shape::{Part, PartId, Shape};

/// Bytes of a text for which its keywords cost once.
const TEXT_BYTES: u64 = 1024;

/// What a check costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Cost {
    pub(super) steps: u64,
    /// How many schemas are within one another while it is done.
    pub(super) depth: u64,
}

/// A check costs more than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum TooMuch {
    #[error(
        "checking it takes more steps than the limit schema_check_steps = {SCHEMA_CHECK_STEPS}"
    )]
    Steps,
    #[error(
        "checking it goes deeper into the schema than the limit schema_check_depth = {SCHEMA_CHECK_DEPTH}"
    )]
    Depth,
}

/// Count what checking `value` costs, up to `most`.
pub(super) fn count(shape: &Shape, value: &Value, most: Cost) -> Result<Cost, TooMuch> {
    let mut counter = Counter {
        shape,
        most,
        cost: Cost::default(),
    };
    counter.check(0, CheckedPart::Value(value), 1)?;
    Ok(counter.cost)
}

/// What is checked: a value, or a property's name.
#[derive(Clone, Copy)]
enum CheckedPart<'a> {
    Value(&'a Value),
    Name(&'a str),
}

struct Counter<'a> {
    shape: &'a Shape,
    most: Cost,
    cost: Cost,
}

impl Counter<'_> {
    fn spend(&mut self, steps: u64) -> Result<(), TooMuch> {
        self.cost.steps = self.cost.steps.saturating_add(steps);
        match self.cost.steps > self.most.steps {
            true => Err(TooMuch::Steps),
            false => Ok(()),
        }
    }

    fn enter(&mut self, depth: u64) -> Result<(), TooMuch> {
        self.cost.depth = self.cost.depth.max(depth);
        match depth > self.most.depth {
            true => Err(TooMuch::Depth),
            false => Ok(()),
        }
    }

    fn check(&mut self, id: PartId, place: CheckedPart<'_>, depth: u64) -> Result<(), TooMuch> {
        self.enter(depth)?;
        let shape = self.shape;
        let Some(part) = shape.part(id) else {
            return Ok(());
        };
        self.spend(part.steps.max(1))?;
        for same in &part.same {
            self.check(*same, place, depth + 1)?;
        }
        match place {
            CheckedPart::Name(text) => self.text(part, text)?,
            CheckedPart::Value(Value::String(text)) => self.text(part, text)?,
            CheckedPart::Value(Value::Array(items)) => self.items(part, items, depth)?,
            CheckedPart::Value(value @ Value::Object(_)) => self.members(part, value, depth)?,
            CheckedPart::Value(_) => {}
        }
        if part.looks_back() {
            self.look_back(part, place, depth)?;
        }
        Ok(())
    }

    fn text(&mut self, part: &Part, text: &str) -> Result<(), TooMuch> {
        self.spend(text_steps(part.text_steps, text))
    }

    fn items(&mut self, part: &Part, items: &[Value], depth: u64) -> Result<(), TooMuch> {
        for (index, item) in items.iter().enumerate() {
            let first = part.first_items.get(index);
            for id in first.into_iter().chain(&part.other_items) {
                self.check(*id, CheckedPart::Value(item), depth + 1)?;
            }
        }
        if part.is_unique {
            // Each is compared with some of the others, whole.
            let rounds = u64::from(items.len().checked_ilog2().unwrap_or(0)) + 1;
            for item in items {
                self.spend(size(item).saturating_mul(rounds))?;
            }
        }
        Ok(())
    }

    fn members(&mut self, part: &Part, value: &Value, depth: u64) -> Result<(), TooMuch> {
        for (name, member) in value.as_object().into_iter().flatten() {
            let known = part.properties.get(name);
            let other = part.other_properties.as_ref().filter(|_| known.is_none());
            for id in known.into_iter().chain(other).chain(&part.by_pattern) {
                self.check(*id, CheckedPart::Value(member), depth + 1)?;
            }
            self.spend(text_steps(part.name_steps, name))?;
            if let Some(names) = part.names {
                self.check(names, CheckedPart::Name(name), depth + 1)?;
            }
        }
        Ok(())
    }

    /// What `unevaluatedProperties` and `unevaluatedItems` do: all that the same value was checked with
    /// is asked again.
    fn look_back(
        &mut self,
        part: &Part,
        place: CheckedPart<'_>,
        depth: u64,
    ) -> Result<(), TooMuch> {
        self.enter(depth)?;
        self.spend(1)?;
        let shape = self.shape;
        for id in &part.same {
            self.check(*id, place, depth + 1)?;
            if let Some(part) = shape.part(*id) {
                self.look_back(part, place, depth + 1)?;
            }
        }
        match (place, part.unevaluated_items, part.unevaluated_properties) {
            (CheckedPart::Value(Value::Array(items)), Some(id), _) => items
                .iter()
                .try_for_each(|item| self.check(id, CheckedPart::Value(item), depth + 1)),
            (CheckedPart::Value(Value::Object(members)), _, Some(id)) => members
                .values()
                .try_for_each(|member| self.check(id, CheckedPart::Value(member), depth + 1)),
            _ => Ok(()),
        }
    }
}

/// What a text costs where a KiB costs so much.
fn text_steps(steps: u64, text: &str) -> u64 {
    steps.saturating_mul(text.len() as u64) / TEXT_BYTES
}

/// How much of a value there is to compare.
fn size(value: &Value) -> u64 {
    1 + super::shape::text_bytes(value) / 64
}
