//! What a request asks for, in thirty-two bytes: so that the same request is known again, without keeping it.
//!
//! It is the digest of a JSON text with the fields in one order, those of metadata sorted by name, and without what is
//! not there; keyed by a ring entry where the text has sensitive fields in it, which could be guessed from a plain one.
//! Instances of several versions compare them: a new field must not change the text of a request that leaves it out.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{Expiry, NewKey, OrganizationUpdate};
use crate::key::KeyId;
use crate::limits::Limits;
use crate::names::{Description, Environment, KeyName, NameError, OrganizationId, ProjectId, Tag, UserId};
use crate::network::CidrSet;
use crate::record::{KeyDefaults, KeyPolicy, ParentStatus, RotationSchedule, SecurityTier, Sensitive};
use crate::ring::RingEntry;
use crate::scope::ScopeSet;
use crate::verifier::Scheme;

pub(super) type Fingerprint = [u8; 32];

#[derive(Serialize)]
struct KeyAsked<'a> {
    organization: &'a OrganizationId,
    user: &'a UserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<&'a ProjectId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a KeyName>,
    description: &'a Description,
    permissions: &'a ScopeSet,
    #[serde(skip_serializing_if = "Option::is_none")]
    scopes: Option<&'a ScopeSet>,
    grantable: &'a ScopeSet,
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<&'a Limits>,
    expiry: ExpiryAsked,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<DateTime<Utc>>,
    tags: &'a [Tag],
    allowed_ips: Cow<'a, CidrSet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<Environment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rotation_schedule: Option<&'a RotationSchedule>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    hand_over: bool,
    security_tier: SecurityTier,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheme: Option<Scheme>,
    #[serde(serialize_with = "sorted")]
    metadata: &'a Map<String, Value>,
    #[serde(serialize_with = "sorted_fields", skip_serializing_if = "Sensitive::is_empty")]
    sensitive: &'a Sensitive,
    /// What is said to be as it would be without defaults above it, and so is none of them.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    said: Vec<&'static str>,
}

/// An end as it was asked for. What it comes to by the time of asking is another one at each.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum ExpiryAsked {
    Default,
    /// In seconds and nanoseconds.
    In(i64, i32),
    At(DateTime<Utc>),
    Never,
}

impl From<Expiry> for ExpiryAsked {
    fn from(expiry: Expiry) -> Self {
        match expiry {
            Expiry::Default => Self::Default,
            Expiry::In(life) => Self::In(life.num_seconds(), life.subsec_nanos()),
            Expiry::At(at) => Self::At(at),
            Expiry::Never => Self::Never,
        }
    }
}

impl<'a> KeyAsked<'a> {
    fn of(new: &'a NewKey) -> Self {
        // Every field is named, so that none is forgotten.
        let NewKey {
            organization,
            user,
            project,
            name,
            description,
            permissions,
            scopes,
            grantable,
            limits,
            expiry,
            not_before,
            tags,
            allowed_ips,
            environment,
            rotation_schedule,
            hand_over,
            security_tier,
            scheme,
            metadata,
            sensitive,
        } = new;
        let mut said = Vec::new();
        if allowed_ips.as_ref().is_some_and(CidrSet::is_empty) {
            said.push("allowed_ips");
        }
        if security_tier.is_some_and(|tier| tier == SecurityTier::default()) {
            said.push("security_tier");
        }
        Self {
            organization,
            user,
            project: project.as_ref(),
            name: name.as_ref(),
            description,
            permissions,
            scopes: scopes.as_ref(),
            grantable,
            limits: limits.as_ref(),
            expiry: (*expiry).into(),
            not_before: *not_before,
            tags,
            // Those that are not said are as they were when nothing could stand for them.
            allowed_ips: allowed_ips.as_ref().map_or_else(Cow::default, Cow::Borrowed),
            environment: *environment,
            rotation_schedule: rotation_schedule.as_ref(),
            hand_over: *hand_over,
            security_tier: security_tier.unwrap_or_default(),
            scheme: *scheme,
            metadata: metadata.as_map(),
            sensitive,
            said,
        }
    }
}

#[derive(Serialize)]
struct OrganizationAsked<'a> {
    organization: &'a OrganizationId,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<ParentStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_keys: Option<Option<u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_keys_per_user: Option<Option<u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<Option<Limits>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_limits: Option<Option<Limits>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_limits: Option<Option<Limits>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<&'a Option<KeyPolicy>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    defaults: Option<&'a Option<KeyDefaults>>,
}

impl<'a> OrganizationAsked<'a> {
    fn of(organization: &'a OrganizationId, settings: &'a OrganizationUpdate) -> Self {
        let OrganizationUpdate {
            status,
            max_keys,
            max_keys_per_user,
            limits,
            user_limits,
            key_limits,
            ref policy,
            ref defaults,
        } = *settings;
        let (policy, defaults) = (policy.as_ref(), defaults.as_ref());
        Self { organization, status, max_keys, max_keys_per_user, limits, user_limits, key_limits, policy, defaults }
    }
}

/// Of what a key is to be; where it has sensitive fields, under this ring entry.
pub(super) fn of_key(new: &NewKey, entry: &RingEntry) -> Result<Fingerprint, NameError> {
    let plain = digest(&KeyAsked::of(new))?;
    Ok(if new.sensitive.is_empty() { plain } else { entry.request(&plain) })
}

#[derive(Serialize)]
struct RotationAsked {
    key: KeyId,
    /// In milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    overlap: Option<i64>,
}

/// Of a key that is to be rotated.
pub(super) fn of_rotation(key: KeyId, overlap: Option<TimeDelta>) -> Result<Fingerprint, NameError> {
    digest(&RotationAsked { key, overlap: overlap.map(|overlap| overlap.num_milliseconds()) })
}

/// Of what an organization is to be.
pub(super) fn of_organization(
    organization: &OrganizationId,
    settings: &OrganizationUpdate,
) -> Result<Fingerprint, NameError> {
    digest(&OrganizationAsked::of(organization, settings))
}

fn digest(asked: &impl Serialize) -> Result<Fingerprint, NameError> {
    let mut text = Digested(Sha256::new());
    serde_json::to_writer(&mut text, asked).map_err(|error| NameError::new("request", error.to_string()))?;
    Ok(text.0.finalize().into())
}

/// What is written into it is digested, and kept nowhere.
struct Digested(Sha256);

impl Write for Digested {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn sorted_fields<S: Serializer>(fields: &Sensitive, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(fields.iter().map(|(name, value)| (name, Sorted(value.as_value()))))
}

/// Writes an object with its fields in the order of their names, however deep.
fn sorted<S: Serializer>(fields: &Map<String, Value>, serializer: S) -> Result<S::Ok, S::Error> {
    let fields: BTreeMap<&str, Sorted<'_>> =
        fields.iter().map(|(name, value)| (name.as_str(), Sorted(value))).collect();
    serializer.collect_map(fields)
}

struct Sorted<'a>(&'a Value);

impl Serialize for Sorted<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(fields) => sorted(fields, serializer),
            Value::Array(values) => serializer.collect_seq(values.iter().map(Sorted)),
            value => value.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::network::Cidr;
    use crate::record::Metadata;
    use crate::ring::{MasterSecret, SecretRing};
    use crate::scope::Scope;

    type Change<'a> = dyn Fn(&mut NewKey) + 'a;

    fn plain() -> NewKey {
        NewKey::new("acme".parse().unwrap(), "ada".parse().unwrap())
    }

    fn ring() -> SecretRing {
        SecretRing::new(&MasterSecret::from_bytes(std::array::from_fn(|place| place as u8)).unwrap())
    }

    fn sensitive(fields: &[(&str, Value)]) -> Sensitive {
        Sensitive::new(metadata(fields).as_map().clone()).unwrap()
    }

    fn metadata(fields: &[(&str, Value)]) -> Metadata {
        Metadata::new(fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()).unwrap()
    }

    /// What is written down now is compared by the versions to come.
    #[test]
    fn a_fingerprint_stays_what_it_is() {
        let mut full = plain();
        full.project = Some("website".parse().unwrap());
        full.name = Some("Schlüssel".parse().unwrap());
        full.scopes = Some(ScopeSet::of(Scope::literal("files:read")));
        full.limits = Some(Limits::STANDARD);
        full.expiry = Expiry::At(DateTime::UNIX_EPOCH);
        full.not_before = Some(DateTime::UNIX_EPOCH);
        full.environment = Some(Environment::dev());
        full.scheme = Some(SecurityTier::High.scheme());
        full.metadata = metadata(&[("ticket", 7.into()), ("a", Value::Null)]);
        let text = |asked: &KeyAsked<'_>| serde_json::to_string(asked).unwrap();
        assert_eq!(
            text(&KeyAsked::of(&plain())),
            concat!(
                r#"{"organization":"acme","user":"ada","description":"","permissions":[],"grantable":[],"#,
                r#""expiry":"default","tags":[],"allowed_ips":[],"security_tier":"standard","metadata":{}}"#,
            )
        );
        assert_eq!(
            text(&KeyAsked::of(&full)),
            concat!(
                r#"{"organization":"acme","user":"ada","project":"website","name":"Schlüssel","description":"","#,
                r#""permissions":[],"scopes":["files:read"],"grantable":[],"limits":{"per_minute":1000,"#,
                r#""per_hour":10000,"per_day":100000,"per_month":null,"burst":50},"#,
                r#""expiry":{"at":"1970-01-01T00:00:00Z"},"not_before":"1970-01-01T00:00:00Z","tags":[],"#,
                r#""allowed_ips":[],"environment":"dev","security_tier":"standard","#,
                r#""scheme":{"scheme":"pbkdf2-sha256","iterations":600000},"metadata":{"a":null,"ticket":7}}"#,
            )
        );
        let acme = "acme".parse().unwrap();
        let unlimited = OrganizationUpdate { max_keys: Some(None), ..OrganizationUpdate::default() };
        assert_eq!(
            serde_json::to_string(&OrganizationAsked::of(&acme, &unlimited)).unwrap(),
            r#"{"organization":"acme","max_keys":null}"#
        );
        // Plain ones are what they were before there were secrets to ask for; those with secrets cannot be guessed.
        assert_eq!(of_key(&full, ring().current()).unwrap(), digest(&KeyAsked::of(&full)).unwrap());
        full.sensitive = sensitive(&[("pin", 1234.into())]);
        let end = r#""metadata":{"a":null,"ticket":7},"sensitive":{"pin":1234}}"#;
        assert!(text(&KeyAsked::of(&full)).ends_with(end));
        let keyed = of_key(&full, ring().current()).unwrap();
        assert_ne!(keyed, digest(&KeyAsked::of(&full)).unwrap());
        assert_eq!(keyed, of_key(&full.clone(), ring().current()).unwrap());
        assert_eq!(
            of_organization(&acme, &unlimited).unwrap(),
            <Fingerprint>::from(Sha256::digest(r#"{"organization":"acme","max_keys":null}"#))
        );
    }

    #[test]
    fn whatever_differs_makes_another_fingerprint() {
        let set = ScopeSet::of(Scope::literal("a"));
        let changes: Vec<Box<Change<'_>>> = vec![
            Box::new(|_| {}),
            Box::new(|new| new.organization = "globex".parse().unwrap()),
            Box::new(|new| new.user = "bob".parse().unwrap()),
            Box::new(|new| new.project = Some("website".parse().unwrap())),
            Box::new(|new| new.name = Some("name".parse().unwrap())),
            Box::new(|new| new.description = "described".parse().unwrap()),
            Box::new(|new| new.permissions = set.clone()),
            Box::new(|new| new.scopes = Some(set.clone())),
            Box::new(|new| new.scopes = Some(ScopeSet::empty())),
            Box::new(|new| new.grantable = set.clone()),
            Box::new(|new| new.limits = Some(Limits::STANDARD)),
            Box::new(|new| new.limits = Some(Limits::UNLIMITED)),
            Box::new(|new| new.expiry = Expiry::Never),
            Box::new(|new| new.expiry = Expiry::At(DateTime::UNIX_EPOCH)),
            Box::new(|new| new.expiry = Expiry::In(TimeDelta::seconds(1))),
            Box::new(|new| new.expiry = Expiry::In(TimeDelta::nanoseconds(1))),
            Box::new(|new| new.not_before = Some(DateTime::UNIX_EPOCH)),
            Box::new(|new| new.tags = vec!["a".parse().unwrap(), "b".parse().unwrap()]),
            Box::new(|new| new.tags = vec!["a:b".parse().unwrap()]),
            Box::new(|new| new.allowed_ips = Some(CidrSet::new([Cidr::new("192.0.2.1").unwrap()]).unwrap())),
            Box::new(|new| new.allowed_ips = Some(CidrSet::default())),
            Box::new(|new| new.environment = Some(Environment::dev())),
            Box::new(|new| {
                let (interval_days, warning_days, overlap_days) = (90, 7, 7);
                new.rotation_schedule = Some(RotationSchedule {
                    interval_days,
                    warning_days,
                    overlap_days,
                    auto_rotate: false,
                    notify_users: true,
                });
            }),
            Box::new(|new| new.hand_over = true),
            Box::new(|new| new.security_tier = Some(SecurityTier::High)),
            Box::new(|new| new.security_tier = Some(SecurityTier::Standard)),
            Box::new(|new| new.scheme = Some(SecurityTier::High.scheme())),
            Box::new(|new| new.metadata = metadata(&[("a", 1.into())])),
            Box::new(|new| new.metadata = metadata(&[("a", "1".into())])),
            Box::new(|new| new.sensitive = sensitive(&[("a", 1.into())])),
            Box::new(|new| new.sensitive = sensitive(&[("a", "1".into())])),
            Box::new(|new| new.sensitive = sensitive(&[("b", 1.into())])),
        ];
        let fingerprints: BTreeSet<Fingerprint> = changes
            .iter()
            .map(|change| {
                let mut new = plain();
                change(&mut new);
                of_key(&new, ring().current()).unwrap()
            })
            .collect();
        assert_eq!(fingerprints.len(), changes.len());

        let (acme, globex) = ("acme".parse().unwrap(), "globex".parse().unwrap());
        let unset = OrganizationUpdate::default();
        let asked = [
            of_organization(&acme, &unset),
            of_organization(&globex, &unset),
            of_organization(&acme, &OrganizationUpdate { status: Some(ParentStatus::Active), ..unset.clone() }),
            of_organization(&acme, &OrganizationUpdate { max_keys: Some(None), ..unset.clone() }),
            of_organization(&acme, &OrganizationUpdate { max_keys: Some(Some(1)), ..unset.clone() }),
            of_organization(&acme, &OrganizationUpdate { max_keys_per_user: Some(Some(1)), ..unset.clone() }),
            of_organization(&acme, &OrganizationUpdate { policy: Some(None), ..unset.clone() }),
            of_organization(&acme, &OrganizationUpdate { policy: Some(Some(KeyPolicy::default())), ..unset.clone() }),
            of_organization(&acme, &OrganizationUpdate { defaults: Some(None), ..unset.clone() }),
        ];
        assert_eq!(asked.iter().map(|asked| asked.clone().unwrap()).collect::<BTreeSet<_>>().len(), asked.len());
    }

    #[test]
    fn the_order_of_a_json_objects_fields_is_no_difference() {
        let of = |metadata| of_key(&NewKey { metadata, ..plain() }, ring().current()).unwrap();
        let inner = |fields: &[&str]| Value::Object(fields.iter().map(|name| ((*name).into(), 1.into())).collect());
        let one = metadata(&[("a", vec![inner(&["x", "y"])].into()), ("b", 2.into())]);
        let other = metadata(&[("b", 2.into()), ("a", vec![inner(&["y", "x"])].into())]);
        assert_eq!(of(one.clone()), of(other));
        assert_ne!(of(one), of(metadata(&[("a", vec![inner(&["x", "z"])].into()), ("b", 2.into())])));
    }
}
