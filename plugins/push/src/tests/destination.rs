//! An API to push to: `/people/ID`, one at a time, and `/people/batch` and `/people/forget` for lists.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use tidegate_sdk::prelude::*;
use tidegate_sdk::test::{Reply, Request};

/// Clones share everything.
#[derive(Clone, Default)]
pub(super) struct Destination {
    state: Rc<RefCell<State>>,
}

#[derive(Default)]
struct State {
    people: BTreeMap<String, Value>,
    /// Acknowledged requests, as `METHOD ID`.
    acknowledged: Vec<String>,
    /// Statuses for the next requests about an id.
    troubles: Vec<(String, Reply)>,
}

impl Destination {
    /// The next request about this id is answered so.
    pub(super) fn trouble(&self, id: &str, reply: Reply) -> &Self {
        self.state
            .borrow_mut()
            .troubles
            .push((id.to_owned(), reply));
        self
    }

    pub(super) fn people(&self) -> Value {
        json!(self.state.borrow().people)
    }

    /// What was acknowledged since this was asked last, sorted.
    pub(super) fn acknowledged(&self) -> Vec<String> {
        let mut acknowledged = std::mem::take(&mut self.state.borrow_mut().acknowledged);
        acknowledged.sort();
        acknowledged
    }

    pub(super) fn answers(&self) -> impl FnMut(&Request) -> Option<Reply> + 'static {
        let own = self.clone();
        move |request| Some(own.answer(request))
    }

    fn answer(&self, request: &Request) -> Reply {
        let body = request.json();
        let (name, ids): (&str, Vec<String>) = match request.path.as_str() {
            "/people/batch" => {
                let list = body["records"].as_array().cloned().unwrap_or_default();
                let ids = list
                    .iter()
                    .map(|one| one["id"].as_str().unwrap().to_owned());
                ("PUT", ids.collect())
            }
            "/people/forget" => ("DELETE", serde_json::from_value(body.clone()).unwrap()),
            path => {
                let id = path.strip_prefix("/people/").unwrap();
                (request.method.as_str(), vec![id.to_owned()])
            }
        };
        let mut state = self.state.borrow_mut();
        let trouble = state.troubles.iter().position(|(id, _)| ids.contains(id));
        if let Some(trouble) = trouble {
            return state.troubles.remove(trouble).1;
        }
        for (position, id) in ids.iter().enumerate() {
            state.acknowledged.push(format!("{name} {id}"));
            if name == "DELETE" {
                if state.people.remove(id).is_none() && ids.len() == 1 {
                    return Reply::status(404);
                }
            } else {
                let person = body["records"].get(position).unwrap_or(&body);
                state.people.insert(id.clone(), person.clone());
            }
        }
        Reply::json(json!({}))
    }
}
