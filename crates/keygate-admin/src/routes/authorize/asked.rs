//! What a proxy asks for in the query of its call.

use std::borrow::Cow;

use http::HeaderMap;
use keygate_core::context::RequestContext;
use keygate_core::names::Environment;
use keygate_core::scope::Scope;
use percent_encoding::percent_decode_str;

use crate::cost::Cost;

/// The parameters there are. A proxy's configuration writes them, so one that is misspelled must not go unseen: a guard
/// that needs no scope lets everybody in who has a key.
const NAMES: [&str; 5] = ["scope", "permission", "environment", "cost", "nginx"];
/// In which proxies say what the client asked them for.
const ORIGINAL_URIS: [&str; 2] = ["x-forwarded-uri", "x-original-uri"];

/// What a proxy asks for.
#[derive(Debug)]
pub(super) struct Asked {
    /// What the key must be good for; or what is wrong with the proxy's configuration, in a sentence that repeats
    /// nothing of the request.
    pub(super) context: Result<RequestContext, String>,
    /// Whether only statuses that nginx's `auth_request` understands may be answered.
    pub(super) for_nginx: bool,
}

impl Asked {
    /// Any key of the server's own environment.
    pub(super) fn nothing() -> Self {
        Self { context: Ok(RequestContext::new()), for_nginx: false }
    }

    /// Reads the query of the call; `headers` are those that came with it.
    pub(super) fn read(query: Option<&str>, headers: &HeaderMap) -> Self {
        let Some(query) = query.filter(|query| !query.is_empty()) else { return Self::nothing() };
        let mut values = Values::default();
        let mut read = Ok(());
        // All of it, whatever is wrong before: whether it is nginx that asks must be known for the answer to that.
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let taken = values.take(pair);
            read = read.and(taken);
        }
        let for_nginx = values.of("nginx").is_some_and(|value| value == "1");
        let context = read.and_then(|()| values.context()).and_then(|context| {
            // Where a proxy's configuration names no query of its own, some pass the client's on. Most of what stands in
            // one is refused above; what is not must not loosen what is asked for.
            let loosens = values.of("environment").is_some() || values.of("cost").is_some();
            if loosens && is_clients_query(query, headers) {
                return Err("The query is the one of the client's request. The proxy must send one of its own, or an \
                            empty one: end the address it calls with a question mark."
                    .to_owned());
            }
            Ok(context)
        });
        Self { context, for_nginx }
    }

    /// Reads nothing from a query that is the client's, but refuses one that may be the proxy's, come to a wrong path.
    pub(super) fn read_none(query: Option<&str>) -> Self {
        let names =
            query.unwrap_or_default().split('&').map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name));
        let context = if names.into_iter().any(|name| NAMES.contains(&name)) {
            Err("The query of /v1/authorize/ is the client's and says nothing; what a key must be good for is told to \
                 /v1/authorize, without a slash at its end."
                .to_owned())
        } else {
            Ok(RequestContext::new())
        };
        Self { context, for_nginx: false }
    }
}

/// Whether the client's request had this very query.
fn is_clients_query(query: &str, headers: &HeaderMap) -> bool {
    let mut uris = ORIGINAL_URIS.iter().flat_map(|name| headers.get_all(*name));
    uris.any(|uri| {
        let mut parts = uri.as_bytes().splitn(2, |byte| *byte == b'?');
        parts.nth(1).is_some_and(|theirs| theirs == query.as_bytes())
    })
}

/// The values of the parameters, each at the place of its name.
#[derive(Default)]
struct Values<'a>([Option<Cow<'a, str>>; NAMES.len()]);

impl<'a> Values<'a> {
    fn take(&mut self, pair: &'a str) -> Result<(), String> {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let place = NAMES.iter().position(|known| *known == name);
        let Some(slot) = place.and_then(|place| self.0.get_mut(place)) else {
            return Err(format!("The query has a parameter that is none of {}.", NAMES.join(", ")));
        };
        if slot.is_some() {
            return Err(format!("The query has the parameter {name} more than once."));
        }
        // A plus is a plus, which a scope may have, and not a space, which nothing here may have.
        match percent_decode_str(value).decode_utf8() {
            Ok(value) => *slot = Some(value),
            Err(_) => return Err(format!("The parameter {name} is not UTF-8 when it is percent-decoded.")),
        }
        Ok(())
    }

    fn of(&self, name: &str) -> Option<&str> {
        NAMES.iter().zip(&self.0).find(|(known, _)| **known == name).and_then(|(_, value)| value.as_deref())
    }

    fn context(&self) -> Result<RequestContext, String> {
        let wrong = |name: &str, error: &dyn std::error::Error| format!("The parameter {name} cannot be: {error}.");
        let mut context = RequestContext::new();
        if let Some(scope) = self.of("scope") {
            context = context.needing_scope(Scope::new(scope).map_err(|error| wrong("scope", &error))?);
        }
        if let Some(permission) = self.of("permission") {
            let permission = Scope::new(permission).map_err(|error| wrong("permission", &error))?;
            context = context.needing_permission(permission);
        }
        if let Some(environment) = self.of("environment") {
            let environment = Environment::new(environment).map_err(|error| wrong("environment", &error))?;
            context = context.in_environment(environment);
        }
        if let Some(cost) = self.of("cost") {
            let Cost(cost) = cost.parse().map_err(|error| wrong("cost", &error))?;
            context = context.costing(cost.into());
        }
        match self.of("nginx") {
            None | Some("0" | "1") => Ok(context),
            Some(_) => Err("The parameter nginx must be 0 or 1.".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn read(query: &str) -> Asked {
        Asked::read(Some(query), &HeaderMap::new())
    }

    #[test]
    fn a_query_says_what_a_key_must_be_good_for() {
        let asked = read("scope=files%3A/a+b:read&permission=keys:*&environment=prod&cost=3&nginx=1");
        let context = asked.context.unwrap();
        assert_eq!(*context.scopes, [Scope::new("files:/a+b:read").unwrap()]);
        assert_eq!(*context.permissions, [Scope::new("keys:*").unwrap()]);
        let plain = RequestContext::new().in_environment(Environment::new("prod").unwrap());
        assert_eq!(context.environment, plain.environment);
        assert_eq!(context.cost, 3);
        assert!(asked.for_nginx);

        for query in ["", "&", "nginx=0", "nginx=0&"] {
            let asked = read(query);
            assert_eq!((asked.context, asked.for_nginx), (Ok(RequestContext::new()), false), "{query}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_a_misconfiguration_that_is_told_to_nginx_too() {
        for query in [
            "scope=",
            "scope",
            "scope=a b",
            "scope=a%20b",
            "scope=%ff",
            "scope=a::b",
            "scope=a&scope=a",
            "scopes=a",
            "Scope=a",
            "sc%6fpe=a",
            "permission=**:a",
            "environment=Prod",
            "environment=",
            "environment=dev&environment=dev",
            "cost=-1",
            "cost=",
            "cost=1000001",
            "nginx=true",
            "page=2",
            "=",
            "?scope=a",
            "a?scope=a",
        ] {
            let asked = read(&format!("{query}&nginx=1"));
            assert!(asked.context.is_err(), "{query}");
            assert_eq!(asked.for_nginx, !query.contains("nginx"), "{query}");
            assert!(read(&format!("nginx=0&{query}")).context.is_err(), "{query}");
        }
    }

    #[test]
    fn a_query_that_the_client_sent_loosens_nothing() {
        for name in ORIGINAL_URIS {
            for (query, uri, refused) in [
                ("environment=staging", "/a?environment=staging", true),
                ("cost=0", "/a?cost=0", true),
                ("environment=staging", "/a?environment=prod", false),
                ("environment=staging", "/environment=staging", false),
                ("environment=staging", "/a", false),
                // What can only ask for more may be what the client asks for by chance.
                ("scope=reports:read", "/a?scope=reports:read", false),
            ] {
                let mut headers = HeaderMap::new();
                headers.append(name, HeaderValue::from_static("/"));
                headers.append(name, HeaderValue::from_static(uri));
                assert_eq!(Asked::read(Some(query), &headers).context.is_err(), refused, "{query} {uri}");
            }
        }
    }

    #[test]
    fn the_clients_query_is_not_read_and_the_proxys_is_not_taken_for_it() {
        for query in [None, Some(""), Some("page=2&x=scope"), Some("a=b?scope=c")] {
            assert!(Asked::read_none(query).context.is_ok(), "{query:?}");
        }
        for query in ["scope=a", "page=2&environment=staging", "nginx=1", "scope"] {
            assert!(Asked::read_none(Some(query)).context.is_err(), "{query:?}");
        }
    }

    proptest! {
        #[test]
        fn no_query_is_too_strange_and_none_is_repeated(query in "[a-z]{0,3}[ -~]{0,40}|\\PC{0,20}", secret in "[a-z]{24}") {
            let _ = read(&query);
            for query in [secret.clone(), format!("scope={secret} "), format!("environment={secret}"), format!("{secret}=a")] {
                let problem = read(&query).context.unwrap_err();
                prop_assert!(!problem.contains(&secret), "{}", problem);
            }
        }
    }
}
