//! The stored form of a record: it comes back as it was, no bytes break the reader, and version 1 never changes.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use keygate_core::import::ImportedScheme;
use keygate_core::key::KeyId;
use keygate_core::limits::{Fallback, Limits};
use keygate_core::manager::KeyPage;
use keygate_core::names::{
    Description, Environment, FieldName, KeyName, OrganizationId, PrincipalId, ProjectId, Reason, Tag, UserId,
};
use keygate_core::network::{Cidr, CidrSet};
use keygate_core::record::{
    DecodeError, HeaderView, Key, KeyRecord, KeyStatus, Lineage, MAX_RECORD_BYTES, Metadata, Revision,
    RotationSchedule, SCHEMA_VERSION, SecurityTier, StatusChange, Succession, Superseded,
};
use keygate_core::ring::{EntryId, Sealed};
use keygate_core::scope::ScopeSet;
use keygate_core::store::LookupToken;
use keygate_core::verifier::{MAX_PBKDF2_ITERATIONS, MIN_PBKDF2_ITERATIONS, Verifier};
use keygate_testkit::sample;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::support::{self, new_key, scopes};

/// The bytes of version 1, each record's by its name.
const GOLDEN_V1: &str = include_str!("../golden/record_v1.hex");
/// The same of version 4.
const GOLDEN_V4: &str = include_str!("../golden/record_v4.hex");

fn golden(name: &str) -> Vec<u8> {
    let line = GOLDEN_V1
        .lines()
        .chain(GOLDEN_V4.lines())
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        .expect("a golden record");
    (0..line.len() / 2).map(|byte| u8::from_str_radix(&line[byte * 2..byte * 2 + 2], 16).unwrap()).collect()
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 123_000_000).unwrap()
}

fn id(number: u8) -> KeyId {
    KeyId::from_bytes([0x01, 0x9a, 0, 0, 0, number, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0x03, number])
}

/// A key with as little as a key can have.
fn plain() -> KeyRecord {
    let key = Key {
        id: id(1),
        revision: Revision::FIRST,
        organization: OrganizationId::new("acme").unwrap(),
        user: UserId::new("ada").unwrap(),
        project: None,
        name: KeyName::new("Unnamed key").unwrap(),
        description: Description::default(),
        permissions: ScopeSet::empty(),
        scopes: scopes(&["default"]),
        grantable: ScopeSet::empty(),
        limits: Limits::STANDARD,
        created_at: at(1_767_225_600),
        created_by: PrincipalId::new("operator").unwrap(),
        expires_at: Some(at(1_775_001_600)),
        not_before: None,
        status: StatusChange::new(KeyStatus::Active, at(1_767_225_600), None),
        tags: Vec::new(),
        allowed_ips: CidrSet::default(),
        environment: Environment::dev(),
        rotation_schedule: None,
        security_tier: SecurityTier::Standard,
        lineage: Lineage { root: id(1), generation: 0 },
        succession: Succession::default(),
        metadata: Metadata::default(),
        sensitive_fields: Vec::new(),
    };
    let verifier = Verifier::HmacSha256 { digest: std::array::from_fn(|i| i as u8) };
    let entry = EntryId::from_bytes([0xde, 0xad, 0xbe, 0xef]);
    KeyRecord::new(key, verifier, entry, entry)
}

/// A key with something in every field.
fn full() -> KeyRecord {
    let mut record = plain();
    let key = &mut record.key;
    key.id = id(2);
    key.revision = Revision(0x0102_0304_0506_0708);
    key.project = Some(ProjectId::new("web.site").unwrap());
    key.name = KeyName::new("Schlüssel für die Seite").unwrap();
    key.description = Description::new("what it is for: 網站").unwrap();
    key.permissions = scopes(&["keys:read", "keys:**"]);
    key.scopes = scopes(&["files:/john:*", "tools:**"]);
    key.grantable = scopes(&["keys:read"]);
    key.limits = Limits {
        per_minute: Some(1),
        per_hour: None,
        per_day: Some(300),
        per_month: Some(1_000_000_000_000),
        burst: Some(7),
        ..Limits::UNLIMITED
    };
    key.created_by = PrincipalId::new(id(1).to_string()).unwrap();
    key.expires_at = Some(at(4_102_444_800));
    key.not_before = Some(at(-1));
    key.status =
        StatusChange::new(KeyStatus::Inactive, at(1_767_300_000), Some(Reason::new("found in a log: “über”").unwrap()));
    key.tags = ["team:web", "tier=1"].map(|tag| Tag::new(tag).unwrap()).to_vec();
    key.allowed_ips =
        CidrSet::new(["192.0.2.0/24", "2001:db8::/32", "198.51.100.7"].map(|net| Cidr::new(net).unwrap())).unwrap();
    key.environment = Environment::new("prod").unwrap();
    key.rotation_schedule = Some(RotationSchedule {
        interval_days: 90,
        warning_days: 14,
        auto_rotate: true,
        notify_users: false,
        overlap_days: 3,
    });
    key.security_tier = SecurityTier::High;
    key.lineage = Lineage { root: id(1), generation: 300 };
    let fields = json!({ "ticket": 4711, "ratio": 0.1, "owners": ["ann", null, true], "note": "a \"quoted\" word" });
    key.metadata = Metadata::new(fields.as_object().cloned().unwrap()).unwrap();
    record.verifier = Verifier::Pbkdf2Sha256 {
        salt: [0xa5; 16],
        iterations: 600_000,
        output: std::array::from_fn(|i| 255 - i as u8),
    };
    record.digested_under = EntryId::from_bytes([1, 2, 3, 4]);
    record
}

/// A key that never expires, and was revoked for no reason that was said.
fn revoked() -> KeyRecord {
    let mut record = plain();
    record.key.id = id(3);
    record.key.revision = Revision(2);
    record.key.expires_at = None;
    record.key.scopes = ScopeSet::empty();
    record.key.limits = Limits::UNLIMITED;
    record.key.status = StatusChange::new(KeyStatus::Revoked, at(1_767_225_601), None);
    record.key.lineage = Lineage { root: id(3), generation: 0 };
    record
}

#[test]
fn records_of_version_1_are_readable_for_ever_and_written_the_same() {
    for (name, record) in [("plain", plain()), ("full", full()), ("revoked", revoked())] {
        let bytes = golden(name);
        assert_eq!(bytes[0], 1, "{name}");
        assert_eq!(KeyRecord::decode(&bytes).unwrap(), record, "{name}");
        assert_eq!(hex(&record.encode().unwrap()), hex(&bytes), "{name}");
    }
}

#[test]
fn records_of_version_2_are_those_of_version_1_with_the_fallback_behind() {
    for (name, record) in [("plain", plain()), ("full", full()), ("revoked", revoked())] {
        for (byte, fallback) in [(1, Fallback::Open), (2, Fallback::LocalShare)] {
            let mut record = record.clone();
            record.key.limits.fallback = fallback;
            let mut bytes = golden(name);
            bytes[0] = 2;
            bytes.push(byte);
            assert_eq!(hex(&record.encode().unwrap()), hex(&bytes), "{name} {fallback}");
            assert_eq!(KeyRecord::decode(&bytes).unwrap(), record, "{name} {fallback}");
        }
        let mut bytes = golden(name);
        bytes[0] = 2;
        assert!(KeyRecord::decode(&bytes).is_err(), "without the byte");
        for bad in [0, 3, 255] {
            assert!(KeyRecord::decode(&[&bytes[..], &[bad]].concat()).is_err(), "{bad}");
        }
    }
}

/// The one that was replaced, and the one that replaced it.
fn succession() -> (KeyRecord, KeyRecord) {
    let (mut old, mut new) = (plain(), full());
    old.key.succession.superseded = Some(Superseded { successor_id: id(2), at: at(1_770_000_000) });
    old.offer = Some(Sealed::from_parts(EntryId::from_bytes([1, 2, 3, 4]), vec![7; 5]));
    new.key.succession.predecessor_id = Some(id(1));
    new.key.succession.hand_over = true;
    new.key.succession.scheduled_at = Some(at(1_770_000_001));
    new.unclaimed = true;
    (old, new)
}

#[test]
fn records_of_version_3_are_those_of_version_2_with_the_rotation_behind() {
    let (old, new) = succession();
    let fallback = |fallback: Fallback| {
        let mut record = plain();
        record.key.limits.fallback = fallback;
        record.key.succession.hand_over = true;
        record
    };
    for (name, record, tail) in [
        ("plain", old, "000001".to_owned() + &id_hex(2) + "f691c5c383670000010102030405070707070700000000"),
        ("full", new, "0001".to_owned() + &id_hex(1) + "000101c6a1c5c383670001000000"),
        ("plain", fallback(Fallback::Deny), "00000001000000000000".to_owned()),
        ("plain", fallback(Fallback::Open), "01000001000000000000".to_owned()),
    ] {
        let mut bytes = golden(name);
        bytes[0] = 3;
        assert_eq!(hex(&record.encode().unwrap()), hex(&bytes) + &tail, "{name}");
        bytes.extend((0..tail.len() / 2).map(|byte| u8::from_str_radix(&tail[byte * 2..byte * 2 + 2], 16).unwrap()));
        assert_eq!(KeyRecord::decode(&bytes).unwrap(), record, "{name}");
    }
    // What an older version can hold is written in that.
    let mut bytes = golden("plain");
    bytes[0] = 3;
    assert!(KeyRecord::decode(&[&bytes[..], &[0; 10]].concat()).is_err());
    // Without the last byte it is cut short.
    assert!(KeyRecord::decode(&[&bytes[..], &[0, 0, 0, 1, 0, 0, 0, 0, 0]].concat()).is_err());
}

/// What an imported key is found by, and how its digest was made, stand last.
#[test]
fn records_of_imported_keys_say_last_what_they_are_found_by() {
    let digest = std::array::from_fn(|i| i as u8);
    let imported = |scheme| Verifier::Imported { scheme, digest };
    let found_by = "11".repeat(32);
    let pbkdf2 = |iterations, length| ImportedScheme::Pbkdf2Sha256 { salt: b"ab"[..].into(), iterations, length };
    for (verifier, tail) in [
        (Verifier::HmacSha256 { digest }, "00"),
        (imported(ImportedScheme::Sha256), "0100"),
        (imported(ImportedScheme::Sha512), "0101"),
        (imported(ImportedScheme::HmacSha256 { key: "old".into() }), "0102036f6c64"),
        (imported(pbkdf2(10_000, 32)), "0103026162904e20"),
    ] {
        let mut record = plain();
        record.verifier = verifier;
        record.lookup = Some(LookupToken::from_bytes([0x11; 32]));
        let mut bytes = golden("plain");
        bytes[0] = 3;
        assert_eq!(hex(&record.encode().unwrap()), hex(&bytes) + "00" + "0000000000000000" + "01" + &found_by + tail);
        assert_eq!(KeyRecord::decode(&record.encode().unwrap()).unwrap(), record);
        assert!(!format!("{record:?}").contains("ab\""), "no salt is shown");
        // Without what it is found by, nothing can be made of an old digest.
        record.lookup = None;
        assert_eq!(record.encode().is_err(), record.verifier.is_imported());
    }
    for scheme in [
        pbkdf2(999, 32),
        pbkdf2(2_000_001, 32),
        pbkdf2(10_000, 15),
        pbkdf2(10_000, 65),
        ImportedScheme::HmacSha256 { key: "A b".into() },
    ] {
        let mut record = plain();
        record.verifier = imported(scheme);
        record.lookup = Some(LookupToken::from_bytes([0x11; 32]));
        assert!(KeyRecord::decode(&record.encode().unwrap()).is_err(), "{record:?}");
    }
    // A scheme beside a verifier that is none of an import.
    let mut record = full();
    record.lookup = Some(LookupToken::from_bytes([0x11; 32]));
    let mut bytes = record.encode().unwrap();
    assert_eq!(bytes.pop(), Some(0));
    assert!(KeyRecord::decode(&[&bytes[..], &[1, 0]].concat()).is_err());
}

/// What is kept encrypted stands last, behind whatever version 3 has.
#[test]
fn records_of_version_4_are_those_of_version_3_with_the_sensitive_fields_behind() {
    let sealed = |entry, bytes: &[u8]| Sealed::from_parts(EntryId::from_bytes(entry), bytes.to_vec());
    let fields = |fields: &[(&str, Sealed)]| -> BTreeMap<FieldName, Sealed> {
        fields.iter().map(|(name, sealed)| (FieldName::new(name).unwrap(), sealed.clone())).collect()
    };
    let mut record = plain();
    record.keep_sensitive(fields(&[("pin", sealed([5; 4], b"xyz")), ("card", sealed([1, 2, 3, 4], b"ab"))]));
    assert_eq!(record.key.sensitive_fields, ["card", "pin"].map(|name| FieldName::new(name).unwrap()));
    let bytes = golden("plain_sensitive");
    assert_eq!(hex(&bytes[1..]), hex(&golden("plain")[1..]) + "00" + "0000000000000000" + "00" + SENSITIVE);
    assert_eq!((bytes[0], hex(&record.encode().unwrap())), (4, hex(&bytes)));
    assert_eq!(KeyRecord::decode(&bytes).unwrap(), record);
    let entries: Vec<String> = record.ring_entries().iter().map(ToString::to_string).collect();
    assert_eq!(entries, ["01020304", "05050505", "deadbeef"]);
    // Behind a rotation, and in no other order than that of the names, each once, and at most as many as a key may have.
    let (mut old, _) = succession();
    let without = old.encode().unwrap();
    old.keep_sensitive(record.sensitive.clone());
    assert_eq!(hex(&old.encode().unwrap()[1..]), hex(&without[1..]) + SENSITIVE);
    assert_eq!(KeyRecord::decode(&old.encode().unwrap()).unwrap(), old);
    let head = &bytes[..bytes.len() - SENSITIVE.len() / 2];
    let with = |tail: &[u8]| KeyRecord::decode(&[head, tail].concat());
    let (a, b) = (b"\x01a\x01\x02\x03\x04\0", b"\x01b\x01\x02\x03\x04\0");
    assert!(with(&[b"\x02", &a[..], b].concat()).is_ok());
    for bad in [b"\0".to_vec(), [b"\x02", &b[..], a].concat(), [b"\x02", &a[..], a].concat()] {
        assert!(with(&bad).is_err(), "{bad:?}");
    }
    assert!(with(b"\x01\x01 \x01\x02\x03\x04\0").unwrap_err().to_string().contains("sensitive field name"));
    let many = |count: u8| {
        let fields = (0..count).flat_map(|n| [3, b'a', b'0' + n / 10, b'0' + n % 10, 1, 2, 3, 4, 0]);
        with(&std::iter::once(count).chain(fields).collect::<Vec<u8>>())
    };
    assert_eq!(many(32).unwrap().sensitive.len(), 32);
    assert!(many(33).is_err());
}

/// Two fields: a name, a ring entry and what is sealed under it, of each.
const SENSITIVE: &str = "020463617264010203040261620370696e050505050378797a";

fn id_hex(number: u8) -> String {
    hex(id(number).as_bytes())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_header_is_where_the_scripts_of_the_stores_look_for_it() {
    let record = full();
    let bytes = record.encode().unwrap();
    let reason = record.key.status.reason.as_ref().unwrap().as_str();
    let mut header = vec![1, 1, 2, 3, 4, 5, 6, 7, 8, 1];
    header.extend(record.key.status.at.timestamp_millis().to_be_bytes());
    header.extend((reason.len() as u16).to_be_bytes());
    header.extend(reason.as_bytes());
    header.push(4);
    header.extend(b"acme");
    assert_eq!(hex(&bytes[..header.len()]), hex(&header));
    let view = HeaderView::read(&bytes).unwrap();
    assert_eq!((view.revision, view.status, view.organization), (record.key.revision, KeyStatus::Inactive, "acme"));
    assert_eq!((view.reason, view.status_changed_at), (reason, record.key.status.at.timestamp_millis()));
}

/// 900 bytes a key are promised for a store with all its indexes; the record may take a part of that.
#[tokio::test]
async fn a_typical_record_is_small() {
    let instance = support::Instance::new();
    let created = instance.create(new_key()).await;
    let least = instance.record(created.key.id).await.encode().unwrap().len();
    // 16 of them are for when its owner is told that it ends.
    assert!(least <= 176, "a key with every default takes {least} bytes");

    let typical = support::new_key_with(|new| {
        new.organization = OrganizationId::new("0198f3c2-6a41-7d20-9c1e-5b7a90d1c3f4").unwrap();
        new.user = UserId::new("0198f3c2-7b55-7aa0-8f10-2c44de9a1b02").unwrap();
        new.project = Some(ProjectId::new("website").unwrap());
        new.name = Some(KeyName::new("Production web site").unwrap());
        new.permissions = scopes(&["keys:read", "keys:create"]);
        new.scopes = Some(scopes(&["files:read", "files:write", "tools:*"]));
        new.tags = ["team:web", "tier=1"].map(|tag| Tag::new(tag).unwrap()).to_vec();
    });
    let created = instance.create(typical).await;
    let typical = instance.record(created.key.id).await.encode().unwrap().len();
    println!("encoded: {least} bytes with every default, {typical} bytes of a typical key");
    assert!(typical <= 356, "a typical key takes {typical} bytes");
}

#[test]
fn a_record_may_not_ask_for_few_iterations_or_for_too_many() {
    for iterations in [0, 1, MIN_PBKDF2_ITERATIONS - 1, MAX_PBKDF2_ITERATIONS + 1, u32::MAX] {
        let mut record = plain();
        record.verifier = Verifier::Pbkdf2Sha256 { salt: [1; 16], iterations, output: [2; 32] };
        assert!(matches!(KeyRecord::decode(&record.encode().unwrap()), Err(DecodeError::Damaged(_))), "{iterations}");
    }
}

#[test]
fn a_newer_version_is_named_and_not_guessed_at() {
    let mut bytes = plain().encode().unwrap();
    bytes[0] = 5;
    let error = KeyRecord::decode(&bytes).unwrap_err();
    assert_eq!(error, DecodeError::Version(5));
    assert!(error.to_string().contains("upgrade"));
}

#[test]
fn a_cut_or_lengthened_record_is_refused() {
    let (old, new) = succession();
    let mut sensitive = new.clone();
    let name = FieldName::new("card").unwrap();
    sensitive.keep_sensitive(BTreeMap::from([(name, Sealed::from_parts(EntryId::from_bytes([1; 4]), vec![7; 60]))]));
    for record in [plain(), full(), revoked(), old, new, sensitive] {
        let bytes = record.encode().unwrap();
        for length in 0..bytes.len() {
            assert!(KeyRecord::decode(&bytes[..length]).is_err(), "cut to {length}");
        }
        assert!(KeyRecord::decode(&[&bytes[..], &[0]].concat()).is_err());
    }
    assert!(KeyRecord::decode(&vec![1; MAX_RECORD_BYTES + 1]).is_err());
}

/// What is shown may come from a newer version; what is asked for may not.
#[test]
fn fields_of_a_newer_version_are_passed_over_in_what_is_shown() {
    let shown = |path: &str| {
        let mut shown = serde_json::to_value(full().key).unwrap();
        shown.pointer_mut(path).unwrap()["of_a_newer_version"] = json!({ "n": [1] });
        shown
    };
    for path in ["", "/limits", "/rotation", "/lineage"] {
        assert_eq!(serde_json::from_value::<Key>(shown(path)).unwrap(), full().key, "{path}");
    }
    assert!(serde_json::from_value::<Limits>(shown("/limits")["limits"].clone()).is_err());
    assert!(serde_json::from_value::<RotationSchedule>(shown("/rotation")["rotation"].clone()).is_err());
}

#[test]
fn what_is_shown_holds_to_the_rules_of_what_is_made() {
    for (field, value) in [
        ("key_id", json!("0198F3C2-6A41-7D20-9C1E-5B7A90D1C3F4")),
        ("organization_id", json!("a b")),
        ("name", json!("a\u{1b}[31m")),
        ("status", json!("expired")),
        ("limits", json!({ "per_minute": -1 })),
        ("scopes", json!(["a::b"])),
        ("created_at", json!("yesterday")),
    ] {
        let mut shown = serde_json::to_value(full().key).unwrap();
        shown[field] = value;
        assert!(serde_json::from_value::<Key>(shown).is_err(), "{field}");
    }
}

#[test]
fn metadata_that_could_not_be_read_back_is_refused_when_it_is_made() {
    let nested = |depth: usize| {
        let value = (0..depth).fold(Value::Null, |inner, _| Value::Array(vec![inner]));
        Metadata::new(Map::from_iter([("nested".to_owned(), value)]))
    };
    assert!(nested(1_000).is_err());
    // A list that one key's metadata made unreadable would hide all the others.
    let deepest = (100..128).rev().find_map(|depth| nested(depth).ok()).unwrap();
    let mut deep = plain().key;
    deep.metadata = deepest;
    let shown = json!({ "keys": [deep], "next_cursor": null }).to_string();
    assert_eq!(serde_json::from_str::<KeyPage>(&shown).unwrap().keys, [deep]);
    let mut record = plain();
    record.key.metadata = nested(100).unwrap();
    assert_eq!(KeyRecord::decode(&record.encode().unwrap()).unwrap(), record);
}

// Any record a manager could make.

fn ids() -> impl Strategy<Value = String> {
    prop_oneof![9 => "[A-Za-z0-9._-]{1,20}", 1 => "[A-Za-z0-9._-]{128}"]
}

fn text(most: usize) -> impl Strategy<Value = String> {
    prop::collection::vec(prop_oneof![4 => prop::char::range(' ', '~'), 1 => prop::char::range('¡', '\u{24f}'), 1 => prop::char::range('一', '龥')], 0..=most)
        .prop_map(|characters| characters.into_iter().filter(|c| *c != '\u{ad}').collect())
}

fn scope_sets() -> impl Strategy<Value = ScopeSet> {
    prop::collection::vec("([a-z/.@]{1,8}|\\*)(:([a-z0-9]{1,8}|\\*)){0,3}(:\\*\\*)?", 0..8)
        .prop_map(|texts| ScopeSet::parse(texts).unwrap())
}

fn times() -> impl Strategy<Value = DateTime<Utc>> {
    prop_oneof![9 => 0i64..4_000_000_000_000, 1 => -8_000_000_000_000i64..253_000_000_000_000]
        .prop_map(|millis| DateTime::from_timestamp_millis(millis).unwrap())
}

fn limits() -> impl Strategy<Value = Limits> {
    prop::array::uniform5(prop::option::of(1u64..=1_000_000_000_000)).prop_map(
        |[per_minute, per_hour, per_day, per_month, burst]| Limits {
            per_minute,
            per_hour,
            per_day,
            per_month,
            burst,
            ..Limits::UNLIMITED
        },
    )
}

fn json_values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec(("\\PC{0,8}", inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn metadata() -> impl Strategy<Value = Metadata> {
    prop::collection::vec(("\\PC{0,8}", json_values()), 0..4)
        .prop_filter_map("metadata is bounded", |fields| Metadata::new(fields.into_iter().collect()).ok())
}

fn networks() -> impl Strategy<Value = CidrSet> {
    let network = prop_oneof![
        (any::<u32>(), 0u8..=32)
            .prop_map(|(bits, prefix)| ipnet::IpNet::new(std::net::Ipv4Addr::from_bits(bits).into(), prefix)),
        (any::<u128>(), 0u8..=128)
            .prop_map(|(bits, prefix)| ipnet::IpNet::new(std::net::Ipv6Addr::from_bits(bits).into(), prefix)),
    ];
    prop::collection::vec(network.prop_map(|net| Cidr::from(net.unwrap())), 0..6)
        .prop_map(|networks| CidrSet::new(networks).unwrap())
}

fn statuses() -> impl Strategy<Value = StatusChange> {
    let status = prop::sample::select(vec![KeyStatus::Active, KeyStatus::Inactive, KeyStatus::Revoked]);
    let reason = prop::option::of(text(200).prop_filter_map("a reason has a character", |text| Reason::new(text).ok()));
    (status, times(), reason).prop_map(|(status, at, reason)| StatusChange::new(status, at, reason))
}

fn schedules() -> impl Strategy<Value = RotationSchedule> {
    (1u32..=3650, 0u32..3650, any::<bool>(), any::<bool>(), 0u32..=365).prop_map(
        |(interval_days, warning_days, auto_rotate, notify_users, overlap_days)| RotationSchedule {
            interval_days,
            warning_days,
            auto_rotate,
            notify_users,
            overlap_days,
        },
    )
}

fn successions() -> impl Strategy<Value = Succession> {
    let id = || any::<[u8; 16]>().prop_map(KeyId::from_bytes);
    let superseded = (id(), times()).prop_map(|(successor_id, at)| Superseded { successor_id, at });
    (prop::option::of(id()), prop::option::of(superseded), any::<bool>(), prop::option::of(times())).prop_map(
        |(predecessor_id, superseded, hand_over, scheduled_at)| Succession {
            predecessor_id,
            superseded,
            hand_over,
            scheduled_at,
        },
    )
}

fn offers() -> impl Strategy<Value = Option<Sealed>> {
    let sealed = (any::<[u8; 4]>(), prop::collection::vec(any::<u8>(), 0..150));
    prop::option::of(sealed.prop_map(|(entry, bytes)| Sealed::from_parts(EntryId::from_bytes(entry), bytes)))
}

fn sensitive() -> impl Strategy<Value = BTreeMap<FieldName, Sealed>> {
    let sealed = (any::<[u8; 4]>(), prop::collection::vec(any::<u8>(), 0..80));
    let field = ("[A-Za-z0-9._-]{1,20}", sealed).prop_map(|(name, (entry, bytes))| {
        (FieldName::new(name).unwrap(), Sealed::from_parts(EntryId::from_bytes(entry), bytes))
    });
    prop_oneof![2 => Just(BTreeMap::new()), 1 => prop::collection::vec(field, 1..5).prop_map(BTreeMap::from_iter)]
}

fn imported_schemes() -> impl Strategy<Value = ImportedScheme> {
    let salted = (prop::collection::vec(any::<u8>(), 0..=128), 1_000..=2_000_000_u32, 16..=64_u8);
    prop_oneof![
        Just(ImportedScheme::Sha256),
        Just(ImportedScheme::Sha512),
        "[a-z0-9._-]{1,32}".prop_map(|key| ImportedScheme::HmacSha256 { key: key.into() }),
        salted.prop_map(|(salt, iterations, length)| ImportedScheme::Pbkdf2Sha256 {
            salt: salt.into(),
            iterations,
            length
        }),
    ]
}

fn verifiers() -> impl Strategy<Value = Verifier> {
    prop_oneof![
        any::<[u8; 32]>().prop_map(|digest| Verifier::HmacSha256 { digest }),
        (any::<[u8; 16]>(), MIN_PBKDF2_ITERATIONS..=MAX_PBKDF2_ITERATIONS, any::<[u8; 32]>())
            .prop_map(|(salt, iterations, output)| Verifier::Pbkdf2Sha256 { salt, iterations, output }),
        (any::<[u8; 32]>(), imported_schemes()).prop_map(|(digest, scheme)| Verifier::Imported { scheme, digest }),
    ]
}

prop_compose! {
    fn keys()(
        names in (ids(), ids(), prop::option::of(ids()), ids()),
        texts in (text(100), text(500)),
        grants in (scope_sets(), scope_sets(), scope_sets()),
        times in (times(), prop::option::of(times()), prop::option::of(times())),
        bytes in (any::<[u8; 16]>(), prop::option::of((any::<[u8; 16]>(), any::<u32>())), any::<u64>()),
        limits in limits(),
        status in statuses(),
        tags in prop::collection::vec("[A-Za-z0-9._:/=-]{1,20}", 0..6),
        networks in networks(),
        environment in "[a-z0-9]{1,16}",
        more in (prop::option::of(schedules()), any::<bool>(), metadata()),
        succession in successions(),
    ) -> Key {
        let id = KeyId::from_bytes(bytes.0);
        Key {
            id,
            revision: Revision(bytes.2),
            organization: OrganizationId::new(names.0).unwrap(),
            user: UserId::new(names.1).unwrap(),
            project: names.2.map(|name| ProjectId::new(name).unwrap()),
            name: KeyName::new(&texts.0).unwrap_or_else(|_| KeyName::new("a key").unwrap()),
            description: Description::new(texts.1).unwrap(),
            permissions: grants.0,
            scopes: grants.1,
            grantable: grants.2,
            limits,
            created_at: times.0,
            created_by: PrincipalId::new(names.3).unwrap(),
            expires_at: times.1,
            not_before: times.2,
            status,
            tags: tags.into_iter().map(|tag| Tag::new(tag).unwrap()).collect(),
            allowed_ips: networks,
            environment: Environment::new(environment).unwrap(),
            rotation_schedule: more.0,
            security_tier: if more.1 { SecurityTier::High } else { SecurityTier::Standard },
            lineage: bytes.1.map_or(Lineage { root: id, generation: 0 }, |(root, generation)| Lineage { root: KeyId::from_bytes(root), generation }),
            succession,
            metadata: more.2,
            sensitive_fields: Vec::new(),
        }
    }
}

prop_compose! {
    fn records()(
        key in keys(), verifier in verifiers(), entries: ([u8; 4], [u8; 4]), offer in offers(), unclaimed: bool,
        lookup in prop::option::of(any::<[u8; 32]>()), sensitive in sensitive(),
    ) -> KeyRecord {
        let (minted, digested) = (EntryId::from_bytes(entries.0), EntryId::from_bytes(entries.1));
        let lookup = lookup.or_else(|| verifier.is_imported().then_some([7; 32])).map(LookupToken::from_bytes);
        let mut record = KeyRecord { offer, unclaimed, lookup, ..KeyRecord::new(key, verifier, minted, digested) };
        record.keep_sensitive(sensitive);
        record
    }
}

proptest! {
    #![proptest_config(support::property())]

    #[test]
    fn every_record_comes_back_as_it_was(record in records()) {
        let bytes = record.encode().unwrap();
        prop_assert!(bytes.len() <= MAX_RECORD_BYTES);
        prop_assert_eq!(&KeyRecord::decode(&bytes).unwrap(), &record);
        prop_assert_eq!(KeyRecord::decode(&bytes).unwrap().encode().unwrap(), bytes);
    }

    /// Through a management API and back.
    #[test]
    fn every_key_comes_back_from_json_as_it_was(key in keys()) {
        let text = serde_json::to_string(&key).unwrap();
        let read: Key = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&read, &key);
        prop_assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = KeyRecord::decode(&bytes);
        let _ = KeyRecord::decode(&[&[SCHEMA_VERSION], &bytes[..]].concat());
    }

    /// A damaged record is refused or is another record, that comes back as it is; it is never a panic.
    #[test]
    fn no_damage_makes_the_reader_panic(
        full in any::<bool>(), damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let record = if full { self::full() } else { plain() };
        let mut bytes = record.encode().unwrap();
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Ok(read) = KeyRecord::decode(&bytes) {
            prop_assert_eq!(KeyRecord::decode(&read.encode().unwrap()).unwrap(), read);
        }
    }
}

#[test]
fn a_record_with_everything_at_its_longest_is_within_the_bound() {
    let mut record =
        sample::full_record(&OrganizationId::new("o".repeat(128)).unwrap(), &UserId::new("u".repeat(128)).unwrap());
    let longest: Vec<String> = (0..64).map(|n| format!("{n:03}{}", "s".repeat(253))).collect();
    let key = &mut record.key;
    key.name = KeyName::new("龥".repeat(100)).unwrap();
    key.description = Description::new("𝕏".repeat(500)).unwrap();
    key.status.reason = Some(Reason::new("𝕏".repeat(200)).unwrap());
    (key.permissions, key.scopes, key.grantable) = {
        let set = ScopeSet::parse(&longest).unwrap();
        (set.clone(), set.clone(), set)
    };
    key.tags = (0..32).map(|n| Tag::new(format!("{n:02}{}", "t".repeat(62))).unwrap()).collect();
    key.allowed_ips = CidrSet::new((0..64).map(|n| Cidr::new(format!("2001:db8::{n:x}")).unwrap())).unwrap();
    key.metadata = Metadata::new(Map::from_iter([("m".to_owned(), Value::from("x".repeat(4_000)))])).unwrap();
    let sealed = || Sealed::from_parts(EntryId::from_bytes([1; 4]), vec![7; 40 + 4_096 / 32]);
    let field = |n: usize| (FieldName::new(format!("{n:02}{}", "f".repeat(62))).unwrap(), sealed());
    record.keep_sensitive((0..32).map(field).collect());
    let bytes = record.encode().unwrap();
    assert!(bytes.len() < MAX_RECORD_BYTES / 2, "{} bytes", bytes.len());
    assert_eq!(KeyRecord::decode(&bytes).unwrap(), record);
}
