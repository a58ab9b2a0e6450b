//! Everything that can be listed and read, compared between the two stores.

use tidegate_engine::integration::Digest;
use tidegate_engine::store::OUTCOMES;

use super::*;

impl<B: Backend> Pair<'_, B> {
    pub(crate) async fn list(&self) {
        self.list_work().await;
        for connection_name in CONNECTIONS {
            let key = connection(connection_name);
            let _ = both!(self, store => store.models(&key));
            let _ = both!(self, store => store.connection(&key));
            let _ = both!(self, store => store.checkpoints(&key));
            for sync_name in ["contacts", "deals"] {
                let key = sync(connection_name, sync_name);
                let _ = both!(self, store => store.checkpoint(&key));
            }
            let filter = RunFilter {
                connection: Some(key),
                limit: 3,
                ..RunFilter::default()
            };
            both!(self, store => store.runs(filter.clone())).unwrap();
        }
        let filters = [
            RunFilter {
                limit: 100,
                ..RunFilter::default()
            },
            RunFilter {
                before: Some(run_id(self.next_run / 2)),
                limit: 2,
                ..RunFilter::default()
            },
            RunFilter {
                integration: Some(name("crm")),
                limit: 5,
                ..RunFilter::default()
            },
            RunFilter {
                integration: Some(name("other")),
                limit: 5,
                ..RunFilter::default()
            },
        ];
        let by_outcome = OUTCOMES.iter().flat_map(|outcome| {
            let all = RunFilter {
                outcome: Some((*outcome).to_owned()),
                limit: 4,
                ..RunFilter::default()
            };
            let own = RunFilter {
                connection: Some(connection("acme")),
                ..all.clone()
            };
            let of_integration = RunFilter {
                integration: Some(name("crm")),
                before: Some(run_id(self.next_run / 2)),
                ..all.clone()
            };
            [all, own, of_integration]
        });
        for filter in filters.into_iter().chain(by_outcome) {
            both!(self, store => store.runs(filter.clone())).unwrap();
        }
        for number in 1..=self.next_run {
            let _ = both!(self, store => store.run(run_id(number)));
        }
        self.list_hooks().await;
        both!(self, store => store.api_keys()).unwrap();
        both!(self, store => store.integrations(None, 10)).unwrap();
        let _ = both!(self, store => store.integration(&name("crm")));
        let after = "acme".parse().unwrap();
        let _ = both!(self, store => store.connections(&name("crm"), Some(&after), 10));
        for version in 0..3 {
            let digest = Digest::of(format!("{version}.0.0").as_bytes());
            let _ = both!(self, store => store.component(digest));
        }
    }

    /// Read everything to its end, from the start and from where the cursors are.
    pub(crate) async fn check_all(&mut self) {
        self.list().await;
        for (connection, model) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            for resume in [true, false] {
                self.step(&Step::Read {
                    model,
                    connection,
                    resume,
                    deleted_only: false,
                    limit: 10_000,
                    bytes: usize::MAX,
                })
                .await;
            }
            let (first, count) = (0, 500);
            self.step(&Step::Get {
                model,
                connection,
                first,
                count,
            })
            .await;
            self.step(&Step::Hashes {
                model,
                connection,
                first,
                count,
            })
            .await;
        }
    }
}
