//! A small API with state: records that change at seconds of its own clock. `dialects` makes it
//! speak the style of each example.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use tidegate_sdk::prelude::*;
use tidegate_sdk::test::{Reply, Request};

use super::dialects::Dialect;

/// Clones share everything.
#[derive(Clone)]
pub(super) struct Api {
    pub(super) dialect: Dialect,
    state: Rc<RefCell<State>>,
}

#[derive(Default)]
pub(super) struct State {
    /// Seconds since the API's beginning.
    pub(super) clock: i64,
    pub(super) items: BTreeMap<u64, Item>,
    before: Option<Box<dyn FnMut()>>,
    statuses: Vec<u16>,
}

#[derive(Clone)]
pub(super) struct Item {
    pub(super) number: u64,
    pub(super) text: String,
    pub(super) created: i64,
    pub(super) updated: i64,
    pub(super) deleted: bool,
}

/// A time of the API's clock in Unix seconds: it begins 2025-12-31T00:00:00Z.
pub(super) fn unix(clock: i64) -> i64 {
    1_767_139_200 + clock
}

/// The same in the format of RFC 3339.
pub(super) fn rfc3339(clock: i64) -> String {
    Timestamp::from_second(unix(clock)).unwrap().to_string()
}

impl Api {
    /// With so many records, ten of which were created in each second.
    pub(super) fn with(dialect: Dialect, records: u64) -> Self {
        let api = Api {
            dialect,
            state: Rc::default(),
        };
        for number in 1..=records {
            api.state.borrow_mut().clock += i64::from(number % 10 == 0);
            api.put(number, "first");
        }
        api.pass(100);
        api
    }

    /// Time passes.
    pub(super) fn pass(&self, seconds: i64) {
        self.state.borrow_mut().clock += seconds;
    }

    /// Create or change a record, now.
    pub(super) fn put(&self, number: u64, text: &str) {
        let mut state = self.state.borrow_mut();
        let clock = state.clock;
        let item = state.items.entry(number).or_insert(Item {
            number,
            text: String::new(),
            created: clock,
            updated: clock,
            deleted: false,
        });
        text.clone_into(&mut item.text);
        item.updated = clock;
        item.deleted = false;
    }

    pub(super) fn delete(&self, number: u64) {
        let mut state = self.state.borrow_mut();
        let clock = state.clock;
        if let Some(item) = state.items.get_mut(&number) {
            item.deleted = true;
            item.updated = clock;
        }
    }

    /// What should be stored, by id.
    pub(super) fn records(&self) -> BTreeMap<String, Value> {
        let state = self.state.borrow();
        let live = state.items.values().filter(|item| !item.deleted);
        live.map(|item| (self.dialect.id(item), self.dialect.whole(item)))
            .collect()
    }

    /// Of the answers since the last time this was asked.
    pub(super) fn statuses(&self) -> Vec<u16> {
        std::mem::take(&mut self.state.borrow_mut().statuses)
    }

    /// Do this before each answer from now on.
    pub(super) fn before_each_answer(&self, action: impl FnMut() + 'static) {
        self.state.borrow_mut().before = Some(Box::new(action));
    }

    pub(super) fn handler(&self) -> impl FnMut(&Request) -> Option<Reply> + 'static {
        let api = self.clone();
        move |request| {
            let before = api.state.borrow_mut().before.take();
            if let Some(mut action) = before {
                action();
                api.state.borrow_mut().before.get_or_insert(action);
            }
            let state = &mut *api.state.borrow_mut();
            let (status, reply) = api.dialect.answer(state, request);
            state.statuses.push(status);
            let now = Timestamp::from_second(unix(state.clock)).unwrap();
            let date = DateTimePrinter::new()
                .timestamp_to_rfc9110_string(&now)
                .unwrap();
            Some(reply.header("Date", date))
        }
    }
}
