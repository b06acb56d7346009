//! One thing done so often and nothing else, so that the difference of two runs is that thing alone.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use ::http::{HeaderValue, Request, Response};
use axum::body::Body;
use hmac::{Hmac, KeyInit, Mac};
use keygate::clock::{Clock, SystemClock};
use keygate::key::PresentedKey;
use keygate::limits::Limits;
use keygate::manager::{ApiKeyManager, Attempt};
use keygate::store::MemoryStore;
use keygate::tower::PeerAddress;
use sha2::Sha256;
use tower::{Layer, Service};

use crate::arguments::Arguments;
use crate::deployment::{CLIENT, Deployment, ROOMY, context, make_keys, make_keys_under, runtime, warm};
use crate::server::layer;

/// Few enough that what is counted is the program and not the memory, unless that is asked for.
const KEYS: usize = 64;

pub fn run(arguments: &Arguments) {
    let (count, among): (usize, usize) = (arguments.or("count", 10_000), arguments.or("keys", KEYS));
    let runtime = runtime(1);
    let made = |store| {
        let manager = Deployment::new("").builder(store).build().unwrap();
        let keys = runtime.block_on(make_keys(&manager, among));
        runtime.block_on(warm(&manager, &keys));
        (manager, keys)
    };
    let (manager, keys) = made(MemoryStore::new());
    let (_, foreign) = made(MemoryStore::new());
    let malformed: Vec<String> = keys.iter().map(|key| format!("{key}x")).collect();
    let mut turn = (0..count).map(|nth| nth % among);
    let began = std::time::Instant::now();
    match arguments.text("of").unwrap_or("hit") {
        "hit" => turn.for_each(|nth| assert!(attempt(&manager, &keys[nth]))),
        "forged" => turn.for_each(|nth| assert!(!attempt(&manager, &foreign[nth]))),
        "malformed" => turn.for_each(|nth| assert!(!attempt(&manager, &malformed[nth]))),
        "parse" => {
            turn.for_each(|nth| assert!(black_box(PresentedKey::parse(black_box(keys[nth].as_bytes()))).is_ok()));
        }
        "clocks" => turn.for_each(|_| _ = black_box((SystemClock.now(), SystemClock.tick()))),
        "digest" => {
            let state = Hmac::<Sha256>::new(&[7; 64].into());
            turn.for_each(|nth| {
                let mut mac = state.clone();
                mac.update(black_box(keys[nth].as_bytes()));
                black_box(mac.finalize().into_bytes());
            });
        }
        "get" => {
            let ids: Vec<_> = keys.iter().map(|key| PresentedKey::parse(key.as_bytes()).unwrap().id()).collect();
            let cache = quick_cache::sync::Cache::new(100_000);
            ids.iter().for_each(|id| cache.insert(*id, std::sync::Arc::new(0)));
            turn.for_each(|nth| drop(black_box(cache.get(&ids[nth]))));
        }
        "request" => turn.for_each(|nth| assert!(respond(&mut Hello, &keys[nth]))),
        what @ ("layer" | "limited") => {
            let limits = if what == "limited" { ROOMY } else { Limits::UNLIMITED };
            let keys = runtime.block_on(make_keys_under(&manager, among, limits));
            runtime.block_on(warm(&manager, &keys));
            let mut service = layer(&manager).layer(Hello);
            turn.for_each(|nth| assert!(respond(&mut service, &keys[nth])));
        }
        "nothing" => assert!(turn.all(|nth| black_box(nth) < among)),
        other => panic!("--of cannot be {other}"),
    }
    println!("{count} times, {:.1} ns each", began.elapsed().as_nanos() as f64 / count as f64);
}

/// Answers at once.
#[derive(Clone)]
struct Hello;

impl Service<Request<()>> for Hello {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        black_box(request);
        ready(Ok(Response::new(Body::empty())))
    }
}

/// Makes a request, as a server does, and has it answered.
fn respond<S: Service<Request<()>, Response = Response<Body>>>(service: &mut S, key: &str) -> bool {
    let mut request = Request::new(());
    let headers = request.headers_mut();
    let values = [("host", "localhost"), ("user-agent", "load"), ("accept", "*/*"), ("x-forwarded-for", CLIENT)];
    for (name, value) in values {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert("x-api-key", HeaderValue::from_str(key).unwrap());
    request.extensions_mut().insert(PeerAddress(([127, 0, 0, 1], 4711).into()));
    match pin!(service.call(request)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(response)) => response.status() == 200,
        _ => false,
    }
}

fn attempt(manager: &ApiKeyManager, key: &str) -> bool {
    // As each server has it: made once, for all requests.
    thread_local! {
        static CONTEXT: keygate::context::RequestContext = context();
    }
    CONTEXT.with(|context| match manager.attempt(black_box(key.as_bytes()), context) {
        Attempt::Decided(decision) => black_box(decision).is_ok(),
        Attempt::Pending(_) => panic!("it is decided at once"),
    })
}
