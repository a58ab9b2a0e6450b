//! From the name that the host calls to the handler. Unknown names are answered here.

use std::rc::Rc;

use super::{Action, CHECK, Plugin};
use crate::{Cx, Failure, Result};

impl Plugin {
    /// Run the sync of this name.
    pub(crate) async fn run_sync(&self, cx: Cx, name: &str) -> Result<()> {
        // One with `each` answers to the names in the connection's config; the host checked
        // that the name is one of them.
        let sync = self
            .syncs
            .iter()
            .find(|sync| sync.each.is_none() && sync.name == name)
            .or_else(|| self.syncs.iter().find(|sync| sync.each.is_some()));
        match sync {
            Some(sync) => {
                let check = self.events.iter().find(|event| event.kind == CHECK);
                (sync.run)(cx.checked_by(check.map(|event| Rc::clone(&event.run)))).await
            }
            None => Err(unknown(
                "sync",
                name,
                self.syncs.iter().map(|sync| &sync.name),
            )),
        }
    }

    /// Run the action of this name.
    pub(crate) async fn run_action(&self, cx: Cx, name: &str, input: String) -> Result<String> {
        let named = |action: &&Action| action.each.is_none() && action.name == name;
        let mut actions = self.actions.iter();
        let action = actions
            .find(named)
            .or_else(|| self.actions.iter().find(|action| action.each.is_some()));
        match action {
            Some(action) => (action.run)(cx, input).await,
            None => Err(unknown(
                "action",
                name,
                self.actions.iter().map(|action| &action.name),
            )),
        }
    }

    /// Answer an event of this kind.
    pub(crate) async fn run_event(&self, cx: Cx, kind: &str, payload: String) -> Result<String> {
        match self.events.iter().find(|event| event.kind == kind) {
            Some(event) => (event.run)(cx, payload).await,
            None => Err(unknown(
                "event",
                kind,
                self.events.iter().map(|event| &event.kind),
            )),
        }
    }
}

fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a String>) -> Failure {
    let mut list = String::new();
    for known in known {
        if !list.is_empty() {
            list.push_str(", ");
        }
        list.push_str(known);
    }
    if list.is_empty() {
        list.push_str("none");
    }
    Failure::unsupported(format!(
        "this plugin has no {what} `{name}`; it has: {list}"
    ))
}
