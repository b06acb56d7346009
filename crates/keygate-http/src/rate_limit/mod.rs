//! What clients are told of limits: the header fields `RateLimit-Policy` and `RateLimit`.
//!
//! They are those of draft-ietf-httpapi-ratelimit-headers, in the syntax of structured fields (RFC 9651):
//!
//! ```text
//! RateLimit-Policy: "minute";q=1000;w=60, "organization-day";q=100000;w=86400
//! RateLimit: "minute";r=412;t=17
//! ```
//!
//! The first says which limits there are: their names, how much each lets in (`q`) and in how many seconds (`w`). It is the
//! same for all requests of a key, and written once. The second says what is left (`r`), and in how many seconds all of it
//! is there again (`t`): of the limit of which least is left where a request was let in, and of each limit that had no room
//! where it was not. So a client that waits for `t` is not early; nor is one that waits for `Retry-After`, which is never
//! the earlier of the two. A request that costs more than a limit is never let in, whatever it waits for, and is told
//! neither.
//!
//! What is left of a limit is what one instance knows of it: others may have used some of it since.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//! use keygate_core::limiter::policy::{Bound, Level, Policy, Standing};
//! use keygate_http::rate_limit;
//!
//! let minute = Policy { level: Level::Key, bound: Bound::Minute, limit: 1_000, seconds: 60 };
//! let day = Policy { level: Level::Organization, bound: Bound::Day, limit: 100_000, seconds: 86_400 };
//! let field = rate_limit::policies(&[minute, day]);
//! assert_eq!(field, r#""minute";q=1000;w=60, "organization-day";q=100000;w=86400"#);
//!
//! let standing = Standing { policy: minute, remaining: 412, reset: Duration::from_millis(16_200) };
//! assert_eq!(rate_limit::standing(&standing), r#""minute";r=412;t=17"#);
//! ```

mod field;
mod fields;

pub use field::{policies, standing};
pub(crate) use field::{reset, seconds, violated};
pub use fields::Fields;

/// The name of the field that says which limits there are, in lower case.
pub const RATE_LIMIT_POLICY: &str = "ratelimit-policy";
/// The name of the field that says what is left of one, in lower case.
pub const RATE_LIMIT: &str = "ratelimit";
