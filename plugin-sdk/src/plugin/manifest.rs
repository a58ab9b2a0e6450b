//! The manifest of a plugin: the JSON object that `docs/manifest.md` describes.

use std::collections::BTreeSet;

use super::define::Schedule;
use super::{Action, Auth, Model, Plugin, Schema, Sync};
use crate::json::{Object, quoted};

const SDK: &str = concat!("tidegate-sdk ", env!("CARGO_PKG_VERSION"));

impl Plugin {
    /// The manifest as JSON text (`docs/manifest.md`).
    #[must_use]
    pub fn manifest(&self) -> String {
        let mut limits = Object::default();
        for (name, value) in &self.limits {
            limits.raw(name, &value.to_string());
        }
        let rate_limit = self.rate_limit.map(|(requests, per)| {
            Object::default()
                .raw("requests", &requests.to_string())
                .raw("per_ms", &per.as_millis().to_string())
                .finish()
        });
        let capabilities = Object::default()
            .list("hosts", &texts(&self.hosts))
            .list("feeds", &texts(&self.feeds))
            .raw(
                "metadata_write",
                if self.metadata_write { "true" } else { "false" },
            )
            .raw("limits", &limits.finish())
            .raw_opt("rate_limit", rate_limit.as_deref())
            .finish();
        let auth: Vec<String> = self.auth.iter().map(Auth::manifest).collect();
        Object::default()
            .raw("manifest", "1")
            .text("name", &self.name)
            .text("version", &self.version)
            .text_opt("description", self.description.as_deref())
            .text("sdk", SDK)
            .list("syncs", &self.syncs.iter().map(sync).collect::<Vec<_>>())
            .list(
                "actions",
                &self.actions.iter().map(action).collect::<Vec<_>>(),
            )
            .list(
                "models",
                &self.models().iter().map(model).collect::<Vec<_>>(),
            )
            .list("events", &self.events())
            .raw("capabilities", &capabilities)
            .raw_opt("config", text(self.config.as_ref()))
            .list("auth", &auth)
            .finish()
    }

    /// The kinds of events that have a handler, once.
    fn events(&self) -> Vec<String> {
        let kinds: BTreeSet<&str> = self
            .events
            .iter()
            .map(|event| event.kind.as_str())
            .collect();
        kinds.into_iter().map(quoted).collect()
    }

    /// Every model that is described or named anywhere, once. What one mention leaves open,
    /// another may say.
    fn models(&self) -> Vec<Model> {
        let of_syncs = self.syncs.iter().flat_map(|sync| &sync.models);
        let of_actions = self.actions.iter().flat_map(|action| &action.models);
        let mut models: Vec<Model> = Vec::new();
        for model in self.models.iter().chain(of_syncs).chain(of_actions) {
            let found = models.iter_mut().find(|found| found.name == model.name);
            match found {
                _ if model.name == "*" => {} // of a sync or action with `each`
                Some(found) => {
                    let Model {
                        description,
                        schema,
                        ..
                    } = model.clone();
                    found.description = found.description.take().or(description);
                    found.schema = found.schema.take().or(schema);
                }
                None => models.push(model.clone()),
            }
        }
        models
    }
}

fn sync(sync: &Sync) -> String {
    let schedule = sync.schedule.as_ref().map(|schedule| match schedule {
        Schedule::Every(every) => Object::default().text("every", every).finish(),
        Schedule::Cron {
            expression,
            timezone,
        } => Object::default()
            .text("cron", expression)
            .text("timezone", timezone)
            .finish(),
    });
    Object::default()
        .text("name", &sync.name)
        .text_opt("description", sync.description.as_deref())
        .list("models", &names(&sync.models))
        .raw_opt("schedule", schedule.as_deref())
        .text_opt("each", sync.each.as_deref())
        .finish()
}

fn action(action: &Action) -> String {
    Object::default()
        .text("name", &action.name)
        .text_opt("description", action.description.as_deref())
        .list("models", &names(&action.models))
        .raw_opt("input", text(action.input.as_ref()))
        .raw_opt("output", text(action.output.as_ref()))
        .text_opt("each", action.each.as_deref())
        .finish()
}

fn model(model: &Model) -> String {
    Object::default()
        .text("name", &model.name)
        .text_opt("description", model.description.as_deref())
        .raw_opt("schema", text(model.schema.as_ref()))
        .finish()
}

fn names(models: &[Model]) -> Vec<String> {
    models.iter().map(|model| quoted(&model.name)).collect()
}

fn texts(texts: &[String]) -> Vec<String> {
    texts.iter().map(|text| quoted(text)).collect()
}

fn text(schema: Option<&Schema>) -> Option<&str> {
    schema.map(|schema| &*schema.0)
}
