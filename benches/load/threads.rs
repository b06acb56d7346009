//! Checks of keys that are kept, by one thread and by two.

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use keygate::context::RequestContext;
use keygate::key::{KeyId, PresentedKey};
use keygate::manager::{ApiKeyManager, Attempt};
use keygate::store::MemoryStore;

use crate::arguments::Arguments;
use crate::deployment::{Deployment, context, make_keys, runtime, warm};
use crate::figures::{Figures, Table};

/// How many operations are done between two looks at the clock.
const BATCH: usize = 256;

pub fn run(arguments: &Arguments) {
    let sizes = arguments.option("keys").map_or_else(|| vec![1_000, 100_000], |only| vec![only]);
    for keys in sizes {
        compare(arguments, keys);
    }
}

/// What is timed: operation `nth`, over one of the keys.
type Operation<'a> = Box<dyn Fn(usize) + Sync + 'a>;

fn compare(arguments: &Arguments, count: usize) {
    let (rounds, millis) = (arguments.or("rounds", 5), arguments.or("millis", 1000));
    let runtime = runtime(1);
    // Twice the room, so that all keys are kept in whichever part of the cache they fall.
    let manager = Deployment::new("").builder(MemoryStore::new()).cache_capacity(2 * count).build().unwrap();
    let mut keys = runtime.block_on(make_keys(&manager, count));
    shuffle(&mut keys);
    runtime.block_on(warm(&manager, &keys));
    let ids: Vec<KeyId> = keys.iter().map(|key| PresentedKey::parse(key.as_bytes()).unwrap().id()).collect();

    let context = context();
    let quick: quick_cache::sync::Cache<KeyId, std::sync::Arc<usize>> = quick_cache::sync::Cache::new(2 * count);
    let moka: moka::sync::Cache<KeyId, std::sync::Arc<usize>> = moka::sync::Cache::new(2 * count as u64);
    for (nth, id) in ids.iter().enumerate() {
        quick.insert(*id, nth.into());
        moka.insert(*id, nth.into());
    }
    moka.run_pending_tasks();
    let at = |nth: usize| nth % count;
    let operations: [(&str, Operation<'_>); 7] = [
        ("a check, different keys", Box::new(|nth| hit(&manager, &context, &keys[at(nth)]))),
        ("a check, one hot key", Box::new(|_| hit(&manager, &context, &keys[0]))),
        ("a text is copied, and no more", Box::new(|nth| _ = black_box(copy(&keys[at(nth)])))),
        ("quick_cache get, different keys", Box::new(|nth| drop(black_box(quick.get(&ids[at(nth)])).unwrap()))),
        ("quick_cache get, one hot key", Box::new(|_| drop(black_box(quick.get(&ids[0])).unwrap()))),
        ("moka get, different keys", Box::new(|nth| drop(black_box(moka.get(&ids[at(nth)])).unwrap()))),
        ("moka get, one hot key", Box::new(|_| drop(black_box(moka.get(&ids[0])).unwrap()))),
    ];

    let mut one: Vec<Vec<f64>> = vec![Vec::new(); operations.len()];
    let mut two = one.clone();
    let before = manager.cache_statistics();
    for _ in 0..rounds {
        for (nth, (_, operation)) in operations.iter().enumerate() {
            one[nth].push(per_second(1, Duration::from_millis(millis), operation));
            two[nth].push(per_second(2, Duration::from_millis(millis), operation));
        }
    }
    let missed = manager.cache_statistics().misses - before.misses;
    assert_eq!(missed, 0, "every check was to be a hit");

    println!("{count} active keys, all checks on, {rounds} rounds of {millis} ms: least, median and most\n");
    let mut table = Table::new(["two threads' throughput against one's", "", "", ""]);
    for (nth, (name, _)) in operations.iter().enumerate() {
        table.line(*name, Figures::new(two[nth].iter().zip(&one[nth]).map(|(two, one)| two / one)).cells(2));
    }
    table.print();
    let mut table = Table::new(["ns for each, by one thread", "", "", "", "of a check"]);
    let nanos = |nth: usize| Figures::new(one[nth].iter().map(|per_second| 1e9 / per_second));
    let check = nanos(0).median();
    for (nth, (name, _)) in operations.iter().enumerate() {
        let figures = nanos(nth);
        table.line(*name, figures.cells(0).into_iter().chain([format!("{:.2}", figures.median() / check)]));
    }
    table.print();
    tight(count);
}

/// What a cache with room for exactly so many keys keeps of them.
fn tight(count: usize) {
    let runtime = runtime(1);
    let manager = Deployment::new("").builder(MemoryStore::new()).cache_capacity(count).build().unwrap();
    let keys = runtime.block_on(make_keys(&manager, count));
    for _ in 0..3 {
        runtime.block_on(warm(&manager, &keys));
    }
    let before = manager.cache_statistics();
    runtime.block_on(warm(&manager, &keys));
    let after = manager.cache_statistics();
    let hits = (after.hits - before.hits) as f64 / count as f64;
    println!(
        "{count} active keys in a cache for {count}: {} are kept, {hits:.3} of the checks are hits\n",
        after.entries
    );
}

/// As a server has it: the text has just been read into memory that is at hand.
fn copy(key: &str) -> ([u8; 128], usize) {
    let mut text = [0; 128];
    text[..key.len()].copy_from_slice(key.as_bytes());
    (text, key.len())
}

fn hit(manager: &ApiKeyManager, context: &RequestContext, key: &str) {
    let (text, length) = black_box(copy(key));
    match manager.attempt(&text[..length], context) {
        Attempt::Decided(Ok(admission)) => drop(black_box(admission)),
        other => panic!("a kept key is let in at once: {other:?}"),
    }
}

/// How often the operation is done in a second, by so many threads together, each of which has keys of its own.
fn per_second(threads: usize, at_least: Duration, operation: &Operation<'_>) -> f64 {
    let barrier = Barrier::new(threads);
    let rates = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|thread| {
                let barrier = &barrier;
                scope.spawn(move || {
                    let (mut nth, mut done) = (thread, 0_u64);
                    barrier.wait();
                    let began = Instant::now();
                    while began.elapsed() < at_least {
                        for _ in 0..BATCH {
                            operation(nth);
                            nth += threads;
                        }
                        done += BATCH as u64;
                    }
                    done as f64 / began.elapsed().as_secs_f64()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<f64>>()
    });
    rates.iter().sum()
}

/// Into an order that has nothing to do with that of the ids (Fisher and Yates, over an xorshift).
fn shuffle(keys: &mut [String]) {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for last in (1..keys.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        keys.swap(last, (state % (last as u64 + 1)) as usize);
    }
}
