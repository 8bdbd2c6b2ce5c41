//! Streams that are read so far and no further.

use std::fmt::Display;
use std::io;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use restore_proof_core::check::Trouble;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// The longest that connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How much may still be read, bytes.
#[derive(Debug)]
pub(super) struct Budget(Mutex<Left>);

#[derive(Debug)]
struct Left {
    bytes: usize,
    /// Whether that is the last of it. Until then a reader waits for more.
    is_last: bool,
    /// Whether more came than that.
    is_exceeded: bool,
    /// How many were read in all.
    read: usize,
    waiting: Option<Waker>,
}

impl Budget {
    /// So many bytes and no more.
    pub(super) fn new(bytes: usize) -> Budget {
        Budget::of(bytes, true)
    }

    /// So many bytes until there is more.
    pub(super) fn first(bytes: usize) -> Budget {
        Budget::of(bytes, false)
    }

    fn of(bytes: usize, is_last: bool) -> Budget {
        Budget(Mutex::new(Left {
            bytes,
            is_last,
            is_exceeded: false,
            read: 0,
            waiting: None,
        }))
    }

    /// Begins anew with so many bytes and no more.
    pub(super) fn renew(&self, bytes: usize) {
        self.renew_as(bytes, true);
    }

    /// Begins anew with so many bytes until there is more.
    pub(super) fn renew_first(&self, bytes: usize) {
        self.renew_as(bytes, false);
    }

    fn renew_as(&self, bytes: usize, is_last: bool) {
        let mut left = self.left();
        left.bytes = bytes;
        left.is_last = is_last;
        left.wake();
    }

    /// Lets so many more be read, the last.
    pub(super) fn add_last(&self, bytes: usize) {
        let mut left = self.left();
        left.bytes += bytes;
        left.is_last = true;
        left.wake();
    }

    /// How many bytes were read in all, since the first.
    pub(super) fn read_so_far(&self) -> usize {
        self.left().read
    }

    /// Whether more came than the last of it.
    pub(super) fn is_exceeded(&self) -> bool {
        self.left().is_exceeded
    }

    fn left(&self) -> MutexGuard<'_, Left> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Left {
    fn wake(&mut self) {
        if let Some(reader) = self.waiting.take() {
            reader.wake();
        }
    }
}

/// A stream that fails once more came than its budget.
#[derive(Debug)]
pub(super) struct Bounded<S> {
    pub(super) stream: S,
    pub(super) budget: Arc<Budget>,
}

impl Bounded<TcpStream> {
    /// Connects to a host's port.
    pub(super) async fn connect(
        (host, port): &(String, u16),
        limit: Duration,
        budget: &Arc<Budget>,
    ) -> Result<Bounded<TcpStream>, Trouble> {
        let connecting = TcpStream::connect((host.as_str(), *port));
        let stream = tokio::time::timeout(CONNECT_TIMEOUT.min(limit), connecting)
            .await
            .map_err(|_| cannot_connect("connection timed out"))?
            .map_err(cannot_connect)?;
        stream.set_nodelay(true).map_err(cannot_connect)?;
        Ok(Bounded {
            stream,
            budget: Arc::clone(budget),
        })
    }

    /// A port of this machine that leads to the stream, for a client that makes its own connections. It takes one, and is
    /// gone with the runtime.
    pub(super) async fn lend(mut self) -> Result<u16, Trouble> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(cannot_connect)?;
        let port = listener.local_addr().map_err(cannot_connect)?.port();
        tokio::spawn(async move {
            let Ok((mut client, _)) = listener.accept().await else {
                return;
            };
            drop(listener);
            let _ = client.set_nodelay(true);
            // However it ends, the client sees its connection closed.
            let _ = tokio::io::copy_bidirectional(&mut client, &mut self).await;
        });
        Ok(port)
    }
}

fn cannot_connect(why: impl Display) -> Trouble {
    Trouble::CannotTell(format!("error connecting to server: {why}"))
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let mut left = this.budget.left();
        if left.bytes == 0 && !left.is_last {
            left.waiting = Some(cx.waker().clone());
            return Poll::Pending;
        }
        // Whether there is a byte more is to be known at the end.
        let most = left.bytes.saturating_add(usize::from(left.is_last));
        let most = most.min(into.remaining());
        let mut part = ReadBuf::new(into.initialize_unfilled_to(most));
        ready!(Pin::new(&mut this.stream).poll_read(cx, &mut part))?;
        let read = part.filled().len();
        match left.bytes.checked_sub(read) {
            Some(rest) => {
                left.bytes = rest;
                left.read += read;
                into.advance(read);
                Poll::Ready(Ok(()))
            }
            None => {
                left.is_exceeded = true;
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

    #[tokio::test]
    async fn a_budget_that_is_renewed_counts_on() {
        let budget = Arc::new(Budget::new(100));
        let mut stream = Bounded {
            stream: &*vec![7; 300],
            budget: Arc::clone(&budget),
        };
        for rounds in 1..=2 {
            stream.read_exact(&mut [0; 100]).await.unwrap();
            assert_eq!(budget.read_so_far(), rounds * 100);
            budget.renew(100);
        }
        stream.read_exact(&mut [0; 100]).await.unwrap();
        budget.renew(0);
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
        assert!(!budget.is_exceeded());
    }

    #[tokio::test]
    async fn more_than_the_first_waits_until_there_is_more() {
        let budget = Arc::new(Budget::first(100));
        let mut stream = Bounded {
            stream: &*vec![7; 300],
            budget: Arc::clone(&budget),
        };
        let mut read = Vec::new();
        let waiting = stream.read_to_end(&mut read);
        tokio::pin!(waiting);
        let pause = Duration::from_millis(50);
        assert!(tokio::time::timeout(pause, &mut waiting).await.is_err());
        assert!(!budget.is_exceeded());
        budget.add_last(200);
        assert_eq!(waiting.await.unwrap(), 300);
        assert!(!budget.is_exceeded());
    }
}
