//! Streams that are read so far and no further.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much may still be read, bytes.
#[derive(Debug)]
pub(super) struct Budget {
    left: AtomicUsize,
    is_exceeded: AtomicBool,
}

impl Budget {
    /// So many bytes.
    pub(super) fn new(bytes: usize) -> Budget {
        Budget {
            left: AtomicUsize::new(bytes),
            is_exceeded: AtomicBool::new(false),
        }
    }

    /// Whether more came than that.
    pub(super) fn is_exceeded(&self) -> bool {
        self.is_exceeded.load(Ordering::Relaxed)
    }
}

/// A stream that fails once more was read from it than its budget.
#[derive(Debug)]
pub(super) struct Bounded<S> {
    pub(super) stream: S,
    pub(super) budget: Arc<Budget>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, into))?;
        let read = into.filled().len() - before;
        // One stream has one reader.
        let left = self.budget.left.load(Ordering::Relaxed);
        match left.checked_sub(read) {
            Some(left) => {
                self.budget.left.store(left, Ordering::Relaxed);
                Poll::Ready(Ok(()))
            }
            None => {
                self.budget.is_exceeded.store(true, Ordering::Relaxed);
                // With an error nothing was read, as the trait wishes.
                into.set_filled(before);
                Poll::Ready(Err(io::Error::other("more was sent than is read")))
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn as_much_as_the_budget_is_read_and_no_more() {
        for (length, is_exceeded) in [(99, false), (100, false), (101, true)] {
            let budget = Arc::new(Budget::new(100));
            let mut stream = Bounded {
                stream: &*vec![7; length],
                budget: Arc::clone(&budget),
            };
            let mut read = Vec::new();
            let ended = stream.read_to_end(&mut read).await;
            assert_eq!(ended.is_err(), is_exceeded, "{length}");
            assert_eq!(budget.is_exceeded(), is_exceeded, "{length}");
        }
    }
}
