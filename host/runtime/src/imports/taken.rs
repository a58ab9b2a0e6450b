//! When a guest has an answer: until then it is the host that holds it.
//!
//! A call's answer is copied into the guest after the call's own future has ended, by a piece of work that
//! wasmtime queues behind it. It may wait there while the guest computes, and it runs code of the guest
//! (`realloc`) itself. So what an answer takes of the run's account is not dropped with the call: it is
//! handed to a task, which is queued before that work, queues itself once more, and so ends after it.

use tidegate_egress::Share;
use wasmtime::component::{Accessor, AccessorTask, HasData};

/// Keep what an answer takes counted until the guest has the answer, which the call is about to return.
pub(super) fn hold_until_taken<T, D>(
    accessor: &Accessor<T, D>,
    shares: impl IntoIterator<Item = Share>,
) -> wasmtime::Result<()>
where
    T: Send + 'static,
    D: HasData + 'static,
{
    let shares: Vec<Share> = shares.into_iter().filter(|s| s.bytes() > 0).collect();
    if shares.is_empty() {
        return Ok(());
    }
    let behind = DeferredShares {
        shares,
        is_behind: false,
    };
    accessor.spawn(behind).map(drop)
}

/// Shares on their way behind the work that copies their answer.
struct DeferredShares {
    shares: Vec<Share>,
    /// Whether that work was in the queue when this was put there.
    is_behind: bool,
}

impl<T, D> AccessorTask<T, D> for DeferredShares
where
    T: Send + 'static,
    D: HasData + 'static,
{
    async fn run(self, accessor: &Accessor<T, D>) -> wasmtime::Result<()> {
        let Self { shares, is_behind } = self;
        if is_behind {
            // The guest has what they were for.
            drop(shares);
            return Ok(());
        }
        let behind = Self {
            shares,
            is_behind: true,
        };
        accessor.spawn(behind).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};
    use std::time::Duration;

    use futures::FutureExt;
    use tidegate_egress::{Account, Pool};
    use wasmtime::component::{Component, HasSelf, Linker};
    use wasmtime::{Config, Engine, Store};

    use super::*;

    const BYTES: usize = 64 * 1024;

    /// A component that asks once for bytes, synchronously or not, and whose `realloc` takes them never, or at
    /// once.
    fn component(takes: bool, is_async: bool) -> String {
        let realloc = match takes {
            true => "(i32.const 4096)",
            false => "(loop (br 0)) unreachable",
        };
        let (option, call) = match is_async {
            // Where the answer goes, and then nothing more is done before it is there.
            true => (
                "async",
                "(call $join (call $waitable (call $get (i32.const 16))) (local.get 0)) \
                 (drop (call $wait (local.get 0) (i32.const 32)))",
            ),
            false => ("", "(call $get (i32.const 16))"),
        };
        let result = if is_async { "(result i32)" } else { "" };
        format!(
            r#"(component
              (import "get" (func $get async (result (list u8))))
              (core module $memory
                (memory (export "memory") 4)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) {realloc}))
              (core instance $memory (instantiate $memory))
              (core func $get' (canon lower (func $get) {option} (memory (core memory $memory "memory"))
                (realloc (core func $memory "realloc"))))
              (core func $new (canon waitable-set.new))
              (core func $join (canon waitable.join))
              (core func $wait (canon waitable-set.wait (memory (core memory $memory "memory"))))
              (core module $main
                (import "" "get" (func $get (param i32) {result}))
                (import "" "new" (func $new (result i32)))
                (import "" "join" (func $join (param i32 i32)))
                (import "" "wait" (func $wait (param i32 i32) (result i32)))
                (func $waitable (param i32) (result i32) (i32.shr_u (local.get 0) (i32.const 4)))
                (func (export "run") (local i32)
                  (local.set 0 (call $new))
                  {call}))
              (core instance $main (instantiate $main (with "" (instance
                (export "get" (func $get')) (export "new" (func $new))
                (export "join" (func $join)) (export "wait" (func $wait))))))
              (func (export "run") async (canon lift (core func $main "run"))))"#
        )
    }

    /// A store with the component, whose call `get` waits once and answers then.
    async fn asks(text: &str, account: &Account) -> (Engine, Store<()>, wasmtime::component::Func) {
        let mut config = Config::new();
        config.epoch_interruption(true);
        let engine = Engine::new(&config).unwrap();
        let component = Component::new(&engine, wat::parse_str(text).unwrap()).unwrap();
        let mut linker = Linker::<()>::new(&engine);
        let account = account.clone();
        linker
            .root()
            .func_wrap_concurrent("get", move |accessor, (): ()| {
                let account = account.clone();
                Box::pin(async move {
                    let share = account.hold(BYTES as u64).await.unwrap();
                    tokio::task::yield_now().await;
                    let accessor = accessor.with_getter::<HasSelf<()>>(|state| state);
                    hold_until_taken(&accessor, [share])?;
                    Ok((vec![7_u8; BYTES],))
                })
            })
            .unwrap();
        let mut store = Store::new(&engine, ());
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        let instance = linker
            .instantiate_async(&mut store, &component)
            .await
            .unwrap();
        let run = instance.get_func(&mut store, "run").unwrap();
        (engine, store, run)
    }

    #[tokio::test]
    async fn an_answer_counts_until_it_is_in_the_guest() {
        for is_async in [true, false] {
            let account = Pool::default().account(BYTES as u64);
            let is_held = || account.hold(1).now_or_never().unwrap().is_err();
            // It never takes the answer, and yields at each tick.
            let (engine, mut store, run) = asks(&component(false, is_async), &account).await;
            let mut called = Box::pin(run.call_async(&mut store, &[], &mut []));
            for tick in 0..20 {
                let mut context = Context::from_waker(Waker::noop());
                let ticking = {
                    let engine = engine.clone();
                    std::thread::spawn(move || {
                        std::thread::sleep(Duration::from_millis(1));
                        engine.increment_epoch();
                    })
                };
                assert!(
                    called.as_mut().poll(&mut context).is_pending(),
                    "{is_async}"
                );
                ticking.join().unwrap();
                assert!(is_held(), "async {is_async}, after {tick} ticks");
            }
            drop(called);
            drop(store);
            assert!(!is_held(), "async {is_async}: with the guest");
            // One that takes it has it then, without another call of the host. One that has blocked for it goes on
            // before anything else is done: its share follows when it waits again, or ends.
            let (_, mut store, run) = asks(&component(true, is_async), &account).await;
            run.call_async(&mut store, &[], &mut []).await.unwrap();
            if !is_async {
                drop(store);
            }
            assert!(!is_held(), "async {is_async}: with the answer");
        }
    }
}
