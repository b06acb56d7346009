//! Whether the API takes what its document says that it takes.

use keygate_core::key::KeyId;
use keygate_core::names::{Environment, FieldName, OrganizationId, Tag, UserId};
use keygate_core::network::Cidr;
use keygate_core::scope::Scope;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::json;

use crate::support::Api;
use crate::support::documented::Documented;

const ABSENT: &str = "01933b0e-8f1c-7c3a-9d55-0a1b2c3d4e5f";

#[tokio::test]
async fn a_body_goes_where_the_document_says_that_it_does() {
    let api = Api::new().await;
    let documented = Documented::of(&api).await;
    let new = documented.named("NewKey");
    let both = [
        (
            "name",
            vec![json!("x".repeat(100)), json!("é"), json!(null)],
            vec![json!(""), json!("x".repeat(101)), json!(1)],
        ),
        ("description", vec![json!("")], vec![json!("é".repeat(501))]),
        ("project_id", vec![json!(null), json!("a.b_c-D")], vec![json!(""), json!("a b"), json!("x".repeat(129))]),
        (
            "permissions",
            vec![json!([]), json!(["a:*:**", "*"])],
            vec![json!([""]), json!(["a:**:b"]), json!("a"), json!([null])],
        ),
        ("scopes", vec![json!(vec!["a"; 64])], vec![json!((0..65).map(|n| format!("a{n}")).collect::<Vec<_>>())]),
        (
            "limits",
            vec![
                json!({}),
                json!({"per_day": 1_000_000_000_000_u64}),
                json!({"per_minute": 1, "burst": 1_000_000_000}),
                json!({"fallback": "local_share", "per_month": null}),
            ],
            vec![
                json!({"per_day": 0}),
                json!({"per_minute": 1, "burst": 1_000_000_001}),
                json!({"fallback": "shut"}),
                json!({"fallback": {"open": null}}),
                json!({"x": 1}),
                json!([]),
            ],
        ),
        ("allowed_ips", vec![json!(["::1", "10.0.0.0/8"])], vec![json!(["example.com"]), json!([7]), json!({})]),
        ("environment", vec![json!("prod1")], vec![json!("Prod"), json!("x".repeat(17))]),
        ("expires_in_days", vec![json!(1), json!(36_500)], vec![json!(0), json!(36_501), json!(1.5), json!("1")]),
        ("expires_at", vec![json!(null), json!("2050-01-01T00:00:00+01:00")], vec![json!(""), json!("soon"), json!(7)]),
        ("not_before", vec![json!(null), json!("2020-01-01T00:00:00Z")], vec![json!("2020-01-01"), json!(false)]),
        (
            "tags",
            vec![json!(["a:b/c=d"])],
            vec![json!(["a b"]), json!((0..33).map(|n| format!("t{n}")).collect::<Vec<_>>())],
        ),
        ("metadata", vec![json!({"a": [1]})], vec![json!([]), json!("a")]),
        ("security_tier", vec![json!("high")], vec![json!("low"), json!({"high": null})]),
        (
            "rotation",
            vec![json!({"interval_days": 3650})],
            vec![json!({}), json!({"interval_days": 3651}), json!([30])],
        ),
        ("hand_over", vec![json!(true), json!(false), json!(null)], vec![json!("yes"), json!(1)]),
        ("grantable", vec![json!(null)], vec![json!(["é"])]),
        (
            "sensitive",
            vec![json!({"card": [1]}), json!({}), json!(null)],
            vec![json!([]), json!("a"), json!([["card", 1]])],
        ),
    ];
    let described = &documented.document["components"]["schemas"]["NewKey"]["properties"];
    for field in described.as_object().unwrap().keys().filter(|field| *field != "user_id") {
        assert!(both.iter().any(|(tried, ..)| *tried == *field), "{field} was not tried");
    }
    let mut user = 0;
    for (field, good, bad) in both {
        for (value, goes) in
            good.into_iter().map(|value| (value, true)).chain(bad.into_iter().map(|value| (value, false)))
        {
            user += 1;
            let asked = json!({"user_id": format!("u{user}"), field: value});
            assert_eq!(new.is_valid(&asked), goes, "the document, of {asked}");
            let answer = api.call(&api.operator, "POST /v1/organizations/acme/keys", Some(asked.clone())).await;
            assert_eq!(answer.status == 201, goes, "{asked} {answer:?}");
        }
    }
}

/// Whether the domain takes a text.
type Rule = fn(&str) -> bool;

/// A text that is nearly of the form of one of these.
fn nearly() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9._~/@+*:= -]{0,12}",
        "([a-z]{1,2}|\\*|\\*\\*)(:([a-z]|\\*|\\*\\*)?){0,18}",
        "[a-z0-9]{0,140}",
        "\\PC{0,8}",
        "[a-z]{1,3}\n"
    ]
}

#[tokio::test]
async fn a_text_is_of_the_form_that_is_described() {
    let documented = Documented::of(&Api::new().await).await;
    let rules: [(&str, Rule); 7] = [
        ("OrganizationId", |text| OrganizationId::new(text).is_ok()),
        ("UserId", |text| UserId::new(text).is_ok()),
        ("Environment", |text| Environment::new(text).is_ok()),
        ("FieldName", |text| FieldName::new(text).is_ok()),
        ("Tag", |text| Tag::new(text).is_ok()),
        ("Scope", |text| Scope::new(text).is_ok()),
        ("KeyId", |text| text.parse::<KeyId>().is_ok()),
    ];
    let rules = rules.map(|(name, rule)| (name, rule, documented.named(name)));
    let agree = |text: &str| -> Result<(), TestCaseError> {
        for (name, rule, described) in &rules {
            prop_assert_eq!(described.is_valid(&json!(text)), rule(text), "{} {:?}", name, text);
        }
        Ok(())
    };
    for text in [ABSENT, "01933B0E-8F1C-7C3A-9D55-0A1B2C3D4E5F", &"a:".repeat(15), &format!("{}a", "a:".repeat(16))] {
        agree(text).unwrap();
    }
    let config = ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() };
    TestRunner::new(config).run(&nearly(), |text| agree(&text)).unwrap();

    // Of a network the document says less than all.
    let network = documented.named("Network");
    for text in ["192.0.2.1", "0.0.0.0/0", "::/0", "2001:db8::/32", "::ffff:192.0.2.1", "::ffff:255.255.255.255/128"] {
        assert!(Cidr::new(text).is_ok() && network.is_valid(&json!(text)), "{text}");
    }
}
