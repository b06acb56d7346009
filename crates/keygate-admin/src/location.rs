//! Where something that was made is shown.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, NestedPath};
use http::HeaderName;
use http::header::LOCATION;
use http::request::Parts;
use keygate_core::key::KeyId;
use keygate_core::names::OrganizationId;

/// The path under which the API was mounted; empty where it stands by itself.
#[derive(Debug)]
pub(crate) struct Mount(String);

/// A header, in the form of a part of a response.
pub(crate) type Location = [(HeaderName, String); 1];

impl Mount {
    /// Where the API begins: `/` where it stands by itself.
    pub(crate) fn begin(&self) -> &str {
        if self.0.is_empty() { "/" } else { &self.0 }
    }

    /// Where this key is shown.
    pub(crate) fn key(&self, id: KeyId) -> Location {
        [(LOCATION, format!("{}/v1/keys/{id}", self.0))]
    }

    /// Where this organization is shown.
    pub(crate) fn organization(&self, id: &OrganizationId) -> Location {
        [(LOCATION, format!("{}/v1/organizations/{id}", self.0))]
    }
}

impl<S: Sync> FromRequestParts<S> for Mount {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let nested = parts.extensions.get::<NestedPath>().map(NestedPath::as_str);
        Ok(Self(nested.unwrap_or_default().trim_end_matches('/').to_owned()))
    }
}
