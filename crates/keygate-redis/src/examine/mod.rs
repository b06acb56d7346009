//! Looking a Redis over for its operator: one file for each question.
//!
//! It is done over connections of its own, as a new instance would make them, and each step has its time. What a server
//! does not say, because the user may not ask or because it has no such command, is `unknown` and no failure. What is asked
//! of several primaries comes to [one finding](mod@fold) for each question.

mod ask;
mod canary;
mod clock;
mod cluster;
mod eviction;
mod fold;
mod info;
mod instances;
mod memory;
mod persistence;
mod reached;
mod registry;
mod replicas;
mod sentinels;
mod staleness;
mod version;
mod writes;

use futures_util::future::{join, join_all};
use keygate_core::key::Bucket;
use keygate_core::store::Finding;

use crate::coherence::Audience;
use crate::layout::Layout;
use crate::link::{Bare, Link, Server};
use crate::settings::{Place, RedisSettings, Terms};
use ask::Answer;
use fold::fold;
use info::Info;
use registry::Registry;

/// What an examination goes by.
#[derive(Clone, Copy)]
struct Scene<'a> {
    layout: &'a Layout,
    terms: Terms,
    kind: Kind,
}

/// How the store is reached, which decides on what is to be expected of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// One server.
    Lone,
    /// The one that Sentinels name.
    Sentinel,
    /// All primaries of a Cluster.
    Cluster,
    /// Whatever a pool leads to.
    Pool,
}

/// What one server came to.
struct Seen {
    name: String,
    findings: Vec<Finding>,
    /// Nothing, if it was not got so far.
    more: Option<More>,
}

/// What is judged from all servers together.
struct More {
    registry: Answer<Registry>,
    view: Option<cluster::View>,
}

/// Looks at the store that a link leads to; without settings, over a caller's pool.
pub(crate) async fn examine(link: &Link, settings: Option<&RedisSettings>, audience: &Audience) -> Vec<Finding> {
    let kind = match settings.map(|settings| &settings.address.place) {
        None => Kind::Pool,
        Some(Place::Single(_) | Place::Socket(_)) => Kind::Lone,
        Some(Place::Sentinel { .. }) => Kind::Sentinel,
        Some(Place::Cluster(_)) => Kind::Cluster,
    };
    let scene = Scene { layout: &audience.layout, terms: audience.terms(), kind };
    let sole = [Bucket::of(0)];
    let (around, seen) = match settings {
        None => (Vec::new(), vec![scene.look(&link.describe(), None, Ok(Bare::over(link)), &sole).await]),
        Some(settings) => match kind {
            Kind::Cluster => scene.look_at_all(settings).await,
            Kind::Sentinel => join(sentinels::examine(settings), scene.look_at_primary(settings, &sole)).await,
            Kind::Lone | Kind::Pool => (Vec::new(), vec![scene.look_at_primary(settings, &sole).await.remove(0)]),
        },
    };
    scene.judge(around, seen, audience)
}

impl Scene<'_> {
    /// Puts together what all servers came to.
    fn judge(self, around: Vec<Finding>, seen: Vec<Seen>, audience: &Audience) -> Vec<Finding> {
        let reached: Vec<&More> = seen.iter().filter_map(|one| one.more.as_ref()).collect();
        let registries: Vec<&Answer<Registry>> = reached.iter().map(|more| &more.registry).collect();
        let mut together = Vec::new();
        if self.kind == Kind::Cluster && !seen.is_empty() {
            let views =
                seen.iter().map(|one| (one.name.as_str(), one.more.as_ref().and_then(|more| more.view.as_ref())));
            together.push(cluster::judge(&views.collect::<Vec<_>>()));
        }
        if !registries.is_empty() {
            together.push(staleness::judge(&registries, self.terms, audience.watchers.longest_stale()));
            together.push(instances::judge(&registries));
        }
        let mut findings = fold(seen.into_iter().map(|one| (one.name, one.findings)).collect());
        findings.extend(around);
        findings.extend(together);
        findings
    }

    async fn look_at_primary(self, settings: &RedisSettings, buckets: &[Bucket]) -> Vec<Seen> {
        let seen = match Server::primary(settings).await {
            Ok(server) => {
                let bare = server.open().await;
                self.look(&server.name, Some(&server), bare, buckets).await
            }
            Err(error) => unreached(settings.address.to_string(), &error),
        };
        vec![seen]
    }

    async fn look_at_all(self, settings: &RedisSettings) -> (Vec<Finding>, Vec<Seen>) {
        let shares = match cluster::shares(settings).await {
            Ok(shares) => shares,
            Err(error) => return (Vec::new(), vec![unreached(settings.address.to_string(), &error)]),
        };
        let looks = shares.primaries.iter().map(|share| async {
            match Server::at(settings, &share.host).await {
                Ok(server) => {
                    let bare = server.open().await;
                    self.look(&server.name, Some(&server), bare, &share.buckets).await
                }
                Err(error) => unreached(share.host.to_string(), &error),
            }
        });
        (shares.finding.into_iter().collect(), join_all(looks).await)
    }

    /// Looks at one server, which has these buckets.
    async fn look(
        self,
        name: &str,
        server: Option<&Server>,
        bare: Result<Bare<'_>, redis::RedisError>,
        buckets: &[Bucket],
    ) -> Seen {
        let reached = match bare {
            Ok(bare) => reached::measure(&bare).await.map(|measured| (bare, measured)),
            Err(error) => Err(error),
        };
        let (bare, measured) = match reached {
            Ok(reached) => reached,
            Err(error) => return unreached(name.to_owned(), &error),
        };
        let asked = ask::Asked::of(&bare).await;
        let bucket = buckets.first().copied().unwrap_or_else(|| Bucket::of(0));
        let [writes, tracking] = canary::fly(self.layout, server, &bare, bucket).await;
        let mut findings = vec![
            measured.judge(name, self.terms.lease),
            version::judge(&asked.info),
            writes,
            tracking,
            persistence::judge(&asked),
            eviction::judge(&asked),
            memory::judge(&asked.info),
            replicas::judge(&asked, self.kind),
            clock::judge(&measured.clock),
        ];
        if let (Kind::Lone | Kind::Sentinel | Kind::Pool, Ok(info)) = (self.kind, &asked.info) {
            findings.extend(cluster::mistaken(info));
        }
        let registry = registry::read(&bare, self.layout, buckets, measured.now()).await;
        let view = match self.kind {
            Kind::Cluster => Some(cluster::View::of(&bare).await),
            Kind::Lone | Kind::Sentinel | Kind::Pool => None,
        };
        Seen { name: name.to_owned(), findings, more: Some(More { registry, view }) }
    }
}

fn unreached(name: String, error: &redis::RedisError) -> Seen {
    let findings = vec![reached::not(&name, error)];
    Seen { name, findings, more: None }
}

/// What a server says of itself, or why it does not.
type SelfDescription = Answer<Info>;
