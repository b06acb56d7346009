//! What becomes of a notice by what a receiver answered. Nothing of the answer is told but its status.

use std::time::{Duration, SystemTime};

use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use keygate_core::notice::NotTaken;

/// Whether it was taken.
pub(crate) fn verdict(status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Result<(), NotTaken> {
    if status.is_success() {
        return Ok(());
    }
    let answered = format!("the webhook answered {}", status.as_u16());
    Err(match status {
        StatusCode::GONE => NotTaken::gone(format!("{answered}: it wants nothing any more")),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => match pause(headers, now) {
            Some(pause) => NotTaken::for_at_least(answered, pause),
            None => NotTaken::for_now(answered),
        },
        status if status.is_redirection() => NotTaken::for_now(format!("{answered}: redirects are not followed")),
        _ => NotTaken::for_now(answered),
    })
}

/// How long the receiver wants to be left alone: `Retry-After`, in seconds or as a date (RFC 9110, section 10.2.3).
fn pause(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are longer than anybody waits.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    httpdate::parse_http_date(value).ok()?.duration_since(now).ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const NOW: Duration = Duration::from_secs(1_700_000_000);

    fn of(status: u16, retry_after: Option<&str>) -> Result<(), NotTaken> {
        let mut headers = HeaderMap::new();
        headers.extend(retry_after.map(|value| (RETRY_AFTER, HeaderValue::from_str(value).unwrap())));
        verdict(StatusCode::from_u16(status).unwrap(), &headers, SystemTime::UNIX_EPOCH + NOW)
    }

    #[test]
    fn every_status_is_one_of_these() {
        for status in 100..=999 {
            let verdict = of(status, None);
            let answered = format!("the webhook answered {status}");
            match status {
                200..=299 => assert_eq!(verdict, Ok(())),
                410 => assert!(verdict.unwrap_err().is_gone()),
                300..=399 => {
                    assert_eq!(verdict, Err(NotTaken::for_now(format!("{answered}: redirects are not followed"))));
                }
                _ => assert_eq!(verdict, Err(NotTaken::for_now(answered))),
            }
        }
    }

    #[test]
    fn a_busy_receiver_is_left_alone_for_as_long_as_it_asks() {
        let at_least = |status, pause| NotTaken::for_at_least(format!("the webhook answered {status}"), pause);
        for status in [429, 503] {
            for (value, pause) in [
                ("120", Some(Duration::from_secs(120))),
                ("0", Some(Duration::ZERO)),
                (" 7 ", Some(Duration::from_secs(7))),
                ("99999999999999999999999999", Some(Duration::from_secs(u64::MAX))),
                ("Tue, 14 Nov 2023 22:14:50 GMT", Some(Duration::from_secs(90))),
                ("Tuesday, 14-Nov-23 22:14:50 GMT", Some(Duration::from_secs(90))),
                ("Tue, 14 Nov 2023 22:13:19 GMT", None),
                ("-5", None),
                ("1.5", None),
                ("soon", None),
                ("", None),
            ] {
                let expected = match pause {
                    Some(pause) => at_least(status, pause),
                    None => NotTaken::for_now(format!("the webhook answered {status}")),
                };
                assert_eq!(of(status, Some(value)), Err(expected), "{value:?}");
            }
        }
        assert_eq!(of(500, Some("120")), Err(NotTaken::for_now("the webhook answered 500")));
    }
}
