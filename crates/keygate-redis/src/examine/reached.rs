//! Is the store reached, and how fast?

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use keygate_core::store::Finding;
use redis::RedisError;

use super::ask::{Answer, PATIENCE, Silence, one_line, read};
use super::clock::Reading;
use crate::link::{Bare, in_time};

const CHECK: &str = "store";
/// How often it is asked: enough that one slow answer says nothing.
const ROUNDS: usize = 5;
/// An answer that takes longer than this share of a lease leaves heartbeats, one in each quarter, little time.
const SHARE_OF_LEASE: u32 = 10;

/// How long answers took, and what time the server has.
pub(super) struct Measured {
    round_trip: Duration,
    pub(super) clock: Answer<Reading>,
}

/// Asks for the time, some times.
///
/// # Errors
/// When the server does not answer, or answers that it does not serve.
pub(super) async fn measure(bare: &Bare<'_>) -> Result<Measured, RedisError> {
    let mut trips = Vec::with_capacity(ROUNDS);
    let mut clock: Answer<Reading> = Err(Silence::Unsaid("the time"));
    let mut fastest = Duration::MAX;
    for _ in 0..ROUNDS {
        let (sent_at, sent) = (Utc::now(), Instant::now());
        let answer = in_time(PATIENCE, bare.query(&redis::cmd("TIME"))).await;
        let trip = sent.elapsed();
        trips.push(trip);
        match answer.map_err(|error| (Silence::of("TIME", &error), error)) {
            Ok(value) if trip < fastest => {
                fastest = trip;
                let time = read::<(i64, i64)>("TIME", Some(Ok(value)));
                clock = time.map(|(seconds, micros)| Reading::new(seconds, micros, sent_at, trip));
            }
            Ok(_) => {}
            // An answer all the same.
            Err((silence @ (Silence::Forbidden(_) | Silence::Absent(_)), _)) => clock = Err(silence),
            Err((_, error)) => return Err(error),
        }
    }
    trips.sort_unstable();
    Ok(Measured { round_trip: trips[ROUNDS / 2], clock })
}

impl Measured {
    /// The server's time, or this machine's where the server does not tell its own.
    pub(super) fn now(&self) -> DateTime<Utc> {
        self.clock.as_ref().map_or_else(|_| Utc::now(), Reading::server)
    }

    pub(super) fn judge(&self, name: &str, lease: Duration) -> Finding {
        judge(name, self.round_trip, lease)
    }
}

fn judge(name: &str, round_trip: Duration, lease: Duration) -> Finding {
    let observed = format!("{name} answers in {:.1} ms", round_trip.as_secs_f64() * 1000.0);
    if round_trip <= lease / SHARE_OF_LEASE {
        return Finding::ok(CHECK, observed);
    }
    Finding::warning(
        CHECK,
        format!("{observed}, and heartbeats are sent every {} ms", (lease / 4).as_millis()),
        "put the store nearer to the services, or raise KEYGATE_LEASE_MS",
    )
}

/// It is not reached, for this reason.
pub(super) fn not(name: &str, error: &RedisError) -> Finding {
    let advice = match error.code() {
        Some("NOAUTH" | "WRONGPASS") => "put the user and the password the server asks for into KEYGATE_STORE",
        Some("LOADING") => "wait until it has read its data",
        _ => {
            "see that the server runs and can be reached from here, and that KEYGATE_STORE (--store) names it, with user \
             and password if it asks for them"
        }
    };
    Finding::failure(CHECK, format!("{name} does not serve: {}", one_line(error)), advice)
}

#[cfg(test)]
mod tests {
    use keygate_core::store::Verdict;

    use super::*;

    #[test]
    fn a_slow_store_is_a_warning() {
        let lease = Duration::from_secs(1);
        assert_eq!(judge("a", Duration::from_millis(100), lease).verdict, Verdict::Ok);
        let slow = judge("a", Duration::from_millis(101), lease);
        assert_eq!(slow.verdict, Verdict::Warning);
        assert!(slow.observed.contains("a answers in 101.0 ms"), "{slow:?}");
    }

    #[test]
    fn a_store_that_does_not_serve_is_a_failure_that_names_the_setting() {
        let error = std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into();
        let finding = not("127.0.0.1:6379", &error);
        assert_eq!(finding.verdict, Verdict::Failure);
        assert!(finding.advice.unwrap().contains("KEYGATE_STORE"));
    }
}
