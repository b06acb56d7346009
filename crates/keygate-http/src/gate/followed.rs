//! An admitted request, until it is answered.

use std::fmt;
use std::thread;

use bytes::Bytes;
use keygate_core::context::{Admission, Recording};
use keygate_core::usage::outcome::Answered;

use crate::deprecation::Deprecation;
use crate::metrics;
use crate::rate_limit::{Fields, policies, standing};

/// An admitted request on its way to its answer: what its response is to tell of limits and of its key, and how it is counted. Made by
/// [`Gate::follow`](super::Gate::follow); an adapter keeps it with the future of the service within.
///
/// Each is counted once, as what it was told last: dropped without a word, because the future it was kept with is dropped, the
/// request is counted as cancelled, and where a panic did that, as a server's error.
#[must_use]
pub struct Followed {
    /// Taken when it is counted.
    recording: Option<Recording>,
    /// What limits there are, where the response is to tell.
    policy: Option<Bytes>,
}

impl Followed {
    pub(super) fn new(admission: &Admission, tells_limits: bool) -> Self {
        let policy = if tells_limits { admission.policies(policies) } else { None };
        Self { recording: Some(admission.recording()), policy }
    }

    /// Whether the response is to tell of limits.
    #[must_use]
    pub fn tells_limits(&self) -> bool {
        self.policy.is_some()
    }

    /// What the response is to tell of limits, as of now: what the service within has charged or given back counts. `None`
    /// where nothing is limited, or responses do not tell of it.
    #[must_use]
    pub fn fields(&mut self) -> Option<Fields> {
        let policy = self.policy.take()?;
        let tightest = self.recording.as_ref()?.tightest_limit()?;
        Some(Fields { policy, standing: standing(&tightest) })
    }

    /// What the response is to tell of the request's key, where that was replaced by another.
    #[must_use]
    pub fn deprecation(&self) -> Option<Deprecation> {
        let recording = self.recording.as_ref()?;
        Some(Deprecation::of_key(recording.key(), recording.superseded()?))
    }

    /// It was answered with this HTTP status.
    pub fn answered(self, status: u16) {
        self.came_to(Answered::of_status(status));
    }

    /// The service within failed and gave no answer, which is a server's error.
    pub fn failed(self) {
        self.came_to(Answered::ServerError);
    }

    /// It came to this.
    pub fn came_to(mut self, answered: Answered) {
        self.count(answered);
    }

    fn count(&mut self, answered: Answered) {
        if let Some(recording) = self.recording.take() {
            metrics::answered(answered);
            recording.came_to(answered);
        }
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        if self.recording.is_some() {
            self.count(if thread::panicking() { Answered::ServerError } else { Answered::Cancelled });
        }
    }
}

impl fmt::Debug for Followed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { recording, policy } = self;
        f.debug_struct("Followed").field("recording", recording).field("policy", policy).finish()
    }
}
