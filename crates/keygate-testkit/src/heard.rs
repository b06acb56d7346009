//! Who hears all notices, for tests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use keygate_core::notice::{HandedKey, NotTaken, Notice, NoticeId, NoticeKind, Notifier};

type Answer = dyn Fn(&Notice) -> Result<(), NotTaken> + Send + Sync;

/// A notifier that keeps what it is brought. Cheap to clone: clones keep together.
#[derive(Clone)]
pub struct Heard {
    state: Arc<Mutex<State>>,
    answer: Arc<Answer>,
    takes_keys: bool,
}

#[derive(Default)]
struct State {
    taken: Vec<Notice>,
    refused: Vec<Notice>,
    keys: Vec<HandedKey>,
}

impl std::fmt::Debug for Heard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Heard").finish_non_exhaustive()
    }
}

impl Default for Heard {
    fn default() -> Self {
        Self::new()
    }
}

impl Heard {
    /// One who takes everything but keys.
    #[must_use]
    pub fn new() -> Self {
        Self::answering(|_| Ok(()))
    }

    /// One who answers as `answer` does.
    pub fn answering(answer: impl Fn(&Notice) -> Result<(), NotTaken> + Send + Sync + 'static) -> Self {
        Self { state: Arc::default(), answer: Arc::new(answer), takes_keys: false }
    }

    /// The same, who takes the texts of keys too.
    #[must_use]
    pub fn taking_keys(self) -> Self {
        Self { takes_keys: true, ..self }
    }

    fn state<T>(&self, with: impl FnOnce(&mut State) -> T) -> T {
        with(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// All that it has taken, in the order in which it came.
    #[must_use]
    pub fn taken(&self) -> Vec<Notice> {
        self.state(|state| state.taken.clone())
    }

    /// What kinds of notices it has taken, in the order in which they came.
    #[must_use]
    pub fn kinds(&self) -> Vec<NoticeKind> {
        self.taken().iter().map(Notice::kind).collect()
    }

    /// All that it has not taken, in the order in which it came.
    #[must_use]
    pub fn refused(&self) -> Vec<Notice> {
        self.state(|state| state.refused.clone())
    }

    /// The texts of keys that it has taken.
    #[must_use]
    pub fn keys(&self) -> Vec<HandedKey> {
        self.state(|state| state.keys.clone())
    }

    /// How often each notice was brought, by its id.
    #[must_use]
    pub fn by_id(&self) -> BTreeMap<NoticeId, (Notice, usize)> {
        let mut by_id = BTreeMap::new();
        for notice in self.taken() {
            by_id.entry(notice.id).or_insert((notice, 0)).1 += 1;
        }
        by_id
    }

    /// Forgets what it has heard.
    pub fn forget(&self) {
        self.state(|state| *state = State::default());
    }
}

#[async_trait]
impl Notifier for Heard {
    fn name(&self) -> &str {
        "heard"
    }

    async fn notify(&self, notice: &Notice) -> Result<(), NotTaken> {
        let answer = (self.answer)(notice);
        self.state(|state| if answer.is_ok() { &mut state.taken } else { &mut state.refused }.push(notice.clone()));
        answer
    }

    fn takes_keys(&self) -> bool {
        self.takes_keys
    }

    async fn take_key(&self, handed: &HandedKey) -> Result<(), NotTaken> {
        if !self.takes_keys {
            return Err(NotTaken::for_good("it takes no keys"));
        }
        self.state(|state| state.keys.push(handed.clone()));
        Ok(())
    }
}
