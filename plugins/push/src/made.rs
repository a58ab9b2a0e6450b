//! What a push's transform makes of the records of a run: one that makes nothing of any, or null of a member of
//! each, may only be misspelt, and fails nothing.

use jaq_json::Val;

use crate::jq;
use crate::plan::Plan;

/// Of fewer records, null in each says little.
const RECORDS_MIN: u64 = 10;

/// A run's memory of it.
#[derive(Debug, Default)]
pub(crate) struct Made {
    records: u64,
    /// Of which it made something.
    some: u64,
    /// The members that the first of them has, and which have been null until now.
    nulls: Vec<Val>,
}

impl Made {
    pub(crate) fn nothing(&mut self) {
        self.records += 1;
    }

    pub(crate) fn record(&mut self, record: &Val) {
        self.records += 1;
        self.some += 1;
        let Val::Obj(members) = record else {
            return;
        };
        if self.some == 1 {
            let nulls = members.iter().filter(|(_, value)| **value == Val::Null);
            self.nulls = nulls.map(|(name, _)| name.clone()).collect();
        } else if !self.nulls.is_empty() {
            let is_null = |name: &Val| members.get(name).is_none_or(|value| *value == Val::Null);
            self.nulls.retain(is_null);
        }
    }

    /// What an operator should know of the transform.
    pub(crate) fn findings(&self, plan: &Plan) -> Vec<String> {
        let key = plan.key().at("transform");
        let records = self.records;
        if records > 0 && self.some == 0 {
            return vec![format!(
                "`{key}`: it makes nothing of any of {records} records of {}; that is fine if all are to be left out",
                plan.feed()
            )];
        }
        if self.some < RECORDS_MIN {
            return Vec::new();
        }
        let of_member = |name: &Val| {
            let name = jq::text(name).unwrap_or_default();
            format!(
                "`{key}`: the member {name} is null in each of {} records that it makes; is what it is made of spelt \
                 as in {}?",
                self.some,
                plan.feed()
            )
        };
        self.nulls.iter().map(of_member).collect()
    }
}
