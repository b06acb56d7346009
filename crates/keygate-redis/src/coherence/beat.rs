//! Heartbeats.

use std::sync::Arc;
use std::time::Duration;

use keygate_core::clock::Tick;
use keygate_core::coherence::Lease;
use keygate_core::key::Bucket;
use redis::{RedisError, Value};

use super::audience::Audience;
use super::session::{Session, Standing, Telling};
use crate::link::Call;
use crate::scripts;

/// A heartbeat that is about to be sent.
#[derive(Debug)]
pub(crate) struct Beat {
    call: Call,
    /// What it extends. One that takes its place meanwhile is extended by the next: it may be believed on other terms.
    lease: Arc<Lease>,
    sent: Tick,
}

/// What an error says of the server.
#[derive(Debug, PartialEq, Eq)]
enum Trouble {
    /// It is none to write to, or is not reached.
    Gone,
    /// It has too few replicas, or too few of its Cluster's primaries: they may be where another primary is.
    CutOff,
    /// It does not take this now.
    Refused,
}

impl Beat {
    /// The next of a session, to be sent at once, and after the one before was answered.
    pub(crate) fn new(audience: &Audience, session: &Session, registry: Bucket) -> Self {
        // The lease before the bound, so that the lease that a new watcher begins is not extended on the terms before it.
        let lease = session.lease();
        let bound = millis(audience.bound(session.telling()));
        let is_told = u8::from(session.telling() == Telling::Told);
        let said = [&session.next_beat().to_be_bytes()[..], &bound.to_be_bytes(), &[is_told]].concat();
        let layout = &audience.layout;
        let call = scripts::BEAT
            .call(vec![layout.instances_until(registry), layout.instances_beats(registry)])
            .arg(&session.id[..])
            .arg(said)
            .arg(waited_for(bound))
            .arg(bound)
            .arg(millis(audience.terms().max_staleness));
        Self { call, lease, sent: Tick::now() }
    }

    pub(crate) fn call(&self) -> &Call {
        &self.call
    }

    /// Does what its answer allows.
    ///
    /// # Errors
    /// When the connection is to be given up, for this reason.
    pub(crate) fn answered(
        self,
        audience: &Audience,
        session: &Session,
        answer: Result<Value, RedisError>,
    ) -> Result<(), RedisError> {
        match answer.and_then(Said::read) {
            Ok(said) if said.word == "registered" => {
                session.registered();
                session.counted(said.instances);
                self.lease.extend(self.sent.after(audience.terms().lease));
                session.set_cut_off(false);
                if session.stands(Standing::Registered) {
                    tracing::debug!("heartbeats are answered");
                }
                Ok(())
            }
            Ok(Said { maximum, instances, .. }) => {
                session.set_cut_off(false);
                session.counted(instances);
                if session.stands(Standing::Above) {
                    let bound = millis(audience.bound(session.telling()));
                    tracing::error!(
                        bound_ms = bound,
                        maximum_ms = maximum,
                        "this instance would believe what it read for longer than the deployment allows, so it reads \
                         the store for every request: lower KEYGATE_LEASE_MS here, or raise KEYGATE_MAX_STALENESS_MS \
                         everywhere"
                    );
                }
                Ok(())
            }
            Err(error) => match Trouble::of(&error) {
                Trouble::Gone => Err(error),
                Trouble::CutOff => {
                    session.set_cut_off(true);
                    if session.stands(Standing::CutOff) {
                        tracing::error!(%error, "the primary may be cut off from others; it is not believed");
                    }
                    Ok(())
                }
                Trouble::Refused => {
                    session.set_cut_off(false);
                    if session.stands(Standing::Refused) {
                        tracing::error!(%error, "heartbeats are refused, so every request reads the store");
                    }
                    Ok(())
                }
            },
        }
    }
}

/// What a heartbeat is answered.
struct Said {
    word: String,
    maximum: String,
    /// 0 where it is not said.
    instances: u64,
}

impl Said {
    fn read(answer: Value) -> Result<Self, RedisError> {
        let mut parts = redis::from_redis_value::<Vec<Value>>(answer)?.into_iter();
        let mut next = || parts.next().unwrap_or(Value::Nil);
        let (word, maximum) = (redis::from_redis_value(next())?, redis::from_redis_value(next())?);
        Ok(Self { word, maximum, instances: redis::from_redis_value(next()).unwrap_or_default() })
    }
}

impl Trouble {
    fn of(error: &RedisError) -> Self {
        // Older servers say in a script's error what was refused inside of it.
        let says = |word| error.code() == Some(word) || error.detail().is_some_and(|detail| detail.contains(word));
        if error.is_unrecoverable_error() || error.is_io_error() {
            Self::Gone
        } else if says("NOREPLICAS") || says("CLUSTERDOWN") {
            // Not gone: in a Cluster the others say so too until a lost primary is replaced, and nothing is missed here.
            Self::CutOff
        } else if ["READONLY", "MASTERDOWN", "LOADING", "NOAUTH"].into_iter().any(says) {
            Self::Gone
        } else {
            Self::Refused
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// How long an instance may have to be waited for that believes for so long after its last heartbeat: clocks' rates
/// differ by 200 ppm, and the server's clock is read to the millisecond, twice.
fn waited_for(bound: u64) -> u64 {
    bound.saturating_add(2).saturating_add(bound.div_ceil(5000))
}

#[cfg(test)]
mod tests {
    use redis::ErrorKind;

    use super::*;

    #[test]
    fn what_an_error_says_of_the_server() {
        let said = |code: &str, detail: &str| -> RedisError {
            let text = format!("-{code} {detail}\r\n");
            redis::parse_redis_value(text.as_bytes()).unwrap().extract_error().unwrap_err()
        };
        for (code, detail, expected) in [
            ("NOREPLICAS", "Not enough good replicas to write. script: f, on @user_script:1.", Trouble::CutOff),
            ("ERR", "Error running script: @user_script: 1: -NOREPLICAS Not enough good replicas", Trouble::CutOff),
            ("CLUSTERDOWN", "The cluster is down", Trouble::CutOff),
            ("READONLY", "You can't write against a read only replica.", Trouble::Gone),
            ("ERR", "Error running script: @user_script: 1: -READONLY You can't write", Trouble::Gone),
            ("MASTERDOWN", "Link with MASTER is down", Trouble::Gone),
            ("LOADING", "Redis is loading the dataset in memory", Trouble::Gone),
            ("NOAUTH", "Authentication required.", Trouble::Gone),
            ("MISCONF", "Redis is configured to save RDB snapshots", Trouble::Refused),
            ("OOM", "command not allowed when used memory > 'maxmemory'.", Trouble::Refused),
            ("NOPERM", "this user has no permissions", Trouble::Refused),
            ("BUSY", "Redis is busy running a script.", Trouble::Refused),
        ] {
            assert_eq!(Trouble::of(&said(code, detail)), expected, "{code} {detail}");
        }
        assert_eq!(Trouble::of(&std::io::Error::from(std::io::ErrorKind::TimedOut).into()), Trouble::Gone);
        assert_eq!(Trouble::of(&(ErrorKind::UnexpectedReturnType, "odd").into()), Trouble::Refused);
    }

    #[test]
    fn an_answer_is_read_also_where_it_does_not_say_how_many_there_are() {
        let (word, maximum) = (Value::BulkString(b"registered".into()), Value::BulkString(b"5000".into()));
        let instances = |parts: &[&Value]| {
            Said::read(Value::Array(parts.iter().map(|part| (*part).clone()).collect())).map(|said| said.instances)
        };
        assert_eq!(instances(&[&word, &maximum, &Value::Int(3)]).unwrap(), 3);
        for odd in [&[&word, &maximum][..], &[&word, &maximum, &Value::Nil], &[&word, &maximum, &word]] {
            assert_eq!(instances(odd).unwrap(), 0);
        }
        assert!(instances(&[&word]).is_err() && Said::read(Value::Okay).is_err());
    }

    #[test]
    fn who_believes_for_so_long_is_waited_for_a_little_longer() {
        assert_eq!(millis(Duration::from_nanos(1_000_001)), 2);
        assert_eq!(waited_for(1000), 1003);
        assert_eq!(waited_for(60_000), 60_014);
    }
}
