//! `feed.read`: change feeds that the operator granted.

use tidegate_contract::tidegate::plugin::feed::{Action, Change, Host, HostWithStore, Source};
use tidegate_contract::tidegate::plugin::records::Error;
use tidegate_engine::grant::{FeedGrant, FeedPattern, FeedScope, GrantFlag};
use tidegate_engine::limits::{READ_BYTES_MAX, READ_CHANGES_MAX};
use tidegate_engine::store::{ActionFilter, ReadChanges};
use tidegate_engine::{ConnectionKey, ModelKey};
use tidegate_engine::{cassette, record};
use wasmtime::component::Accessor;

use super::records::{error, invalid, not_granted};
use super::taken::hold_until_taken;
use crate::calls::{AnswerShare, changes_bytes};
use crate::state::{Imports, Live, RunState};

impl Host for RunState {}

impl<T: Send + 'static> HostWithStore<T> for Imports {
    async fn read(
        accessor: &Accessor<T, Self>,
        source: Source,
        cursor: Option<String>,
        limit: u32,
    ) -> wasmtime::Result<Result<Vec<Change>, Error>> {
        let live = accessor.with(|mut access| access.get().live("feed.read"))?;
        let _held = live.hold(cursor.as_ref().map_or(0, String::len)).await?;
        let (changes, held) = match read(&live, &source, cursor.as_deref(), limit).await {
            Ok(read) => read,
            Err(error) => return Ok(Err(error)),
        };
        let share = live.hold_answer(held, changes_bytes(&changes)).await?;
        hold_until_taken(accessor, [share])?;
        Ok(Ok(changes.into_iter().map(change).collect()))
    }
}

async fn read(
    live: &Live,
    source: &Source,
    cursor: Option<&str>,
    limit: u32,
) -> Result<(Vec<cassette::Change>, AnswerShare), Error> {
    let model = resolve(live, source)?;
    if limit == 0 || limit > READ_CHANGES_MAX {
        let message = format!("limit is {limit}; it must be 1 to {READ_CHANGES_MAX}");
        return Err(invalid(live, message));
    }
    let after = cursor.map(str::parse).transpose();
    let after = after
        .map_err(|error: tidegate_engine::cursor::CursorError| invalid(live, error.to_string()))?;
    let read = ReadChanges {
        model,
        after,
        filter: ActionFilter::ALL,
        limit: limit as usize,
        bytes_max: READ_BYTES_MAX,
    };
    let read = live.calls.read_feed(read, cursor).await;
    read.map_err(|refusal| error(live, refusal))
}

fn change(change: cassette::Change) -> Change {
    Change {
        cursor: change.cursor,
        id: change.id,
        action: match change.action {
            record::Action::Added => Action::Added,
            record::Action::Updated => Action::Updated,
            record::Action::Deleted => Action::Deleted,
        },
        body: change.body,
        first_seen_at: change.first_seen_at.0,
        last_modified_at: change.last_modified_at.0,
    }
}

fn resolve(live: &Live, source: &Source) -> Result<ModelKey, Error> {
    let text = format!("{}/{}", source.integration, source.model);
    let feed: FeedPattern = text
        .parse()
        .map_err(|error: tidegate_engine::grant::FeedError| invalid(live, error.to_string()))?;
    let own = &live.connection.connection;
    let of = match &source.connection {
        None => own.clone(),
        Some(name) => name
            .parse()
            .map_err(|error: tidegate_engine::name::NameError| invalid(live, error.to_string()))?,
    };
    if !live.feeds.iter().any(|grant| grant.allows(&feed, &of, own)) {
        let (whose, granted) = if of == *own {
            (String::new(), FeedScope::Same)
        } else {
            (
                format!(" of the connection {of}"),
                FeedScope::Connection(of),
            )
        };
        let flag = GrantFlag::Feed(FeedGrant {
            feed: feed.clone(),
            of: granted,
        });
        let message = format!(
            "the feed {feed}{whose} is not granted: the manifest must request it and the operator grant it \
             with {flag}"
        );
        return Err(error(live, not_granted(message)));
    }
    let connection = ConnectionKey {
        integration: feed.integration,
        connection: of,
    };
    Ok(connection.model(feed.model))
}
