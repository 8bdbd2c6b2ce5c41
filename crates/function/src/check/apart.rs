//! Work on a thread and a runtime of its own.

use std::thread;
use std::time::Duration;

use restore_proof_core::check::Trouble;
use tokio::sync::oneshot;

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
    F: Future<Output = Result<T, Trouble>>,
{
    let cannot = |why: &str| Trouble::CannotTell(why.to_owned());
    let (done, waiting) = oneshot::channel();
    thread::Builder::new()
        .name("check".to_owned())
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| Trouble::CannotTell(format!("no check could be begun: {error}")));
            let result = runtime.and_then(|runtime| {
                let work =
                    async { tokio::time::timeout(limit.saturating_add(GRACE), work()).await };
                let result = runtime.block_on(work);
                runtime.shutdown_background();
                result.unwrap_or_else(|_| Err(cannot("no answer in time")))
            });
            // Nobody waits any more when the time was up.
            let _ = done.send(result);
        })
        .map_err(|error| Trouble::CannotTell(format!("no check could be begun: {error}")))?;
    waiting
        .await
        .unwrap_or_else(|_| Err(cannot("the check panicked; this is a fault of ours")))
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

    fn ended_early() -> bool {
        true
    }
}
