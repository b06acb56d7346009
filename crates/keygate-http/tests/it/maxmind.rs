//! Locations from a database in MaxMind's format.

use std::io::Write;

use keygate_http::location::{LocationResolver, MaxMind, MaxMindError};
use tempfile::NamedTempFile;

use crate::support::mmdb::Value::{self, List, Map, Text};
use crate::support::mmdb::database;

fn file(bytes: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn place(country: &'static str, part: Option<&'static str>) -> Value {
    let named = |code| Map(vec![("iso_code", Text(code))]);
    let mut fields = vec![("country", named(country))];
    fields.extend(part.map(|part| ("subdivisions", List(vec![named(part), named("SF")]))));
    Map(fields)
}

fn city() -> NamedTempFile {
    file(&database(
        "Test-City",
        &[
            ("192.0.2.0/24", place("US", Some("CA"))),
            ("198.51.100.0/25", place("DE", None)),
            ("203.0.113.0/24", Map(vec![("continent", Map(vec![("code", Text("EU"))]))])),
            ("203.0.112.0/24", place("Not a code", None)),
            ("2001:db8::/32", place("FR", Some("a part with a long name"))),
        ],
    ))
}

fn locate(database: &MaxMind, address: &str) -> Option<String> {
    database.resolve(address.parse().unwrap()).map(|location| location.to_string())
}

#[test]
fn addresses_are_in_countries_and_in_parts_of_them_where_that_is_wanted() {
    let file = city();
    let countries = MaxMind::open(file.path()).unwrap();
    let parts = countries.clone().with_subdivisions();
    for (address, country, part) in [
        ("192.0.2.7", Some("US"), Some("US-CA")),
        ("198.51.100.1", Some("DE"), Some("DE")),
        ("198.51.100.200", None, None),
        // A record without a country, and one whose country is none.
        ("203.0.113.1", None, None),
        ("203.0.112.1", None, None),
        // A part whose name has no room is left out.
        ("2001:db8::1", Some("FR"), Some("FR")),
        ("2001:db9::1", None, None),
    ] {
        assert_eq!(locate(&countries, address).as_deref(), country, "{address}");
        assert_eq!(locate(&parts, address).as_deref(), part, "{address}");
    }
}

#[test]
fn what_cannot_be_used_is_said_with_the_name_of_the_file() {
    let numbers = Map(vec![("autonomous_system_number", Value::Number(64_496))]);
    let of_numbers = file(&database("Test-ASN", &[("192.0.2.0/24", numbers)]));
    let error = MaxMind::open(of_numbers.path()).unwrap_err();
    assert!(matches!(&error, MaxMindError::WithoutCountries { kind, .. } if kind == "Test-ASN"), "{error}");
    assert!(error.to_string().contains(&of_numbers.path().display().to_string()), "{error}");

    let no_database = file(b"PK\x03\x04 an archive that was not unpacked");
    let missing = no_database.path().with_extension("missing");
    for path in [no_database.path(), &missing] {
        let error = MaxMind::open(path).unwrap_err().to_string();
        assert!(error.starts_with(&format!("the location database {} cannot be used: ", path.display())), "{error}");
    }
}

#[test]
fn a_database_of_one_country_and_one_of_nothing_differ() {
    assert!(MaxMind::open(file(&database("Test-Country", &[("0.0.0.0/1", place("DE", None))])).path()).is_ok());
    assert!(MaxMind::open(file(&database("Test-Country", &[])).path()).is_err());
}
