//! What an instance keeps of a key, so that it need not ask the store when nothing is unusual.

use chrono::{DateTime, Utc};

use super::finding::Rule;
use super::habits::{Habits, Kind};
use super::policy::AnomalyPolicy;
use super::rules::error_rate::{UsualErrors, WINDOW_REQUESTS, WINDOW_SECONDS, WINDOWS, Window};
use super::rules::volume::Season;
use super::sighting::{Sighting, Whom};
use crate::usage::period::{Day, Hour};

/// How often at most the store is asked whether there are too many requests of a key, in seconds.
const VOLUME_EVERY: i64 = 300;
/// For how long a window waits for its requests, in seconds.
const WINDOW_PATIENCE: i64 = 6 * 3_600;
/// How many networks of an hour are told apart.
const RECENT: usize = 256;
const HOUR_SECONDS: i64 = 3_600;

/// What an instance keeps of a key.
#[derive(Debug)]
pub(super) struct Acquaintance {
    pub(super) habits: Habits,
    /// When it was last examined here; `None` is never.
    seen: Option<Day>,
    /// Requests here in the latest hour.
    hour: (Hour, u64),
    /// What is usual in the hours of a day, of a key that came near to what is unusual.
    pub(super) season: Option<Box<Season>>,
    volume_asked: i64,
    pub(super) windows: [Window; WINDOWS],
    window: Window,
    /// When the window began, in seconds since 1970.
    window_began: i64,
    /// What errors are usual, by the day that this was read on.
    pub(super) usual_errors: Option<(Day, Option<UsualErrors>)>,
    recent: Vec<Recent>,
    /// When each rule found something that it finds once a day.
    found: [Option<Day>; Rule::ALL.len()],
}

/// A network of the last hour.
#[derive(Debug, Clone, Copy)]
struct Recent {
    digest: u32,
    /// In seconds since 1970.
    at: i64,
    is_new: bool,
}

/// A value that the key may not have been used with before, or not for a week.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) kind: Kind,
    pub(super) text: String,
    pub(super) digest: u32,
}

/// How many networks there were within an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spread {
    pub(super) networks: usize,
    pub(super) new: usize,
}

/// What the store has to be asked for.
#[derive(Debug, Default)]
pub(super) struct Asks {
    /// Whether the key has slept.
    pub(super) dormant: bool,
    /// Whether there are too many requests in this hour.
    pub(super) volume: Option<Hour>,
    /// Whether there are too many errors.
    pub(super) errors: bool,
    /// Whether these are new.
    pub(super) values: Vec<Value>,
    /// There were that many networks within an hour.
    pub(super) spread: Option<Spread>,
}

impl Acquaintance {
    pub(super) fn new(today: Day) -> Self {
        Self {
            habits: Habits::new(today),
            seen: None,
            hour: Default::default(),
            season: None,
            volume_asked: 0,
            windows: Default::default(),
            window: Window::default(),
            window_began: 0,
            usual_errors: None,
            recent: Vec::new(),
            found: Default::default(),
        }
    }

    /// Sees the key, and says what the store has to be asked for. `instances` is how many may see as much of it.
    pub(super) fn see(
        &mut self,
        whom: &Whom,
        sighting: &Sighting,
        policy: &AnomalyPolicy,
        instances: u64,
        now: DateTime<Utc>,
    ) -> Asks {
        let (today, seconds) = (Day::of(now), now.timestamp());
        let created = Day::of(whom.created_at);
        let slept = today.0.saturating_sub(self.seen.unwrap_or(created).0);
        let spread = self.come_from(whom, sighting, policy, seconds, today);
        Asks {
            dormant: policy.looks_at(Rule::DormantAwakened) && slept > policy.dormant_days,
            volume: self.count(sighting, policy, instances, seconds),
            errors: self.fail(sighting, policy, seconds),
            values: self.unfamiliar(whom, sighting, policy, today),
            spread,
        }
    }

    /// Was examined: it does not sleep.
    pub(super) fn is_awake(&mut self, today: Day) {
        self.seen = Some(today);
    }

    /// Whether a rule that finds once a day has found today.
    pub(super) fn has_found(&self, rule: Rule, today: Day) -> bool {
        self.found[rule as usize] == Some(today)
    }

    pub(super) fn finds(&mut self, rule: Rule, today: Day) {
        self.found[rule as usize] = Some(today);
    }

    fn count(&mut self, sighting: &Sighting, policy: &AnomalyPolicy, instances: u64, seconds: i64) -> Option<Hour> {
        let (hour, requests) = sighting.hours.last_key_value()?;
        if self.hour.0 != *hour {
            self.hour = (*hour, 0);
        }
        self.hour.1 = self.hour.1.saturating_add(*requests);
        // It need not be all of them that make it unusual here: no balancer is fair to the last request.
        let limit = self.season.as_ref().map_or(0.0, |season| season.limit(*hour) / 2.0);
        let may_be = self.hour.1.saturating_mul(instances.max(1)) as f64 > limit.max(policy.volume_floor as f64);
        let is_due = may_be && seconds - self.volume_asked >= VOLUME_EVERY && policy.looks_at(Rule::Volume);
        if !is_due || self.has_found(Rule::Volume, hour.day()) {
            return None;
        }
        self.volume_asked = seconds;
        Some(*hour)
    }

    /// Counts errors, and says whether the last windows may be unusual: when one of them has just been closed.
    fn fail(&mut self, sighting: &Sighting, policy: &AnomalyPolicy, seconds: i64) -> bool {
        let age = seconds - self.window_began;
        if !(0..WINDOW_PATIENCE).contains(&age) {
            (self.windows, self.window, self.window_began) = (Default::default(), Window::default(), seconds);
        }
        // What is seen now was counted since it was last seen, so it belongs to the window before it is closed.
        self.window.requests = self.window.requests.saturating_add(sighting.requests);
        self.window.errors = self.window.errors.saturating_add(sighting.errors);
        if seconds - self.window_began < WINDOW_SECONDS || self.window.requests < WINDOW_REQUESTS {
            return false;
        }
        self.windows.rotate_left(1);
        self.windows[WINDOWS - 1] = std::mem::take(&mut self.window);
        self.window_began = seconds;
        let least = f64::from(policy.error_points) / 100.0;
        let may_be = self.windows.iter().all(|window| window.requests > 0 && window.share() >= least);
        let day = DateTime::from_timestamp(seconds, 0).map(Day::of).unwrap_or_default();
        may_be && policy.looks_at(Rule::ErrorRate) && !self.has_found(Rule::ErrorRate, day)
    }

    /// Counts networks, and says how many there were within an hour if they are more than in the busiest one.
    fn come_from(
        &mut self,
        whom: &Whom,
        sighting: &Sighting,
        policy: &AnomalyPolicy,
        seconds: i64,
        today: Day,
    ) -> Option<Spread> {
        if !policy.looks_at(Rule::AddressSpread) {
            return None;
        }
        self.recent.retain(|recent| (0..HOUR_SECONDS).contains(&(seconds - recent.at)));
        for network in &sighting.networks {
            let digest = Kind::Network.digest(whom.key, &network.to_string());
            let has_room = self.recent.len() < RECENT;
            match self.recent.iter_mut().find(|recent| recent.digest == digest) {
                Some(recent) => recent.at = seconds,
                None if has_room => {
                    let is_new = !self.habits.is_known(Kind::Network, digest);
                    self.recent.push(Recent { digest, at: seconds, is_new });
                }
                None => {}
            }
        }
        let new = self.recent.iter().filter(|recent| recent.is_new).count();
        let spread = Spread { networks: self.recent.len(), new };
        (spread.networks > self.habits.busiest(today)).then_some(spread)
    }

    /// What is not known of what the key was used with, or has to be written anew.
    fn unfamiliar(&self, whom: &Whom, sighting: &Sighting, policy: &AnomalyPolicy, today: Day) -> Vec<Value> {
        let networks = sighting.networks.iter().map(|network| (Kind::Network, network.to_string()));
        let locations = sighting.locations.iter().map(|location| (Kind::Location, location.to_string()));
        let scopes = sighting.scopes.iter().map(|scope| (Kind::Scope, scope.to_string()));
        let looks = |kind| match kind {
            Kind::Network => policy.looks_at(Rule::NewNetwork) || policy.looks_at(Rule::AddressSpread),
            Kind::Location => policy.looks_at(Rule::NewLocation),
            Kind::Scope => policy.looks_at(Rule::NewScope),
        };
        let values = networks.chain(locations).chain(scopes).filter(|(kind, _)| looks(*kind));
        let values = values.map(|(kind, text)| Value { kind, digest: kind.digest(whom.key, &text), text });
        values
            .filter(|Value { kind, digest, .. }| {
                !self.habits.is_fresh(*kind, *digest, today)
                    && (self.habits.is_known(*kind, *digest) || !self.habits.is_full(*kind, today))
            })
            .collect()
    }

    /// How many bytes it takes in memory.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        let season = self.season.as_ref().map_or(0, |_| size_of::<Season>());
        size_of::<Self>() + self.habits.bytes() + season + self.recent.capacity() * size_of::<Recent>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::KeyId;

    const START: i64 = 1_767_225_600;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(START + seconds, 0).unwrap()
    }

    fn whom() -> Whom {
        Whom { key: KeyId::from_bytes([9; 16]), organization: "acme".parse().unwrap(), created_at: at(0) }
    }

    fn sighting(seconds: i64, requests: u64, errors: u64) -> Sighting {
        let hours = [(Hour::of(at(seconds)), requests)].into();
        Sighting { requests, errors, hours, ..Sighting::default() }
    }

    #[test]
    fn a_quiet_key_asks_for_nothing() {
        let mut known = Acquaintance::new(Day::of(at(0)));
        for second in 0..100_000 {
            let quiet = sighting(second, u64::from(second % 4 == 0), 0);
            let asks = known.see(&whom(), &quiet, &AnomalyPolicy::new(), 1, at(second));
            assert!(!asks.dormant && asks.volume.is_none() && !asks.errors && asks.values.is_empty(), "{second}");
            assert_eq!(asks.spread, None);
        }
    }

    #[test]
    fn a_busy_key_asks_every_five_minutes_and_one_that_fails_when_three_windows_did() {
        let mut known = Acquaintance::new(Day::of(at(0)));
        let (mut volume, mut errors) = (Vec::new(), Vec::new());
        for second in 0..1_800 {
            let asks = known.see(&whom(), &sighting(second, 10, 1), &AnomalyPolicy::new(), 1, at(second));
            volume.extend(asks.volume.map(|_| second));
            errors.extend(asks.errors.then_some(second));
        }
        assert_eq!(volume, [100, 400, 700, 1_000, 1_300, 1_600]);
        assert_eq!(errors, [900, 1_200, 1_500]);
    }

    #[test]
    fn what_is_kept_of_a_key_is_bounded() {
        let mut known = Acquaintance::new(Day::of(at(0)));
        known.season = Season::before(Hour(1_000), &crate::usage::series::Series::default(), 1, 1).map(Box::new);
        for day in 0..90_u32 {
            let mut seen = sighting(i64::from(day) * 86_400, 1, 1);
            let addresses =
                (0..256_u32).map(|number| std::net::IpAddr::from(((day * 256 + number) << 16).to_be_bytes()));
            seen.networks = addresses.map(super::super::sighting::Network::of).collect();
            let now = at(i64::from(day) * 86_400);
            for value in known.see(&whom(), &seen, &AnomalyPolicy::new(), 1, now).values {
                known.habits.see(value.kind, value.digest, Day::of(now));
            }
        }
        assert!(known.bytes() < 8_192, "{}", known.bytes());
        println!("an acquaintance takes {} bytes, the greatest {}", Acquaintance::new(Day(0)).bytes(), known.bytes());
    }
}
