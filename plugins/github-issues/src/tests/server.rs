//! As much of GitHub's list of issues as the plugin needs.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use jiff::{SignedDuration, Timestamp};
use tidegate_sdk::prelude::*;
use tidegate_sdk::test::{Reply, Request};

/// The issues and pull requests of one repository. Clones share everything.
#[derive(Clone, Default)]
pub(super) struct GitHub {
    state: Rc<RefCell<State>>,
}

#[derive(Default)]
struct State {
    /// By id, with the second of the last update.
    items: BTreeMap<u64, (i64, Value)>,
    statuses: Vec<u16>,
    before: Option<Box<dyn FnMut()>>,
}

pub(super) fn second(second: i64) -> Timestamp {
    Timestamp::from_second(1_767_225_600).unwrap() + SignedDuration::from_secs(second)
}

impl GitHub {
    /// Create or change an issue, at a second of the test's own clock.
    pub(super) fn put(&self, id: u64, at: i64, title: &str) {
        let issue = json!({
            "id": id, "number": id, "title": title, "updated_at": second(at),
            "state": if id.is_multiple_of(2) { "open" } else { "closed" },
        });
        self.state.borrow_mut().items.insert(id, (at, issue));
    }

    pub(super) fn put_pull_request(&self, id: u64, at: i64) {
        self.put(id, at, "a pull request");
        if let Some((_, item)) = self.state.borrow_mut().items.get_mut(&id) {
            item["pull_request"] = json!({ "url": "https://api.github.com/…" });
        }
    }

    pub(super) fn remove(&self, id: u64) {
        self.state.borrow_mut().items.remove(&id);
    }

    pub(super) fn issues(&self) -> BTreeMap<String, Value> {
        let state = self.state.borrow();
        let issues = state
            .items
            .iter()
            .filter(|(_, (_, item))| item.get("pull_request").is_none());
        issues
            .map(|(id, (_, item))| (id.to_string(), item.clone()))
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
        let github = self.clone();
        move |request| {
            let before = github.state.borrow_mut().before.take();
            if let Some(mut action) = before {
                action();
                github.state.borrow_mut().before.get_or_insert(action);
            }
            Some(github.state.borrow_mut().answer(request))
        }
    }
}

impl State {
    fn answer(&mut self, request: &Request) -> Reply {
        assert_eq!(request.header("X-GitHub-Api-Version"), Some("2022-11-28"));
        if request.path == "/repos/ocean/tide" {
            return Reply::json(json!({ "id": 1 }));
        }
        if let Some(number) = request.path.strip_prefix("/repos/ocean/tide/issues/") {
            let item = number.parse().ok().and_then(|id: u64| self.items.get(&id));
            return match item {
                Some((_, issue)) => Reply::json(issue.clone()),
                None => Reply::status(410),
            };
        }
        assert_eq!(request.path, "/repos/ocean/tide/issues");
        for (name, value) in [
            ("state", "all"),
            ("sort", "updated"),
            ("direction", "asc"),
            ("per_page", "100"),
        ] {
            assert_eq!(request.query(name), Some(value), "{name}");
        }
        let since: Option<Timestamp> = request.query("since").map(|since| since.parse().unwrap());
        let page: usize = request
            .query("page")
            .map_or(1, |page| page.parse().unwrap());
        let mut list: Vec<_> = self
            .items
            .iter()
            // After the given time: the stricter of the two ways to read GitHub's words.
            .filter(|(_, (at, _))| since.is_none_or(|since| second(*at) > since))
            .collect();
        list.sort_by_key(|(id, (at, _))| (*at, **id));
        let items: Vec<&Value> = list
            .iter()
            .skip((page - 1) * 100)
            .take(100)
            .map(|(_, (_, item))| item)
            .collect();
        let body = json!(items).to_string();
        let etag = format!("W/\"{}-{}\"", body.len(), list.len());
        if request.header("If-None-Match") == Some(&etag) {
            self.statuses.push(304);
            return Reply::status(304);
        }
        self.statuses.push(200);
        let reply = Reply::status(200).header("ETag", etag).body(body);
        if list.len() <= page * 100 {
            return reply;
        }
        let url = request.url.split("&page=").next().unwrap();
        reply.header(
            "Link",
            format!(
                "<{url}&page=9>; rel=\"last\", <{url}&page={}>; rel=\"next\"",
                page + 1
            ),
        )
    }
}
