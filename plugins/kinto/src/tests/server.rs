//! As much of Kinto as the plugin needs, as measured on Kinto 26.5: every change is numbered,
//! tombstones come only with `_since`, the `ETag` is of the whole collection.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use tidegate_sdk::prelude::*;
use tidegate_sdk::test::{Reply, Request};

/// One collection. Clones share everything.
#[derive(Clone, Default)]
pub(super) struct Kinto {
    state: Rc<RefCell<State>>,
}

#[derive(Default)]
struct State {
    timestamp: u64,
    /// Records and tombstones.
    records: BTreeMap<String, Value>,
    statuses: Vec<u16>,
    before: Option<Box<dyn FnMut()>>,
}

impl Kinto {
    pub(super) fn put(&self, id: &str, fields: Value) {
        let mut state = self.state.borrow_mut();
        state.timestamp += 1;
        let mut record = fields;
        record["id"] = json!(id);
        record["last_modified"] = json!(state.timestamp);
        state.records.insert(id.to_owned(), record);
    }

    pub(super) fn delete(&self, id: &str) {
        self.put(id, json!({ "deleted": true }));
    }

    pub(super) fn timestamp(&self) -> u64 {
        self.state.borrow().timestamp
    }

    /// Those that are not deleted.
    pub(super) fn records(&self) -> BTreeMap<String, Value> {
        let mut records = self.state.borrow().records.clone();
        records.retain(|_, record| record["deleted"] != json!(true));
        records
    }

    /// Of the answers so far.
    pub(super) fn statuses(&self) -> Vec<u16> {
        self.state.borrow().statuses.clone()
    }

    /// Do this before each answer from now on.
    pub(super) fn before_each_answer(&self, action: impl FnMut() + 'static) {
        self.state.borrow_mut().before = Some(Box::new(action));
    }

    pub(super) fn handler(&self) -> impl FnMut(&Request) -> Option<Reply> + 'static {
        let kinto = self.clone();
        move |request| {
            let before = kinto.state.borrow_mut().before.take();
            if let Some(mut action) = before {
                action();
                kinto.state.borrow_mut().before.get_or_insert(action);
            }
            Some(kinto.state.borrow_mut().answer(request))
        }
    }
}

impl State {
    fn answer(&mut self, request: &Request) -> Reply {
        assert_eq!(request.path, "/buckets/crm/collections/contacts/records");
        let etag = format!("\"{}\"", self.timestamp);
        if request.header("If-None-Match") == Some(&etag) {
            self.statuses.push(304);
            return Reply::status(304).header("ETag", etag);
        }
        self.statuses.push(200);
        assert_eq!(request.query("_sort"), Some("last_modified"));
        let limit: usize = request.query("_limit").unwrap().parse().unwrap();
        let since = request
            .query("_since")
            .map(|since| since.trim_matches('"').parse().unwrap());
        let mut list: Vec<&Value> = self
            .records
            .values()
            .filter(|record| since.is_some() || record["deleted"] != json!(true))
            .filter(|record| record["last_modified"].as_u64() > since)
            .collect();
        list.sort_by_key(|record| record["last_modified"].as_u64());
        let more = list.len() > limit;
        list.truncate(limit);
        let reply = Reply::json(json!({ "data": list })).header("ETag", etag);
        if more {
            // As behind a proxy: the server names itself by an origin that nobody else can reach.
            return reply.header("Next-Page", "http://kinto.internal/v1/next?_token=abc");
        }
        reply
    }
}
