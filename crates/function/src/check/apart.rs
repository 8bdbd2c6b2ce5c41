//! Work on a thread and a runtime of its own.

use std::fmt;
use std::thread;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use restore_proof_core::check::Trouble;
use tokio::sync::{mpsc, oneshot};

/// How much longer the work may go on than somebody waits for it, whose words about the time are better.
const GRACE: Duration = Duration::from_millis(100);

/// Does work that a hostile answer may keep busy, so that whoever waits for it can stop waiting in time: a library may
/// read what is flooded at it for seconds without a pause. What the work leaves behind, tasks and connections, ends with
/// it, soon after `limit` if it pauses.
///
/// # Errors
/// Those of the work; [`Trouble::CannotTell`] when it panicked or was given up.
pub(super) async fn apart<T, W, F>(limit: Duration, work: W) -> Result<T, Trouble>
where
    T: Send + 'static,
    W: FnOnce() -> F + Send + 'static,
    F: Future<Output = Result<T, Trouble>> + 'static,
{
    Thread::<()>::begin()?
        .work(limit, move |()| work().boxed_local())
        .await
}

/// One piece of work.
type Work<S> = Box<dyn for<'s> FnOnce(&'s mut S) -> LocalBoxFuture<'s, ()> + Send>;

/// A thread with a runtime of its own, which does one piece of work after the other and keeps `S` between them. It ends
/// when this value is dropped, as soon as the work pauses.
pub(super) struct Thread<S> {
    works: mpsc::UnboundedSender<Work<S>>,
}

impl<S: Default + 'static> Thread<S> {
    /// Begins a thread.
    ///
    /// # Errors
    /// [`Trouble::CannotTell`] when the system has none to give.
    pub(super) fn begin() -> Result<Thread<S>, Trouble> {
        let (works, mut waiting) = mpsc::unbounded_channel::<Work<S>>();
        thread::Builder::new()
            .name("check".to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                // Without one the work finds nobody.
                let Ok(runtime) = runtime else { return };
                runtime.block_on(async {
                    let mut state = S::default();
                    while let Some(work) = waiting.recv().await {
                        work(&mut state).await;
                    }
                });
                runtime.shutdown_background();
            })
            .map_err(|error| cannot_begin(&error))?;
        Ok(Thread { works })
    }

    /// Does this work, for `limit` and a little more, and no longer than somebody waits for it.
    ///
    /// # Errors
    /// Those of the work; [`Trouble::CannotTell`] when it panicked or was given up.
    pub(super) async fn work<T, W>(&self, limit: Duration, work: W) -> Result<T, Trouble>
    where
        T: Send + 'static,
        W: for<'s> FnOnce(&'s mut S) -> LocalBoxFuture<'s, Result<T, Trouble>> + Send + 'static,
    {
        let (mut done, waiting) = oneshot::channel();
        let work: Work<S> = Box::new(move |state| {
            async move {
                let result = tokio::select! {
                    result = tokio::time::timeout(limit.saturating_add(GRACE), work(state)) => result,
                    () = done.closed() => return,
                };
                let late = |_| Err(Trouble::CannotTell("no answer in time".to_owned()));
                // Nobody waits any more when the time was up.
                let _ = done.send(result.unwrap_or_else(late));
            }
            .boxed_local()
        });
        self.works
            .send(work)
            .map_err(|_| cannot_begin(&"its thread has ended"))?;
        waiting.await.unwrap_or_else(|_| {
            Err(Trouble::CannotTell(
                "the check panicked; this is a fault of ours".to_owned(),
            ))
        })
    }
}

fn cannot_begin(why: &dyn fmt::Display) -> Trouble {
    Trouble::CannotTell(format!("no check could be begun: {why}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn work_is_waited_for_no_longer_than_somebody_waits() {
        let limit = Duration::from_millis(200);
        let busy = apart(limit, || async {
            // Without a pause, as a library would be.
            thread::sleep(Duration::from_secs(5));
            Ok(())
        });
        let began = std::time::Instant::now();
        assert!(tokio::time::timeout(limit, busy).await.is_err());
        assert!(began.elapsed() < Duration::from_secs(2));
    }

    #[tokio::test]
    async fn work_that_never_ends_or_panics_has_an_outcome() {
        let ended = apart(
            Duration::from_millis(50),
            std::future::pending::<Result<(), _>>,
        )
        .await;
        assert!(matches!(ended, Err(Trouble::CannotTell(why)) if why.contains("in time")));
        let ended = apart(Duration::from_secs(5), || async {
            if ended_early() {
                panic!("as a test");
            }
            Ok(())
        });
        assert!(matches!(ended.await, Err(Trouble::CannotTell(why)) if why.contains("panicked")));
        let ended = apart(Duration::from_secs(5), || async { Ok(7) }).await;
        assert_eq!(ended.unwrap(), 7);
    }

    #[tokio::test]
    async fn what_is_kept_between_works_is_gone_with_the_thread() {
        let limit = Duration::from_secs(5);
        let thread = Thread::<Option<oneshot::Sender<()>>>::begin().unwrap();
        let (kept, dropped) = oneshot::channel();
        let keep = thread.work(limit, |state| {
            *state = Some(kept);
            std::future::ready(Ok(())).boxed_local()
        });
        keep.await.unwrap();
        let look = thread.work(limit, |state| {
            std::future::ready(Ok(state.is_some())).boxed_local()
        });
        assert!(look.await.unwrap());
        drop(thread);
        let dropped = tokio::time::timeout(limit, dropped).await;
        assert!(dropped.unwrap().is_err());
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_any_more_is_given_up() {
        let thread = Thread::<()>::begin().unwrap();
        let (kept, dropped) = oneshot::channel::<()>();
        let limit = Duration::from_secs(60);
        let endless = thread.work(limit, |()| {
            async move {
                let _kept = kept;
                std::future::pending::<Result<(), Trouble>>().await
            }
            .boxed_local()
        });
        let pause = Duration::from_millis(50);
        assert!(tokio::time::timeout(pause, endless).await.is_err());
        let dropped = tokio::time::timeout(Duration::from_secs(5), dropped).await;
        assert!(dropped.unwrap().is_err());
    }

    fn ended_early() -> bool {
        true
    }
}
