//! A request's body with an end, in bytes and in time.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use axum::body::Bytes;
use http_body_util::Limited;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Sleep, sleep};

/// A body that ends in an error when it is too long or takes too long.
pub(super) struct Bounded {
    body: Limited<Incoming>,
    patience: Duration,
    /// Runs from the first time that somebody reads.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Bounded {
    pub(super) fn new(body: Incoming, most: usize, patience: Duration) -> Self {
        Self { body: Limited::new(body, most), patience, deadline: None }
    }
}

impl Body for Bounded {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        let patience = self.patience;
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(deadline.as_mut().poll(cx));
        let late = io::Error::new(io::ErrorKind::TimedOut, "the request's body did not come in time");
        Poll::Ready(Some(Err(late.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
