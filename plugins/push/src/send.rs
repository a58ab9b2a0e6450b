//! Telling the destination, and what it acknowledged: a request for each record, several at a time,
//! or one for a page of them.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::{BTreeSet, VecDeque};

use jaq_json::Val;
use sha2::{Digest, Sha256};
use tidegate_sdk::Place;
use tidegate_sdk::prelude::*;

use crate::answer::{self, Answer, ItemOutcome};
use crate::config::{OnReject, RequestUnit};
use crate::jq;
use crate::page::PushItem;
use crate::plan::{self, Plan, Request};

/// An idempotency key's length in bytes, before it is written in hexadecimal.
const KEY_BYTES: usize = 16;

/// Sends the work of one run.
pub(crate) struct Sender<'a> {
    cx: &'a Cx,
    plan: &'a Plan,
    /// What tells this push from every other.
    scope: String,
    /// That the destination answers with texts is said once a run.
    has_said_text: Cell<bool>,
}

/// What came of the work of a page.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// Positions of the changes that the destination acknowledged.
    pub(crate) acknowledged: BTreeSet<usize>,
    /// Positions of those that it rejected, and that are to be passed over.
    pub(crate) rejected: BTreeSet<usize>,
    /// Positions of those that it rejected, at which the run fails.
    pub(crate) refused: BTreeSet<usize>,
    /// Why the rest was not sent, or not acknowledged.
    pub(crate) failure: Option<Failure>,
}

impl Sent {
    fn add(&mut self, mut more: Sent) {
        self.acknowledged.append(&mut more.acknowledged);
        self.rejected.append(&mut more.rejected);
        self.refused.append(&mut more.refused);
        if let Some(failure) = more.failure {
            self.failure.get_or_insert(failure);
        }
    }
}

impl<'a> Sender<'a> {
    pub(crate) fn new(cx: &'a Cx, plan: &'a Plan) -> Result<Self> {
        let run = cx.context()?;
        let scope = format!("{}/{}/{}", run.integration, run.connection, plan.name);
        Ok(Sender {
            cx,
            plan,
            scope,
            has_said_text: Cell::new(false),
        })
    }

    /// Send all of it, or as much as goes.
    pub(crate) async fn send(&self, work: &[PushItem]) -> Sent {
        let (saves, deletes): (Vec<&PushItem>, Vec<&PushItem>) =
            work.iter().partition(|work| work.save.is_some());
        let mut sent = Sent::default();
        self.send_by(&self.plan.save, &saves, &mut sent).await;
        if let (Some(delete), None) = (&self.plan.delete, &sent.failure) {
            self.send_by(delete, &deletes, &mut sent).await;
        }
        sent
    }

    async fn send_by(&self, request: &Request, work: &[&PushItem], sent: &mut Sent) {
        match request.per {
            RequestUnit::Record => self.send_each(request, work, sent).await,
            RequestUnit::Page if work.is_empty() => {}
            RequestUnit::Page => self.send_page(request, work, sent).await,
        }
    }

    /// After a failure no further request is begun; those in flight are waited for, as what they
    /// acknowledge must not be sent again.
    async fn send_each(&self, request: &Request, work: &[&PushItem], sent: &mut Sent) {
        let failed = Cell::new(false);
        let mut answers = stream::iter(work)
            .map(|work| async {
                if failed.get() {
                    return None;
                }
                let answer = self.send_one(request, work).await;
                let mut one = Sent::default();
                self.take_in(&[*work], answer, &mut one);
                failed.set(failed.get() || one.failure.is_some());
                Some(one)
            })
            .buffer_unordered(self.plan.concurrency);
        while let Some(one) = answers.next().await {
            if let Some(one) = one {
                sent.add(one);
            }
        }
    }

    async fn send_one(&self, request: &Request, work: &PushItem) -> Result<Answer> {
        let record = &work.record;
        let path = request.path.fill_path(|place| match place {
            Place::Name(_) => Some(work.id.as_str().into()),
            Place::Value(pointer) => jq::scalar_text(record, pointer).map(Cow::Owned),
        });
        let path = path.map_err(|problem| {
            plan::unfit(&request.key.at("path"), &self.named(&[work]), problem)
        })?;
        self.ask(request, &[work], &path, record.clone(), &work.id)
            .await
    }

    /// One request for the page. When it is rejected and rejected records are to be passed over,
    /// each half is sent by itself, until the record that is to blame is alone.
    async fn send_page(&self, request: &Request, work: &[&PushItem], sent: &mut Sent) {
        let mut left = VecDeque::from([work]);
        while let Some(work) = left.pop_front() {
            let list = work.iter().map(|work| match work.save {
                Some(_) => work.record.clone(),
                None => Val::from(work.id.clone()),
            });
            let list = list.collect::<Val>();
            let path = request.path.fill_path(|_| None);
            let answer = match path {
                Ok(path) => self.ask(request, work, &path, list, "").await,
                Err(problem) => Err(request.key.at("path").wrong(problem)),
            };
            if let (Ok(Answer::Rejected(_)), OnReject::Skip, 2..) =
                (&answer, self.plan.on_reject, work.len())
            {
                let (first, second) = work.split_at(work.len() / 2);
                left.push_front(second);
                left.push_front(first);
                continue;
            }
            self.take_in(work, answer, sent);
            if sent.failure.is_some() {
                return;
            }
        }
    }

    /// What an answer about these records means for each of them.
    fn take_in(&self, work: &[&PushItem], answer: Result<Answer>, sent: &mut Sent) {
        match answer {
            Ok(Answer::Acknowledged) => {
                sent.acknowledged
                    .extend(work.iter().map(|work| work.position));
            }
            Ok(Answer::Rejected(failure)) => self.reject(work, failure, sent),
            Ok(Answer::Each(each)) => {
                for (work, each) in work.iter().zip(each) {
                    match each {
                        ItemOutcome::Acknowledged => {
                            sent.acknowledged.insert(work.position);
                        }
                        ItemOutcome::Rejected(failure) => self.reject(&[*work], failure, sent),
                        ItemOutcome::Failed(failure) => {
                            let failure = failure.context(self.named(&[*work]));
                            sent.failure.get_or_insert(failure);
                        }
                    }
                }
            }
            Err(failure) => {
                let failure = match failure.code.as_deref() {
                    // It names the record and the key.
                    Some("transform-failed") => failure,
                    _ => failure.context(self.named(work)),
                };
                sent.failure.get_or_insert(failure);
            }
        }
    }

    /// A rejection is a failure, unless such records are to be passed over.
    fn reject(&self, work: &[&PushItem], failure: Failure, sent: &mut Sent) {
        match self.plan.on_reject {
            OnReject::Skip => {
                warn!("{} is passed over: {}", self.named(work), failure.message);
                sent.rejected.extend(work.iter().map(|work| work.position));
            }
            OnReject::Fail => {
                sent.refused.extend(work.iter().map(|work| work.position));
                let failure = failure.context(self.named(work));
                sent.failure.get_or_insert(failure);
            }
        }
    }

    async fn ask(
        &self,
        request: &Request,
        work: &[&PushItem],
        path: &str,
        input: Val,
        id: &str,
    ) -> Result<Answer> {
        let unfit =
            |problem: &str| plan::unfit(&request.key.at("body"), &self.named(work), problem);
        let mut builder = self.cx.request(request.method.as_str(), path);
        let mut body = None;
        if let Some(expression) = &request.body {
            let value = expression
                .run(input, id)
                .map_err(|problem| unfit(&problem))?;
            let value = value.ok_or_else(|| unfit("it makes nothing of it"))?;
            body = Some(jq::text(&value).map_err(|problem| unfit(&problem))?);
        }
        if !request.method.is_idempotent() {
            builder = builder.idempotency_key(self.key(request, work, path, body.as_deref()));
        }
        for (name, value) in &request.headers {
            if body.is_some() || !name.eq_ignore_ascii_case("Content-Type") {
                builder = builder.header(name, value);
            }
        }
        if let Some(body) = body {
            builder = builder.body(body);
        }
        let response = builder.send_any().await?;
        let ids: Vec<&str> = work.iter().map(|work| work.id.as_str()).collect();
        let answer = answer::read(self.cx, request, &response, &ids)?;
        if matches!(answer, Answer::Acknowledged) && !self.has_said_text.get() {
            let is_readable = response.bytes().trim_ascii().is_empty()
                || response.json::<serde::de::IgnoredAny>().is_ok();
            if !is_readable {
                self.has_said_text.set(true);
                warn!(
                    "the destination's answers are no JSON: their status alone acknowledges what was sent"
                );
            }
        }
        Ok(answer)
    }

    /// The same each time these changes are sent so, and different for any others.
    fn key(&self, request: &Request, work: &[&PushItem], path: &str, body: Option<&str>) -> String {
        let mut hash = Sha256::new();
        let mut part = |text: &str| {
            hash.update(text.len().to_be_bytes());
            hash.update(text);
        };
        for text in [
            &self.scope,
            request.method.as_str(),
            path,
            body.unwrap_or_default(),
        ] {
            part(text);
        }
        for work in work {
            part(&work.id);
            part(&work.modified_at.to_string());
        }
        let digest = hash.finalize();
        let short = digest.iter().take(KEY_BYTES);
        short.map(|byte| format!("{byte:02x}")).collect()
    }

    /// How messages name what a request is about.
    fn named(&self, work: &[&PushItem]) -> String {
        let feed = self.plan.feed();
        match work {
            [] => format!("nothing of {feed}"),
            [one] => format!("the record `{}` of {feed}", one.id),
            [first, .., last] => {
                let count = work.len();
                format!("{count} records of {feed}, `{}` to `{}`", first.id, last.id)
            }
        }
    }
}
