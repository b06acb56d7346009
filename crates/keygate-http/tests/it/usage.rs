//! What a gate has counted of a request: its endpoint, its client's address and where that is, and how it was answered.

use std::net::IpAddr;

use keygate_core::context::{Admission, RequestContext};
use keygate_core::limits::Limits;
use keygate_core::network::{Cidr, CidrSet};
use keygate_core::usage::location::Location;
use keygate_core::usage::outcome::Answered;
use keygate_core::usage::report::{Breakdown, Share};
use keygate_http::gate::{Asked, Gate, Verdict};
use keygate_http::location::LocationHeader;

use crate::support::{Deployment, GET, ask, decide};

const OF_A_REPORT: Asked<'static> = Asked::new("GET", "/reports/7", None).matching(Some("/reports/{id}"));

fn shares(shares: &[Share]) -> Vec<(&str, u64)> {
    shares.iter().map(|share| (&*share.name, share.requests)).collect()
}

struct World {
    deployment: Deployment,
    key: String,
    admitted: Admission,
}

impl World {
    /// One request was let in, for no endpoint and from nowhere.
    async fn new() -> Self {
        let deployment = Deployment::start().await;
        let key = deployment.key(Limits::UNLIMITED).await;
        let admitted = ask(&Gate::new(deployment.manager.clone()), GET, &key).await.unwrap();
        Self { deployment, key, admitted }
    }

    fn gate(&self) -> Gate {
        Gate::new(self.deployment.manager.clone())
    }

    async fn breakdown(&self) -> Breakdown {
        self.deployment.usage(self.admitted.id).await.breakdown
    }

    async fn ask_from(&self, gate: &Gate, peer: &str, header: (&str, &str)) {
        let headers = [("X-API-Key", &*self.key), header];
        decide(gate.judge(GET, &headers[..], Some(peer.parse().unwrap()))).await.unwrap();
    }
}

#[tokio::test]
async fn a_request_is_for_its_route_unless_the_gate_says_something_else() {
    let world = World::new().await;
    ask(&world.gate(), OF_A_REPORT, &world.key).await.unwrap();
    let by_method = world.gate().endpoint(|asked| (asked.method == "GET").then_some("reading"));
    ask(&by_method, OF_A_REPORT, &world.key).await.unwrap();
    let writing = Asked::new("PUT", "/reports/7", None).matching(OF_A_REPORT.route);
    ask(&by_method, writing, &world.key).await.unwrap();
    let by_part = world.gate().endpoint(|asked| asked.route?.split('/').nth(1));
    ask(&by_part, OF_A_REPORT, &world.key).await.unwrap();

    let breakdown = world.breakdown().await;
    assert_eq!(shares(&breakdown.by_endpoint), [("/reports/{id}", 1), ("reading", 1), ("reports", 1)]);
    assert_eq!(shares(&breakdown.by_outcome), [("admitted", 5)]);
}

#[tokio::test]
async fn a_question_with_a_context_of_its_own_brings_its_endpoint_and_may_bring_a_location() {
    let world = World::new().await;
    let gate = world.gate().location(|_: IpAddr| Location::new("DE").ok());
    let context = RequestContext::new().for_endpoint("/billing");
    let elsewhere = context.clone().from_location(Location::new("FR").unwrap());
    for context in [&context, &elsewhere] {
        let headers = [("X-API-Key", &*world.key)];
        let peer = Some("192.0.2.1".parse().unwrap());
        decide(gate.judge_for(context, OF_A_REPORT, &headers[..], peer)).await.unwrap();
    }
    let breakdown = world.breakdown().await;
    assert_eq!(shares(&breakdown.by_endpoint), [("/billing", 2)]);
    assert_eq!(shares(&breakdown.by_location), [("DE", 1), ("FR", 1)]);
}

#[tokio::test]
async fn locations_come_from_the_clients_address_or_from_a_proxy_that_is_trusted() {
    let world = World::new().await;
    let proxies = CidrSet::new([Cidr::new("10.0.0.0/8").unwrap()]).unwrap();
    let resolving = world.gate().trusted_proxies(proxies.clone()).location(|address: IpAddr| {
        let text = if address == "192.0.2.7".parse::<IpAddr>().unwrap() { "known" } else { return None };
        Location::new(text).ok()
    });
    world.ask_from(&resolving, "10.0.0.1", ("X-Forwarded-For", "192.0.2.7")).await;
    world.ask_from(&resolving, "192.0.2.8", ("X-Forwarded-For", "192.0.2.7")).await;

    let header = world.gate().trusted_proxies(proxies).location(LocationHeader::new("CF-IPCountry").unwrap());
    world.ask_from(&header, "10.0.0.1", ("cf-ipcountry", "DE")).await;
    world.ask_from(&header, "192.0.2.8", ("cf-ipcountry", "FR")).await;

    assert_eq!(shares(&world.breakdown().await.by_location), [("DE", 1), ("known", 1)]);
}

#[tokio::test]
async fn an_answer_is_counted_once_as_what_it_came_to() {
    let world = World::new().await;
    let gate = world.gate();
    let follow = || gate.follow(&world.admitted);
    follow().answered(204);
    follow().answered(302);
    follow().answered(101);
    follow().answered(404);
    follow().answered(503);
    follow().failed();
    follow().came_to(Answered::ClientError);
    drop(follow());
    let panicked = std::thread::scope(|scope| {
        let followed = follow();
        let handler = scope.spawn(move || {
            let _followed = followed;
            panic!("of a test");
        });
        handler.join().is_err()
    });
    assert!(panicked);

    let report = world.deployment.usage(world.admitted.id).await;
    let expected = [("5xx", 3), ("4xx", 2), ("1xx", 1), ("2xx", 1), ("3xx", 1), ("cancelled", 1)];
    assert_eq!(shares(&report.breakdown.by_status), expected);
    assert_eq!(report.breakdown.errors, 5);
}

#[tokio::test]
async fn who_has_shown_no_key_is_counted_of_nobody() {
    let world = World::new().await;
    let gate = world.gate();
    for text in ["no key", "mcp_dev_bad"] {
        ask(&gate, OF_A_REPORT, text).await.unwrap_err();
    }
    let verdict = gate.optional().judge(OF_A_REPORT, &[("accept", "*/*")][..], None);
    assert!(matches!(verdict, Verdict::Pass(_)));
    assert_eq!(world.deployment.manager.usage_statistics().forged, 2);
    assert_eq!(world.breakdown().await.requests, 1);
}
