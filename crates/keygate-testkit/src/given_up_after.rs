//! A future that whoever waits for it gives up.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Polls a future so many times and then drops it: `None` is one that was given up.
pub struct GivenUpAfter<T> {
    future: Pin<Box<dyn Future<Output = T> + Send>>,
    polls: usize,
}

impl<T> GivenUpAfter<T> {
    /// A future that is polled so many times at most.
    pub fn polls(polls: usize, future: impl Future<Output = T> + Send + 'static) -> Self {
        Self { future: Box::pin(future), polls }
    }
}

impl<T> Future for GivenUpAfter<T> {
    type Output = Option<T>;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        if self.polls == 0 {
            return Poll::Ready(None);
        }
        self.polls -= 1;
        self.future.as_mut().poll(context).map(Some)
    }
}

impl<T> fmt::Debug for GivenUpAfter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GivenUpAfter").field("polls", &self.polls).finish_non_exhaustive()
    }
}
