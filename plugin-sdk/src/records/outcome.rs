//! What a commit did.

use crate::host::ModelOutcome;

/// What a commit did, per model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommitOutcome {
    models: Vec<ModelOutcome>,
}

impl CommitOutcome {
    pub(super) fn new(models: Vec<ModelOutcome>) -> Self {
        CommitOutcome { models }
    }

    /// One entry per model of the commit.
    #[must_use]
    pub fn models(&self) -> &[ModelOutcome] {
        &self.models
    }

    /// What happened to one model; all zero for one that was not part of the commit.
    #[must_use]
    pub fn model(&self, model: &str) -> ModelOutcome {
        let found = self.models.iter().find(|outcome| outcome.model == model);
        found.cloned().unwrap_or_else(|| ModelOutcome {
            model: model.to_owned(),
            ..ModelOutcome::default()
        })
    }

    /// Records that were new or changed or deleted, over all models.
    #[must_use]
    pub fn changed(&self) -> u64 {
        let changed = |outcome: &ModelOutcome| {
            u64::from(outcome.added) + u64::from(outcome.updated) + u64::from(outcome.deleted)
        };
        self.models.iter().map(changed).sum()
    }
}
