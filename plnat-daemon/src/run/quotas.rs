//! Endpoints that want more than they may hold: looked at in pieces, told once when it begins and once when it is over.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use plnat_common::reason::Reason;
use plnat_common::record::Account;
use serde_json::json;

use super::gateway::Gateway;
use crate::dataplane::DataPlane;
use crate::events::{NewEvent, kind};

/// Accounts read at once: each is one cache line, so that this takes less than a millisecond.
const PIECE: u32 = 8192;
/// From the end of a pass to the start of the next.
const PAUSE: Duration = Duration::from_secs(1);
/// Between two pieces.
const BREATH: Duration = Duration::from_millis(5);
/// How long nothing must have been refused until that is told.
const QUIET: Duration = Duration::from_secs(30);

/// The state of the looking.
#[derive(Debug)]
pub(super) struct Quotas {
    known: HashMap<u32, Known>,
    next: u32,
    /// Whether all accounts were looked at once: what was refused before is no news.
    looked: bool,
    due: Instant,
}

/// What is known of an endpoint slot that was refused something.
#[derive(Clone, Copy, Debug)]
struct Known {
    refused: u64,
    /// By which reason, and when last; none: it is over.
    alarm: Option<(Reason, Instant)>,
}

/// What is to be told of a slot.
#[derive(Clone, Copy, Debug)]
struct News {
    slot: u32,
    account: Account,
    quota: Option<Reason>,
}

impl Quotas {
    pub(super) fn new(now: Instant) -> Self {
        Self { known: HashMap::new(), next: 0, looked: false, due: now }
    }

    /// When there is something to do.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// The quota that an endpoint slot is at.
    pub(super) fn reached(&self, slot: u32) -> Option<Reason> {
        self.known.get(&slot)?.alarm.map(|(reason, _)| reason)
    }

    fn see(&mut self, slot: u32, account: &Account, now: Instant) -> Option<News> {
        let before = self.known.get(&slot).copied();
        if account.refused == 0 && before.is_none() {
            return None;
        }
        let known = self.known.entry(slot).or_insert(Known { refused: 0, alarm: None });
        let grew = account.refused != known.refused && (self.looked || before.is_some());
        known.refused = account.refused;
        let news = |quota| Some(News { slot, account: *account, quota });
        match known.alarm {
            _ if grew => {
                let reason = Reason::of_number(account.why).unwrap_or(Reason::SessionQuota);
                let first = known.alarm.replace((reason, now)).is_none();
                if first { news(Some(reason)) } else { None }
            }
            Some((_, last)) if now.duration_since(last) >= QUIET => {
                known.alarm = None;
                news(None)
            }
            _ => None,
        }
    }
}

impl<P: DataPlane> Gateway<P> {
    /// Looks at what is due.
    pub(super) fn look_at_quotas(&mut self, now: Instant) {
        if now < self.quotas.due {
            return;
        }
        let (first, end) = (self.quotas.next, self.plane.capacity().endpoints);
        let last = first.saturating_add(PIECE).min(end);
        let mut news = vec![];
        let quotas = &mut self.quotas;
        let read = self
            .plane
            .accounts(first..last, &mut |slot, account| news.extend(quotas.see(slot, account, now)));
        if let Err(error) = read {
            tracing::warn!("looking at what endpoints hold: {error}");
            (quotas.next, quotas.due) = (0, now + PAUSE);
            return;
        }
        if last == end {
            (quotas.next, quotas.looked, quotas.due) = (0, true, now + PAUSE);
        } else {
            (quotas.next, quotas.due) = (last, now + BREATH);
        }
        let events: Vec<NewEvent> = news.into_iter().filter_map(|news| self.quota_event(news)).collect();
        if !events.is_empty() {
            self.tell(events);
        }
    }

    fn quota_event(&self, news: News) -> Option<NewEvent> {
        let endpoint = self.planner.endpoint(news.slot)?;
        let it = self.model.connection_event(&endpoint.endpoint, Timestamp::now())?;
        let quota = news.quota.map(Reason::name);
        match quota {
            Some(quota) => tracing::warn!(connection = it.connection, quota, "an endpoint is at its quota"),
            None => tracing::info!(connection = it.connection, "an endpoint is below its quotas again"),
        }
        let Account { sessions, half_open, refused, .. } = news.account;
        let data = json!({
            "quota": quota, "sessions": sessions, "halfOpen": half_open, "refused": refused,
            "connection": it.connection, "privateLinkService": it.private_link_service.to_string(),
            "privateEndpoint": it.private_endpoint.to_string(),
        });
        let audience = vec![it.provider_subscription, it.consumer_subscription];
        Some(NewEvent { audience, ..self.news(kind::ENDPOINT_QUOTA, it.connection, data) })
    }

    /// The quota that an endpoint is at, in words.
    pub(super) fn quota_of(&self, endpoint: &str) -> Option<String> {
        let slots = self.planner.endpoint_slots(endpoint);
        let reason = slots.into_iter().find_map(|slot| self.quotas.reached(slot))?;
        Some(match reason {
            Reason::HalfOpenQuota => "the quota of half-open connections is reached".to_owned(),
            Reason::RateQuota => "the quota of new sessions a second is reached".to_owned(),
            Reason::PortShare => {
                "the shared NAT ports are used up: others hold the rest by guarantee".to_owned()
            }
            Reason::SessionShare => "the sessions that all endpoints share are used up".to_owned(),
            _ => "the quota of sessions is reached".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(refused: u64) -> Account {
        Account { refused, why: Reason::RateQuota as u32, ..Account::default() }
    }

    fn told(quotas: &mut Quotas, refused: u64, now: Instant) -> Option<Option<Reason>> {
        quotas.see(7, &account(refused), now).map(|news| news.quota)
    }

    #[test]
    fn a_refusal_is_told_once_until_it_is_quiet_for_long_enough() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut quotas = Quotas { looked: true, ..Quotas::new(start) };
        assert_eq!(told(&mut quotas, 0, at(0)), None);
        assert_eq!(told(&mut quotas, 1, at(1)), Some(Some(Reason::RateQuota)));
        assert_eq!(told(&mut quotas, 900, at(2)), None);
        assert_eq!(told(&mut quotas, 900, at(31)), None, "quiet for 29 seconds");
        assert_eq!(told(&mut quotas, 900, at(32)), Some(None));
        assert_eq!(told(&mut quotas, 900, at(90)), None);
        assert_eq!(told(&mut quotas, 901, at(91)), Some(Some(Reason::RateQuota)));
    }

    #[test]
    fn what_was_refused_before_this_daemon_looked_is_no_news_and_what_comes_then_is() {
        let start = Instant::now();
        let mut quotas = Quotas::new(start);
        assert_eq!(told(&mut quotas, 5, start), None);
        quotas.looked = true;
        assert_eq!(told(&mut quotas, 5, start), None);
        assert_eq!(told(&mut quotas, 6, start), Some(Some(Reason::RateQuota)));
    }

    #[test]
    fn an_account_that_begins_anew_does_not_count_backwards() {
        let start = Instant::now();
        let mut quotas = Quotas { looked: true, ..Quotas::new(start) };
        assert!(told(&mut quotas, 50, start).is_some());
        assert_eq!(told(&mut quotas, 3, start), None, "already told");
    }
}
