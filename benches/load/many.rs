//! Lists and bulk operations in an organization of few keys, and in one of very many.

use std::time::Instant;

use keygate::embedded::EmbeddedStore;
use keygate::key::KeyId;
use keygate::manager::{ApiKeyManager, BulkKeys, BulkOperation, Cursor, KeyFilter, KeyUpdate, MAX_BULK, MAX_PAGE};
use keygate::names::{OrganizationId, Tag};
use keygate::record::KeyState;
use keygate::scope::ScopeSet;
use keygate_testkit::RedisServer;
use tempfile::tempdir;
use tokio::runtime::Runtime;

use crate::arguments::Arguments;
use crate::deployment::{Deployment, new_key, operator, runtime};
use crate::figures::{Figures, Table};

/// Keys that are made in one call.
const BATCH: usize = 10_000;
/// Keys of one user.
const OF_A_USER: usize = 100;
/// Of so many keys one has the rare tag.
const RARE: usize = 500;

pub fn run(arguments: &Arguments) {
    let (few, many) = (arguments.or("few", 10_000), arguments.or("keys", 1_000_000));
    let rounds: usize = arguments.or("rounds", 21);
    let runtime = runtime(1);
    for store in ["redis", "file"] {
        let mut columns = Vec::new();
        for count in [few, many] {
            columns.push(measured(&runtime, store, count, rounds));
        }
        println!("\n{store}: milliseconds, medians of {rounds}\n");
        let heads = [&format!("{few} keys"), &format!("{many} keys"), "ratio"].map(|head: &str| head.to_owned());
        let mut table = Table::new(["what", &heads[0], &heads[1], &heads[2]]);
        for ((what, before), (_, after)) in columns[0].iter().zip(&columns[1]) {
            table.line(*what, [format!("{before:.2}"), format!("{after:.2}"), format!("{:.2}", after / before)]);
        }
        table.print();
    }
}

/// The median of each thing that is done, in milliseconds, in an organization of so many keys.
fn measured(runtime: &Runtime, store: &str, count: usize, rounds: usize) -> Vec<(&'static str, f64)> {
    let directory = tempdir().unwrap();
    let server = (store == "redis").then(|| runtime.block_on(RedisServer::start()).unwrap());
    runtime.block_on(async {
        let manager = match &server {
            Some(server) => Deployment::new(server.url()).connect(|builder| builder).await,
            None => {
                let store = EmbeddedStore::open(directory.path().join("keys.redb")).unwrap();
                let manager = Deployment::new("").builder(store).build().unwrap();
                manager.open().await.unwrap();
                manager
            }
        };
        let began = Instant::now();
        fill(&manager, count).await;
        eprintln!("{store}: {count} keys made in {:.1} s", began.elapsed().as_secs_f64());
        measure(&manager, count, rounds).await
    })
}

async fn fill(manager: &ApiKeyManager, count: usize) {
    let rare: Tag = "rare".parse().unwrap();
    for begin in (0..count).step_by(BATCH) {
        let keys = (begin..count.min(begin + BATCH)).map(|nth| {
            let mut new = new_key(nth / OF_A_USER);
            if nth % RARE == 0 {
                new.tags = vec![rare.clone()];
            }
            new
        });
        for made in manager.create_many(&operator(), keys.collect()).await {
            made.unwrap();
        }
    }
}

async fn measure(manager: &ApiKeyManager, count: usize, rounds: usize) -> Vec<(&'static str, f64)> {
    let acme: OrganizationId = "acme".parse().unwrap();
    let with = |change: fn(&mut KeyFilter)| {
        let mut filter = KeyFilter::default();
        change(&mut filter);
        filter
    };
    let list = async |filter: &KeyFilter, limit: usize, after: Option<Cursor>| {
        manager.list(&operator(), &acme, filter, limit, after).await.unwrap()
    };
    let everything = KeyFilter::default();
    // Into the middle, page by page as anybody would get there.
    let mut middle = None;
    for _ in 0..count / 2 / MAX_PAGE {
        middle = list(&everything, MAX_PAGE, middle).await.next_cursor;
    }
    let ids: Vec<KeyId> = list(&everything, MAX_BULK, middle).await.keys.iter().map(|key| key.id).collect();
    assert_eq!(ids.len(), MAX_BULK, "too few keys are asked for");
    let of_user = with(|filter| filter.user = Some("user-7".parse().unwrap()));
    let rare = with(|filter| filter.tag = Some("rare".parse().unwrap()));
    let active = with(|filter| filter.state = Some(KeyState::Active));
    let scoped = |nth: usize| {
        let mut update = KeyUpdate::new();
        update.scopes = Some(ScopeSet::parse([format!("files:{nth}")]).unwrap());
        BulkOperation::Update(Box::new(update))
    };
    let bulk = async |operation: &BulkOperation, keys: &BulkKeys, dry_run: bool| {
        let page = manager.bulk_of(&operator(), &acme, operation, keys, dry_run).await.unwrap();
        assert!(page.outcome.failed.is_empty(), "{:?}", page.outcome.failed);
    };
    let named = BulkKeys::Named(ids);
    let matching = BulkKeys::Matching { filter: of_user.clone(), limit: OF_A_USER, cursor: None };
    let deactivate = BulkOperation::Deactivate { reason: None };
    let activate = BulkOperation::Activate { reason: None };

    let mut medians = Vec::new();
    macro_rules! time {
        ($what:literal, $nth:ident, $done:expr) => {
            let mut figures = Vec::with_capacity(rounds);
            for $nth in 0..rounds {
                let _ = $nth;
                let began = Instant::now();
                $done;
                figures.push(began.elapsed().as_secs_f64() * 1e3);
            }
            medians.push(($what, Figures::new(figures).median()));
        };
    }
    time!("the newest 1,000", nth, list(&everything, MAX_PAGE, None).await);
    time!("1,000 from the middle", nth, list(&everything, MAX_PAGE, middle).await);
    time!("a page of those that are active", nth, list(&active, MAX_PAGE, middle).await);
    time!("the 100 of a user", nth, list(&of_user, MAX_PAGE, None).await);
    time!("a page of a tag that one in 500 has", nth, list(&rare, MAX_PAGE, middle).await);
    time!("update 1,000", nth, bulk(&scoped(nth), &named, false).await);
    time!("deactivate 1,000, and activate them", nth, {
        bulk(&deactivate, &named, false).await;
        bulk(&activate, &named, false).await;
    });
    time!("a dry run over those of a user", nth, bulk(&deactivate, &matching, true).await);
    medians
}
