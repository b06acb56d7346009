/// What a request asks for, in no framework's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Asked<'a> {
    /// The method, in capitals: methods are case-sensitive (RFC 9110, section 9.1).
    pub method: &'a str,
    /// The path of the URL as the adapter sees it, percent-encoded as it was sent. A router that nests others may have cut
    /// off what it matched. In gRPC it is the service and the method: `/acme.Reports/List`.
    pub path: &'a str,
    /// The query of the URL without the `?`, if there is one.
    pub query: Option<&'a str>,
    /// The pattern of the route that it matched, as the router writes it: `/reports/{id}`. In gRPC it is the method, as in the
    /// path. `None` where no router has looked at it yet, or none of its routes matched.
    pub route: Option<&'a str>,
}

impl<'a> Asked<'a> {
    /// A request of this method for this path, with this query, of which no route is known.
    #[must_use]
    pub const fn new(method: &'a str, path: &'a str, query: Option<&'a str>) -> Self {
        Self { method, path, query, route: None }
    }

    /// The same, having matched this route.
    #[must_use]
    pub const fn matching(self, route: Option<&'a str>) -> Self {
        Self { route, ..self }
    }
}
