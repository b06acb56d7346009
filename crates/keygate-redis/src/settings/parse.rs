//! Reads an address. What it says of a mistake never includes what stands before the `@`.

use percent_encoding::percent_decode_str;

use super::{Address, Credentials, Host, Place, SettingsError};

const FORMS: &str = "must begin with redis://, rediss://, redis+sentinel://, redis+cluster:// or redis+unix://";

type Parsed<T> = Result<T, SettingsError>;

pub(super) fn address(text: &str) -> Parsed<Address> {
    let refuse = |problem: &str| SettingsError::new(problem);
    let (scheme, rest) = text.split_once("://").ok_or_else(|| refuse(FORMS))?;
    let (base, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
    let tls = match base {
        "redis" => false,
        "rediss" => true,
        _ => return Err(refuse(FORMS)),
    };
    if tls && !cfg!(feature = "tls") {
        return Err(refuse("asks for TLS, which needs the feature `tls` of keygate-redis"));
    }
    // The last `@` divides, so that a password may hold one that is not percent-encoded.
    let (credentials, rest) = match rest.rsplit_once('@') {
        Some((credentials, rest)) => (read_credentials(credentials)?, rest),
        None => (Credentials::default(), rest),
    };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let query = Query::read(query)?;
    if kind != "sentinel" && query.sentinels != Credentials::default() {
        return Err(refuse("has sentinel_username or sentinel_password but is not that of Sentinels"));
    }
    let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (place, db) = match kind {
        "" => (Place::Single(one_host(hosts)?), path),
        "cluster" => (Place::Cluster(read_hosts(hosts, 6379)?), path),
        "sentinel" => {
            let (master, db) = path.split_once('/').unwrap_or((path, ""));
            let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
            if master.is_empty() || !master.bytes().all(allowed) {
                return Err(refuse(
                    "must name the master after the Sentinels, as in redis+sentinel://host:26379/MASTER",
                ));
            }
            let sentinels = read_hosts(hosts, 26379)?;
            (Place::Sentinel { sentinels, master: master.into(), credentials: query.sentinels }, db)
        }
        "unix" => {
            if tls || !rest.starts_with('/') || rest.len() < 2 {
                return Err(refuse("must have the form redis+unix:///path/of/socket"));
            }
            (Place::Socket(decode(rest)?.into()), "")
        }
        _ => return Err(refuse(FORMS)),
    };
    let db = match (db, query.db) {
        ("", None) => 0,
        ("", Some(db)) => db,
        (db, None) => read_db(db)?,
        _ => return Err(refuse("names the database twice")),
    };
    if kind == "cluster" && db != 0 {
        return Err(refuse("names a database, and a Cluster has only number 0"));
    }
    Ok(Address { place, credentials, tls, db })
}

fn decode(text: &str) -> Parsed<String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(String::from).map_err(|_| SettingsError::new("holds a percent-encoding that is not UTF-8"))
}

fn read_credentials(text: &str) -> Parsed<Credentials> {
    let (username, password) = text.split_once(':').unwrap_or((text, ""));
    let word = |text: &str| if text.is_empty() { Ok(None) } else { decode(text).map(Some) };
    let credentials = Credentials { username: word(username)?, password: word(password)? };
    if credentials.username.is_some() && credentials.password.is_none() {
        // AUTH needs a password; a lone word before the `@` is most likely one with its colon forgotten.
        return Err(SettingsError::new("has a user without a password; a password alone is written `:password@`"));
    }
    Ok(credentials)
}

fn one_host(text: &str) -> Parsed<Host> {
    if text.contains(',') {
        return Err(SettingsError::new("names several hosts; use redis+sentinel:// or redis+cluster:// for those"));
    }
    read_host(text, 6379)
}

fn read_hosts(text: &str, port: u16) -> Parsed<Vec<Host>> {
    text.split(',').map(|host| read_host(host, port)).collect()
}

fn read_host(text: &str, default_port: u16) -> Parsed<Host> {
    let bad = || SettingsError::new("holds a host that is not of the form host:port or [IPv6]:port");
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (name, port) = rest.split_once(']').ok_or_else(bad)?;
            name.parse::<std::net::Ipv6Addr>().map_err(|_| bad())?;
            let port = if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or_else(bad)?) };
            (name, port)
        }
        None => match text.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        },
    };
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b':');
    if name.is_empty() || !name.bytes().all(allowed) {
        return Err(bad());
    }
    let port = match port {
        None => default_port,
        Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or_else(bad)?,
    };
    Ok(Host { name: name.into(), port })
}

fn read_db(text: &str) -> Parsed<u16> {
    text.parse().map_err(|_| SettingsError::new("must name the database by its number"))
}

/// What may stand after the `?`.
#[derive(Default)]
struct Query {
    db: Option<u16>,
    sentinels: Credentials,
}

impl Query {
    fn read(text: &str) -> Parsed<Self> {
        let mut query = Self::default();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "db" => query.db = Some(read_db(value)?),
                "sentinel_username" => query.sentinels.username = Some(decode(value)?),
                "sentinel_password" => query.sentinels.password = Some(decode(value)?),
                _ => {
                    return Err(SettingsError::new(
                        "has an unknown setting after the `?`; known are db, sentinel_username and sentinel_password",
                    ));
                }
            }
        }
        Ok(query)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn shown(text: &str) -> String {
        address(text).unwrap_or_else(|error| panic!("{text}: {error}")).to_string()
    }

    #[test]
    fn every_form_is_read_and_shown_without_credentials() {
        assert_eq!(shown("redis://localhost"), "redis://localhost:6379/0");
        assert_eq!(shown("redis://bob:p%40ss@10.0.0.1:7000/3"), "redis://10.0.0.1:7000/3");
        assert_eq!(shown("redis://:p@ss/w@[::1]:7000?db=2"), "redis://[::1]:7000/2");
        assert_eq!(shown("redis+sentinel://:x@a:1,b/main/2"), "redis+sentinel://a:1,b:26379/main/2");
        assert_eq!(shown("redis+cluster://a:1,b:2"), "redis+cluster://a:1,b:2");
        assert_eq!(shown("redis+unix:///run/redis.sock?db=1"), "redis+unix:///run/redis.sock?db=1");
    }

    #[test]
    fn user_and_password_are_percent_decoded() {
        let read = address("redis://bob:p%40ss@h").unwrap().credentials;
        assert_eq!((read.username.as_deref(), read.password.as_deref()), (Some("bob"), Some("p@ss")));
        let read = address("redis://:p@ss@h").unwrap().credentials;
        assert_eq!((read.username.as_deref(), read.password.as_deref()), (None, Some("p@ss")));
    }

    #[test]
    fn mistakes_are_one_sentence_without_the_password() {
        for text in [
            "http://bob:canary@h",
            "redis:/bob:canary@h",
            "redis://bob:canary@",
            "redis://bob:canary@h:99999",
            "redis://bob:canary@h:0",
            "redis://bob:canary@a,b",
            "redis://bob:canary@h/x",
            "redis://bob:canary@h/1?db=2",
            "redis://bob:canary@h?what=canary",
            "redis://canary@h",
            "redis+sentinel://bob:canary@h:1",
            "redis+cluster://bob:canary@h:1/4",
            "redis+unix://bob:canary@h",
            "redis+nothing://bob:canary@h",
            "redis://bob:canary@[::1",
            "redis://bob:canary@h h",
            "redis://%ff:canary@h",
        ] {
            let error = address(text).err().unwrap_or_else(|| panic!("{text} was read")).to_string();
            assert!(!error.contains("canary") && !error.contains('\n'), "{text}: {error}");
            assert!(error.starts_with("the Redis address "), "{error}");
        }
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn tls_without_the_feature_says_so() {
        assert!(address("rediss://h").err().unwrap().to_string().contains("feature `tls`"));
    }

    #[cfg(feature = "tls")]
    #[test]
    fn tls_forms_are_read() {
        assert_eq!(shown("rediss://h"), "rediss://h:6379/0");
        assert_eq!(shown("rediss+sentinel://h/m"), "rediss+sentinel://h:26379/m/0");
        assert_eq!(shown("rediss+cluster://h"), "rediss+cluster://h:6379");
    }
}
