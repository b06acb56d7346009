//! What the core costs: `cargo bench --bench core`. Everything is measured in one run on one machine, so that figures
//! can be read as ratios: a refused forgery against a hit, a hit against the bare HMAC in it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use hmac::{Hmac, KeyInit, Mac};
use keygate::actor::{Actor, Operator};
use keygate::audit::AuditPolicy;
use keygate::clock::Tick;
use keygate::context::RequestContext;
use keygate::denial::DenialReason;
use keygate::key::KeyId;
use keygate::limiter::call::MAX_TOKENS;
use keygate::limiter::slot::Slot;
use keygate::limits::{Limits, MAX_LIMIT};
use keygate::manager::{ApiKeyManager, Attempt, CreatedKey, NewKey, NewRole, UserUpdate};
use keygate::names::PrincipalId;
use keygate::network::{Cidr, CidrSet};
use keygate::record::{KeyRecord, Quota};
use keygate::ring::{MasterSecret, SecretRing};
use keygate::scope::{Scope, ScopeSet};
use keygate::store::MemoryStore;
use keygate_testkit::{FaultyStore, sample};
use sha2::Sha256;

/// The answer of a future that waits for nothing: the store is in memory, and no runtime is measured with it.
fn ready<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("the memory store never waits"),
    }
}

/// A manager with so many keys, and so many retired secrets. The store counts its calls.
struct Deployment {
    store: FaultyStore,
    manager: ApiKeyManager,
    keys: Vec<CreatedKey>,
}

fn operator() -> Actor {
    Operator::named(PrincipalId::new("bench").unwrap()).into()
}

/// A key of the usual kind, for a user of its own, that nothing limits.
fn new_key(nth: usize) -> NewKey {
    let mut new = NewKey::new("acme".parse().unwrap(), format!("user-{nth}").parse().unwrap());
    new.scopes = Some(ScopeSet::parse(["files:read", "files:write", "tools:*"]).unwrap());
    new.allowed_ips = Some(CidrSet::new([Cidr::new("192.0.2.0/24").unwrap()]).unwrap());
    new.limits = Some(Limits::UNLIMITED);
    new
}

/// The same with limits in three windows that are never reached.
fn limited_key(nth: usize) -> NewKey {
    let mut new = new_key(nth);
    new.limits = Some(Limits {
        per_minute: Some(MAX_LIMIT),
        per_hour: Some(MAX_LIMIT),
        per_day: Some(MAX_LIMIT),
        ..Limits::UNLIMITED
    });
    new
}

fn manager(store: FaultyStore, retired: usize, capacity: usize) -> ApiKeyManager {
    manager_that(store, retired, capacity, true)
}

fn manager_that(store: FaultyStore, retired: usize, capacity: usize, counts_usage: bool) -> ApiKeyManager {
    let retired: Vec<MasterSecret> = (0..retired).map(|_| MasterSecret::generate().unwrap()).collect();
    let ring = SecretRing::with_retired(&MasterSecret::generate().unwrap(), &retired).unwrap();
    let roomy = Quota { per_organization: u64::MAX, per_user: u64::MAX };
    let builder = ApiKeyManager::builder(store, ring).quota(roomy).cache_capacity(capacity);
    let manager = builder.counts_usage(counts_usage).build().unwrap();
    ready(manager.open()).unwrap();
    manager
}

fn deployment(keys: usize, retired: usize, capacity: usize) -> Deployment {
    deployment_of(new_key, keys, retired, capacity)
}

fn deployment_of(new_key: fn(usize) -> NewKey, keys: usize, retired: usize, capacity: usize) -> Deployment {
    let store = FaultyStore::new(MemoryStore::new());
    let manager = manager(store.clone(), retired, capacity);
    let keys = ready(manager.create_many(&operator(), (0..keys).map(new_key).collect()));
    Deployment { store, manager, keys: keys.into_iter().map(Result::unwrap).collect() }
}

fn context() -> RequestContext {
    RequestContext::new().from_address("192.0.2.7".parse().unwrap()).needing_scope(Scope::new("tools:run").unwrap())
}

/// Why a text is refused at once.
fn refusal(manager: &ApiKeyManager, text: &[u8], context: &RequestContext) -> DenialReason {
    match manager.attempt(text, context) {
        Attempt::Decided(Err(denial)) => denial.reason(),
        other => panic!("the text is refused at once: {other:?}"),
    }
}

fn validate(c: &mut Criterion) {
    let mut group = c.benchmark_group("validate");
    for keys in [1, 1_000, 100_000] {
        let Deployment { store, manager, keys } = deployment(keys, 0, 2 * keys + 100);
        let context = context();
        for key in &keys {
            ready(manager.validate(key.text.expose(), &context)).unwrap();
        }
        store.reset_calls();
        let mut turn = keys.iter().cycle();
        group.bench_function(format!("hit, {} keys", keys.len()), |b| {
            b.iter(|| {
                let text = turn.next().unwrap().text.expose().as_bytes();
                match manager.attempt(black_box(text), &context) {
                    Attempt::Decided(Ok(admission)) => admission,
                    other => panic!("a key that is kept is decided at once: {other:?}"),
                }
            });
        });
        assert_eq!(store.calls().total(), 0, "a hit costs no I/O");
    }
    for keys in [1, 1_000] {
        let Deployment { manager, keys, .. } = deployment_of(limited_key, keys, 0, 2 * keys + 100);
        let context = context();
        // Once for the first token, and once for so many that no more are asked for here.
        for key in &keys {
            for cost in [1, 1_000_000_000] {
                ready(manager.validate(key.text.expose(), &context.clone().costing(cost))).unwrap();
            }
            std::thread::sleep(std::time::Duration::from_micros(100));
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
        for key in &keys {
            ready(manager.validate(key.text.expose(), &context.clone().costing(1_000_000_000))).unwrap();
        }
        let mut turn = keys.iter().cycle();
        group.bench_function(format!("hit with limits, {} keys", keys.len()), |b| {
            b.iter(|| {
                let text = turn.next().unwrap().text.expose();
                match manager.attempt(black_box(text.as_bytes()), &context) {
                    Attempt::Decided(Ok(admission)) => admission,
                    // A minute turns now and then.
                    Attempt::Pending(pending) => ready(pending.resolve()).unwrap(),
                    other => panic!("a key that is kept is let in: {other:?}"),
                }
            });
        });
    }
    {
        // Each key's owner is looked at too, and its role.
        let Deployment { manager, keys, .. } = deployment(1_000, 0, 2_100);
        let (acme, reader) = ("acme".parse().unwrap(), "reader".parse().unwrap());
        let role = NewRole { permissions: ScopeSet::parse(["reports:**"]).unwrap(), ..NewRole::default() };
        ready(manager.put_role(&operator(), &acme, &reader, &role, None)).unwrap();
        let having = UserUpdate { roles: Some(Some(vec![reader])), ..UserUpdate::default() };
        for key in &keys {
            ready(manager.update_user(&operator(), &acme, &key.key.user, &having, None)).unwrap();
        }
        let context = context();
        for key in &keys {
            ready(manager.validate(key.text.expose(), &context)).unwrap();
        }
        let mut turn = keys.iter().cycle();
        group.bench_function(format!("hit of an owner with a role, {} keys", keys.len()), |b| {
            b.iter(|| {
                let text = turn.next().unwrap().text.expose().as_bytes();
                match manager.attempt(black_box(text), &context) {
                    Attempt::Decided(Ok(admission)) => admission,
                    other => panic!("a key that is kept is decided at once: {other:?}"),
                }
            });
        });
    }
    {
        // A limit that is met is told of once a day: whether it was is looked up at each denial.
        let spent = |nth| {
            let mut new = new_key(nth);
            new.limits = Some(Limits { per_month: Some(1), ..Limits::UNLIMITED });
            new
        };
        let Deployment { manager, keys, .. } = deployment_of(spent, 1_000, 0, 2_100);
        let context = context();
        for key in keys.iter().chain(&keys) {
            let _ = ready(manager.validate(key.text.expose(), &context));
        }
        let mut turn = keys.iter().cycle();
        group.bench_function(format!("denied by a limit, {} keys", keys.len()), |b| {
            b.iter(|| {
                let text = turn.next().unwrap().text.expose();
                match manager.attempt(black_box(text.as_bytes()), &context) {
                    Attempt::Decided(Err(denial)) => denial,
                    // What the store has no tokens for is asked for again now and then.
                    Attempt::Pending(pending) => ready(pending.resolve()).unwrap_err(),
                    other => panic!("a key whose limit is met is denied: {other:?}"),
                }
            });
        });
    }
    group.bench_function("a token out of a lease", |b| {
        let slot = Slot::new();
        slot.fill(MAX_TOKENS, Tick::FOREVER);
        let now = Tick::now();
        b.iter(|| slot.take(black_box(1), now).unwrap());
    });
    for keys in [1, 10_000] {
        let Deployment { manager, keys, .. } = deployment(keys, 0, 0);
        let (context, mut turn) = (context(), keys.iter().cycle());
        group.bench_function(format!("memory store, no cache, {} keys", keys.len()), |b| {
            b.iter(|| {
                let text = turn.next().unwrap().text.expose();
                ready(manager.validate(black_box(text), &context)).unwrap()
            });
        });
    }
    for retired in [0, 7] {
        let ours = deployment(1, retired, 100);
        let foreign = deployment(1, 0, 100);
        let forged = foreign.keys[0].text.expose().as_bytes();
        let context = context();
        ours.store.reset_calls();
        group.bench_function(format!("forged key, {retired} retired secrets"), |b| {
            b.iter(|| {
                let reason = refusal(&ours.manager, black_box(forged), &context);
                assert_eq!(reason, DenialReason::InvalidKey);
            });
        });
        assert_eq!(ours.store.calls().total(), 0, "a forgery costs no I/O");
    }
    let ours = deployment(1, 0, 100);
    ours.store.reset_calls();
    let text = ours.keys[0].text.expose();
    for (name, malformed) in [
        (
            "another kind of token",
            "ghp_16C7e42F292c6912E7710c838347Ae178B4a16C7e42F292c6912E7710c838347Ae178B4a".to_owned(),
        ),
        ("one character too long", format!("{text}x")),
        ("a megabyte", "x".repeat(1 << 20)),
    ] {
        let context = context();
        group.bench_function(format!("malformed key, {name}"), |b| {
            b.iter(|| {
                let reason = refusal(&ours.manager, black_box(malformed.as_bytes()), &context);
                assert_eq!(reason, DenialReason::MalformedKey);
            });
        });
    }
    assert_eq!(ours.store.calls().total(), 0, "a malformed key costs no I/O");
    group.finish();
}

/// What it costs to count a request: a hit that is counted against one that is not, and its answer.
fn usage(c: &mut Criterion) {
    let mut group = c.benchmark_group("usage");
    let context = context().for_endpoint("/reports/{id}");
    for keys in [1, 1_000] {
        for counted in [false, true] {
            let manager = manager_that(FaultyStore::new(MemoryStore::new()), 0, 2 * keys + 100, counted);
            let keys = ready(manager.create_many(&operator(), (0..keys).map(new_key).collect()));
            let keys: Vec<_> = keys.into_iter().map(Result::unwrap).collect();
            for key in &keys {
                ready(manager.validate(key.text.expose(), &context)).unwrap();
            }
            let how = if counted { "counted" } else { "not counted" };
            let mut turn = keys.iter().cycle();
            group.bench_function(format!("hit, {how}, {} keys", keys.len()), |b| {
                b.iter(|| {
                    let text = turn.next().unwrap().text.expose().as_bytes();
                    match manager.attempt(black_box(text), &context) {
                        Attempt::Decided(Ok(admission)) => admission,
                        other => panic!("a key that is kept is decided at once: {other:?}"),
                    }
                });
            });
            let admission = ready(manager.validate(keys[0].text.expose(), &context)).unwrap();
            group.bench_function(format!("answer, {how}, {} keys", keys.len()), |b| {
                b.iter(|| admission.recording().answered(black_box(200)));
            });
        }
    }
    group.finish();
}

/// What it costs to write down who did what: an act that is, against one that is not, without the store's round trips.
fn audit(c: &mut Criterion) {
    let mut group = c.benchmark_group("audit");
    // Nobody seals or trims here, so what is written stays in memory.
    group.sample_size(20).measurement_time(std::time::Duration::from_secs(1));
    for (how, policy) in [("written down", AuditPolicy::default()), ("not written down", AuditPolicy::off())] {
        let ring = SecretRing::new(&MasterSecret::generate().unwrap());
        let manager = ApiKeyManager::builder(MemoryStore::new(), ring).audit(policy).build().unwrap();
        ready(manager.open()).unwrap();
        let id = ready(manager.create(&operator(), new_key(0))).unwrap().key.id;
        group.bench_function(format!("deactivate and activate a key, {how}"), |b| {
            b.iter(|| {
                ready(manager.deactivate(&operator(), id, None)).unwrap();
                ready(manager.activate(&operator(), id, None)).unwrap()
            });
        });
    }
    group.finish();
}

fn create(c: &mut Criterion) {
    let mut group = c.benchmark_group("create");
    group.bench_function("one key", |b| {
        b.iter_batched_ref(
            || (manager(FaultyStore::new(MemoryStore::new()), 0, 0), operator()),
            |(manager, operator)| ready(manager.create(operator, new_key(0))).unwrap(),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("1,000 keys at once", |b| {
        b.iter_batched_ref(
            || (manager(FaultyStore::new(MemoryStore::new()), 0, 0), operator()),
            |(manager, operator)| ready(manager.create_many(operator, (0..1_000).map(new_key).collect())),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

/// The hashes alone, as the core uses them: the rest is parsing, the store and the checks.
fn hashes(c: &mut Criterion) {
    let mut group = c.benchmark_group("hash");
    let state = Hmac::<Sha256>::new(&[7; 64].into());
    let text = [b'x'; 84];
    group.bench_function("hmac-sha256 of a key's text", |b| {
        b.iter(|| {
            let mut mac = state.clone();
            mac.update(black_box(&text));
            mac.finalize().into_bytes()
        });
    });
    group.sample_size(10);
    for iterations in [100_000, 600_000] {
        group.bench_function(format!("pbkdf2-sha256, {iterations} iterations"), |b| {
            b.iter(|| {
                let mut output = [0; 32];
                pbkdf2::pbkdf2_hmac::<Sha256>(black_box(&[1; 32]), &[2; 16], iterations, &mut output);
                output
            });
        });
    }
    group.finish();
}

fn records(c: &mut Criterion) {
    let mut group = c.benchmark_group("record");
    let (organization, user) = (sample::organization(), sample::user("ada"));
    for (name, record) in
        [("plain", sample::record(&organization, &user)), ("full", sample::full_record(&organization, &user))]
    {
        let bytes = record.encode().unwrap();
        group.bench_function(format!("encode, {name}, {} bytes", bytes.len()), |b| {
            b.iter(|| black_box(&record).encode().unwrap());
        });
        group.bench_function(format!("decode, {name}, {} bytes", bytes.len()), |b| {
            b.iter(|| KeyRecord::decode(black_box(&bytes)).unwrap());
        });
    }
    group.finish();
}

fn checks(c: &mut Criterion) {
    let mut group = c.benchmark_group("check");
    let asked = Scope::new("files:john:notes:read").unwrap();
    let held = Scope::new("files:*:notes:**").unwrap();
    group.bench_function("scope covers", |b| b.iter(|| black_box(&held).covers(black_box(&asked))));
    let texts: Vec<String> = (0..64).map(|nth| format!("files:user-{nth}:**")).collect();
    let many = ScopeSet::parse(&texts).unwrap();
    group.bench_function("64 scopes, none covers", |b| b.iter(|| black_box(&many).covers(black_box(&asked))));
    let networks = CidrSet::new((0..64).map(|nth| Cidr::new(format!("10.0.{nth}.0/24")).unwrap())).unwrap();
    let address = "192.0.2.7".parse().unwrap();
    group
        .bench_function("64 networks, none contains", |b| b.iter(|| black_box(&networks).contains(black_box(address))));
    group.bench_function("key id to text", |b| {
        let id = KeyId::from_bytes([7; 16]);
        b.iter(|| black_box(id).to_string());
    });
    group.finish();
}

criterion_group!(benches, validate, usage, audit, create, hashes, records, checks);
criterion_main!(benches);
