//! The demo's progress: a spinner for each step on a terminal, plain lines elsewhere.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use tidegate_engine::run::{Figures, LogLine, RunId};
use tidegate_service::control::Progress;
use tidegate_service::display;

use crate::output;

/// How often a spinner turns.
const TURN_EVERY: Duration = Duration::from_millis(100);

/// A step that is under way.
#[derive(Debug)]
pub(super) struct Step {
    title: String,
    /// `None` without a terminal.
    spinner: Option<ProgressBar>,
    began: Instant,
}

impl Step {
    /// Begin a step and show its title.
    pub(super) fn begin(title: impl Into<String>) -> Self {
        let title = title.into();
        let spinner = output::is_terminal().then(|| {
            let spinner = ProgressBar::new_spinner().with_prefix(title.clone());
            // The template is fixed, and a bad one would only look plain.
            if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} {wide_msg:.dim}") {
                spinner.set_style(style);
            }
            spinner.enable_steady_tick(TURN_EVERY);
            spinner
        });
        if spinner.is_none() {
            output::notice(format!("{title} ..."));
        }
        Self {
            title,
            spinner,
            began: Instant::now(),
        }
    }

    /// Show what it is at, where that can be rewritten.
    pub(super) fn at(&self, detail: impl Into<String>) {
        if let Some(spinner) = &self.spinner {
            spinner.set_message(detail.into());
        }
    }

    /// End it and show what came of it.
    pub(super) fn end(self, result: impl std::fmt::Display) {
        let ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let took = display::duration(ms);
        match &self.spinner {
            Some(spinner) => {
                spinner.finish_and_clear();
                output::notice(format!("{}: {result} ({took})", self.title));
            }
            None => output::notice(format!("  {result} ({took})")),
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        // A step that fails leaves no spinner behind.
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
    }
}

impl Progress for Step {
    fn started(&self, run: RunId) {
        self.at(run.to_string());
    }

    fn log(&self, _line: &LogLine) {}

    fn figures(&self, figures: &Figures) {
        let records = display::count(figures.total().total());
        let plural = if figures.requests == 1 { "" } else { "s" };
        self.at(format!(
            "{records} records, {} request{plural}",
            figures.requests
        ));
    }
}
