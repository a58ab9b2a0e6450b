//! Looking at rows one by one, so that what is damaged becomes a finding.

use tidegate_engine::StoreError;
use tidegate_engine::upkeep::CheckReport;

use crate::disk::View;
use crate::layout::keys::{self, Key};

/// A view with a report of what is wrong in it.
pub(super) struct Checker<'a> {
    pub(super) view: &'a View<'a>,
    pub(super) report: CheckReport,
    /// What is being looked at, in the words of people.
    subject: String,
}

impl<'a> Checker<'a> {
    pub(super) fn new(view: &'a View<'a>) -> Self {
        Self {
            view,
            report: CheckReport::default(),
            subject: String::new(),
        }
    }

    /// Name what is looked at from here on; findings begin with it.
    pub(super) fn subject(&mut self, subject: impl Into<String>) {
        self.subject = subject.into();
    }

    /// Something is wrong with this key.
    pub(super) fn wrong_key(&mut self, key: &[u8], what: impl Into<String>) {
        self.wrong(format!("key {}", keys::describe(key)), what);
    }

    /// Something is wrong with the subject, at a place in it.
    pub(super) fn wrong(&mut self, place: impl AsRef<str>, what: impl Into<String>) {
        let place = place.as_ref();
        let place = match (self.subject.as_str(), place) {
            ("", place) => place.to_owned(),
            (subject, "") => subject.to_owned(),
            (subject, place) => format!("{subject}, {place}"),
        };
        self.report.wrong(place, what);
    }

    /// The value, or a finding where it is damaged.
    pub(super) fn undamaged<T>(
        &mut self,
        found: Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        match found {
            Ok(value) => Ok(Some(value)),
            Err(StoreError::Damaged { place, reason }) => {
                self.wrong(format!("key {place}"), reason);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Look at each row of a prefix: its key and value. Returns how many were damaged.
    pub(super) fn rows(
        &mut self,
        prefix: &Key,
        look_at: impl FnMut(&mut Self, &sled::IVec, &sled::IVec) -> Result<(), StoreError>,
    ) -> Result<u64, StoreError> {
        let wrong = self.report.wrong;
        self.some_rows(prefix, &prefix.after_prefix(), usize::MAX, look_at)?;
        Ok(self.report.wrong - wrong)
    }

    /// Look at `max` rows at most; returns where to go on.
    pub(super) fn some_rows(
        &mut self,
        first: &Key,
        end: &Key,
        max: usize,
        mut look_at: impl FnMut(&mut Self, &sled::IVec, &sled::IVec) -> Result<(), StoreError>,
    ) -> Result<super::ResumeAt, StoreError> {
        let view = self.view;
        for (count, item) in view.raw(first, end).enumerate() {
            // The database itself: it would say the same of the next row.
            let Some((key, stored)) = self.undamaged(item)? else {
                return Ok(None);
            };
            if count == max {
                return Ok(Some(Key::stored(&key)));
            }
            self.report.keys += 1;
            let whole = view.whole(&key, &stored);
            let Some(value) = self.undamaged(whole)? else {
                continue;
            };
            let seen = look_at(self, &key, &value);
            self.undamaged(seen)?;
        }
        Ok(None)
    }
}
