//! Is an instance really told of a change?
//!
//! There are servers and proxies that answer `OK` to `CLIENT TRACKING` and tell nobody. An instance behind one would believe
//! what it read, whatever changed. So something is written over one connection, and must be told on another that tracks;
//! and, as everything rests on that order, before the answer to what is asked there once the write was answered.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use keygate_core::key::Bucket;
use keygate_core::store::Finding;
use redis::{PushInfo, PushKind, RedisError, Value};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::ask::{PATIENCE, Silence, one_line};
use super::writes;
use crate::coherence::Push;
use crate::layout::Layout;
use crate::link::{Bare, Server, in_time, is_refusal};
use crate::scripts;

const CHECK: &str = "tracking";
const COMMAND: &str = "CLIENT TRACKING";
/// How long word may take that comes too late.
const LATEST: Duration = Duration::from_secs(1);
/// How long the canary stays if it cannot be taken away again.
const STAYS_MILLIS: u64 = 5000;
const CONNECT_STRAIGHT: &str = "let keygate connect to Redis itself: over what is in between, a revoked key is accepted \
                                for as long as it is kept";
const TIME_BOUND: &str =
    "so what instances read is believed for the length of a lease (KEYGATE_LEASE_MS), whatever changes";

/// Writes, and says whether that is possible and whether it was told. Without a server to connect to, over a pool, nobody
/// can be told.
pub(super) async fn fly(layout: &Layout, server: Option<&Server>, bare: &Bare<'_>, bucket: Bucket) -> [Finding; 2] {
    let mut nonce = [0; 8];
    if let Err(error) = getrandom::fill(&mut nonce) {
        let observed = format!("the operating system gave no random bytes: {error}");
        return [
            Finding::unknown("writes", observed.clone(), "mend that"),
            Finding::unknown(CHECK, observed, "mend that"),
        ];
    }
    let name = layout.canary(bucket, u64::from_be_bytes(nonce));
    let ear = match server {
        Some(server) => Ear::open(server, layout, &name).await,
        None => Err(over_a_pool()),
    };
    let sent = Instant::now();
    let call = scripts::CANARY.call(vec![name.clone()]).arg(STAYS_MILLIS);
    let written = in_time(PATIENCE, bare.run(&call)).await;
    let told = match (ear, &written) {
        (Err(finding), _) => finding,
        (Ok(ear), Ok(_)) => ear.listen(sent).await,
        (Ok(_), Err(_)) => Finding::unknown(
            CHECK,
            "the server tracks; nothing could be written, so whether it tells is not known",
            "see that it takes writes first",
        ),
    };
    if written.is_ok() {
        // What stays is gone in a moment.
        let _ = in_time(PATIENCE, bare.query(redis::cmd("DEL").arg(&name))).await;
    }
    [writes::judge(&written), told]
}

/// A connection that is to be told.
struct Ear {
    connection: Bare<'static>,
    heard: Arc<Heard>,
}

/// When the canary was told of.
#[derive(Default)]
struct Heard {
    at: OnceLock<Instant>,
    come: Notify,
}

impl Ear {
    /// The error is what is to be said of a server that does not track.
    async fn open(server: &Server, layout: &Layout, name: &str) -> Result<Self, Finding> {
        let heard = Arc::new(Heard::default());
        let opened = match server.open_told(hears(Arc::clone(&heard), name)).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(refusal)) => return Err(untracked("HELLO 3", &refusal)),
            Err(error) => return Err(lost(&error)),
        };
        let mut track = redis::cmd("CLIENT");
        track.arg("TRACKING").arg("ON").arg("BCAST");
        for prefix in layout.told_prefixes() {
            track.arg("PREFIX").arg(prefix);
        }
        match in_time(PATIENCE, opened.query(&track)).await {
            Ok(_) => Ok(Self { connection: opened, heard }),
            Err(refusal) if is_refusal(&refusal) => Err(untracked(COMMAND, &refusal)),
            Err(error) => Err(lost(&error)),
        }
    }

    /// Whether word comes of what was sent to be written then.
    async fn listen(self, sent: Instant) -> Finding {
        // The write was answered, so word of it is to come before this answer.
        if let Err(error) = in_time(PATIENCE, self.connection.query(&redis::cmd("PING"))).await {
            return lost(&error);
        }
        let is_in_time = self.heard.at.get().is_some();
        if !is_in_time {
            // An end is no word.
            let _ = timeout(LATEST, self.heard.come.notified()).await;
        }
        judge(self.heard.at.get().map(|at| at.duration_since(sent)), is_in_time)
    }
}

fn judge(told_after: Option<Duration>, is_in_time: bool) -> Finding {
    match told_after {
        Some(after) if is_in_time => {
            Finding::ok(CHECK, format!("a change was told {:.1} ms after it was sent", after.as_secs_f64() * 1000.0))
        }
        Some(after) => Finding::failure(
            CHECK,
            format!(
                "a change was told after {:.1} ms, and later than the answer to what was asked after it: instances would \
                 take the answer for a word that nothing had changed",
                after.as_secs_f64() * 1000.0
            ),
            CONNECT_STRAIGHT,
        ),
        None => Finding::failure(
            CHECK,
            format!("the server answers OK to {COMMAND}, and told nothing of a change within {} s", LATEST.as_secs()),
            CONNECT_STRAIGHT,
        ),
    }
}

fn hears(heard: Arc<Heard>, name: &str) -> Push {
    let name = name.as_bytes().to_vec();
    Box::new(move |message| {
        if names(&message, &name) {
            heard.at.get_or_init(Instant::now);
            heard.come.notify_one();
        }
        Ok(())
    })
}

/// Whether this is word of a change of that name.
fn names(message: &PushInfo, name: &[u8]) -> bool {
    let is_name = |told: &Value| match told {
        Value::BulkString(told) => told == name,
        Value::SimpleString(told) => told.as_bytes() == name,
        _ => false,
    };
    let has_name = |part: &Value| matches!(part, Value::Array(told) if told.iter().any(is_name));
    message.kind == PushKind::Invalidate && message.data.iter().any(has_name)
}

fn untracked(command: &'static str, refusal: &RedisError) -> Finding {
    match Silence::of(command, refusal) {
        silence @ Silence::Forbidden(_) => {
            Finding::unknown(CHECK, format!("{silence}, {TIME_BOUND}"), silence.advice())
        }
        _ => Finding::warning(
            CHECK,
            format!("the server does not track ({}), {TIME_BOUND}", one_line(refusal)),
            "use Redis 6.2 or later without a proxy in between, or live with that bound",
        ),
    }
}

fn over_a_pool() -> Finding {
    Finding::warning(
        CHECK,
        format!("nobody can be told over a caller's pool, {TIME_BOUND}"),
        "let keygate make its own connection (RedisStore::connect), or live with that bound",
    )
}

fn lost(error: &RedisError) -> Finding {
    let observed = format!("whether the server tells of changes is not known: {}", one_line(error));
    Finding::unknown(CHECK, observed, "try again; if it stays so, see the server's log")
}

#[cfg(test)]
mod tests {
    use keygate_core::store::Verdict;

    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn word_of_the_canary_alone_counts() {
        let heard = Arc::new(Heard::default());
        let push = hears(Arc::clone(&heard), "canary");
        let told = |kind: PushKind, data: Vec<Value>| push(PushInfo { kind, data }).unwrap();
        told(PushKind::Invalidate, vec![Value::Array(vec![text("other")])]);
        told(PushKind::Invalidate, vec![Value::Nil]);
        told(PushKind::Message, vec![Value::Array(vec![text("canary")])]);
        assert!(heard.at.get().is_none());
        told(PushKind::Invalidate, vec![Value::Array(vec![text("other"), text("canary")])]);
        assert!(heard.at.get().is_some());
    }

    #[test]
    fn word_that_comes_late_or_never_is_a_failure() {
        let after = Some(Duration::from_millis(3));
        assert_eq!(judge(after, true).verdict, Verdict::Ok);
        assert_eq!(judge(after, false).verdict, Verdict::Failure);
        assert_eq!(judge(None, false).verdict, Verdict::Failure);
    }

    #[test]
    fn a_server_that_may_not_track_is_unknown_and_one_that_cannot_a_warning() {
        let refusal = |text: &str| -> RedisError {
            redis::parse_redis_value(format!("-{text}\r\n").as_bytes()).unwrap().extract_error().unwrap_err()
        };
        let forbidden = untracked(COMMAND, &refusal("NOPERM this user has no permissions"));
        assert_eq!(forbidden.verdict, Verdict::Unknown);
        assert!(forbidden.advice.unwrap().contains("+client|tracking"));
        assert_eq!(untracked(COMMAND, &refusal("ERR unknown command 'CLIENT'")).verdict, Verdict::Warning);
        assert_eq!(untracked("HELLO 3", &refusal("NOPROTO unsupported protocol version")).verdict, Verdict::Warning);
    }
}
