//! Where a server is, and whether the admin key may be sent there.

use std::fmt;
use std::net::IpAddr;

use reqwest::Url;

use super::NotDone;
use crate::args::SettingArgs;
use crate::desk::place::Setting;
use crate::failure::Failure;

const ALLOW: &str = "KEYGATE_ALLOW_CLEAR_TEXT";

/// The address of a server: `http` or `https`, a host, and the path that the API is mounted under.
#[derive(Debug, Clone)]
pub(super) struct Address(Url);

impl Address {
    /// Reads a URL. What is wrong with it is told without it: it may hold a password.
    pub(super) fn read(server: &Setting, args: &SettingArgs) -> Result<Self, Failure> {
        let wrong = |problem: &str| server.wrong(problem);
        // Checked also where it is of no use.
        let is_clear_text_allowed = is_clear_text_allowed(args)?;
        let url = Url::parse(&server.value)
            .map_err(|error| wrong(&format!("must be a URL such as https://keys.example.org: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
            return Err(wrong("must begin with https:// or http:// and a host"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong(
                "must not hold a user or a password; KEYGATE_ADMIN_KEY is what the server is called with",
            ));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("must end with its path, without a ? or a #"));
        }
        let address = Self(url);
        if !address.is_encrypted() && !address.is_loopback() && !is_clear_text_allowed {
            return Err(wrong(&format!(
                "would have the admin key sent in clear text, for whoever is on the way to read: use https, or allow it \
                 with --allow-clear-text ({ALLOW}=1)"
            )));
        }
        Ok(address)
    }

    /// Whether it is reached under TLS.
    pub(super) fn is_encrypted(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Whether it is on this machine, so that no network is between.
    pub(super) fn is_loopback(&self) -> bool {
        let host = self.0.host_str().unwrap_or_default();
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        // Which the client does not look up: see `Link`.
        bare == LOCALHOST || bare.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
    }

    /// The URL of a call, by the parts of its path behind `/v1`.
    ///
    /// # Errors
    /// When a part is `.` or `..`, which a URL cannot have: it would be another call.
    pub(super) fn of_call(&self, path: &[String]) -> Result<Url, NotDone> {
        if let Some(part) = path.iter().find(|part| matches!(part.as_str(), "." | "..")) {
            return Err(NotDone::new(format!(
                "{part} is an id that no URL can have, so it cannot go through a server"
            )));
        }
        let mut url = self.0.clone();
        if let Ok(mut parts) = url.path_segments_mut() {
            parts.pop_if_empty().push("v1").extend(path);
        }
        Ok(url)
    }
}

/// The name of this machine.
pub(super) const LOCALHOST: &str = "localhost";

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

/// Whether keys may travel in clear text between machines, to a server or from it.
pub(crate) fn is_clear_text_allowed(args: &SettingArgs) -> Result<bool, Failure> {
    if args.allow_clear_text {
        return Ok(true);
    }
    let Some(setting) = Setting::read(ALLOW, args)? else { return Ok(false) };
    match setting.value.as_str() {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(setting.wrong("must be 1 or 0")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn address(url: &str) -> Address {
        Address(Url::parse(url).unwrap())
    }

    fn url_of(base: &str, path: &[&str]) -> String {
        let path: Vec<String> = path.iter().map(|part| (*part).to_owned()).collect();
        address(base).of_call(&path).map_or_else(|error| format!("not done: {error}"), String::from)
    }

    #[test]
    fn a_call_is_below_the_path_the_server_is_mounted_under() {
        for (base, url) in [
            ("http://localhost:8080", "http://localhost:8080/v1/keys/a"),
            ("http://localhost:8080/", "http://localhost:8080/v1/keys/a"),
            ("https://example.org/keys", "https://example.org/keys/v1/keys/a"),
            ("https://example.org/a/b%20c/", "https://example.org/a/b%20c/v1/keys/a"),
        ] {
            assert_eq!(url_of(base, &["keys", "a"]), url);
        }
    }

    #[test]
    fn no_id_makes_another_call_of_it() {
        let url = |id| url_of("http://localhost", &["organizations", id, "keys"]);
        assert_eq!(url("a/../b?c#d%2e"), "http://localhost/v1/organizations/a%2F..%2Fb%3Fc%23d%252e/keys");
        assert_eq!(url("..."), "http://localhost/v1/organizations/.../keys");
        for id in [".", ".."] {
            assert!(url(id).starts_with("not done: "), "{}", url(id));
        }
    }

    #[test]
    fn what_is_on_this_machine_is_known_by_its_address() {
        for url in
            ["http://localhost", "http://LOCALHOST:1", "http://127.0.0.1", "http://127.8.9.1", "http://[::1]:8080"]
        {
            assert!(address(url).is_loopback(), "{url}");
        }
        for url in [
            "http://localhost.example.org",
            "http://127.0.0.1.example.org",
            "http://10.0.0.1",
            "http://[::]",
            "http://0.0.0.0",
            "http://[::2]",
            "http://example.org",
        ] {
            assert!(!address(url).is_loopback(), "{url}");
        }
    }
}
