use http::Response;
use keygate_core::usage::outcome::Answered;
use keygate_http::gate::Followed;

use crate::grpc::answered;
use crate::{deprecation, rate_limit};

/// An admitted request that the service within has now. Dropped, it is counted as cancelled.
pub(super) struct Underway {
    followed: Followed,
    is_grpc: bool,
}

impl Underway {
    pub(super) fn new(followed: Followed, is_grpc: bool) -> Self {
        Self { followed, is_grpc }
    }

    /// Counts what the service within answered, and has the response tell of limits, as they are now, since it may have
    /// charged the request something else, and of a key that was rotated.
    pub(super) fn end<B, E>(self, result: &mut Result<Response<B>, E>) {
        let Self { mut followed, is_grpc } = self;
        let Ok(response) = result else { return followed.failed() };
        rate_limit::tell(&mut followed, response.headers_mut());
        deprecation::tell(&followed, response.headers_mut());
        let by_status = || Answered::of_status(response.status().as_u16());
        let by_grpc = if is_grpc { answered(response.headers()) } else { None };
        followed.came_to(by_grpc.unwrap_or_else(by_status));
    }
}
