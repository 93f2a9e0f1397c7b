//! The gateway: model, planner, data plane and store, brought together. One thread owns it and every call ends in the same
//! way: what is wanted is planned, kept, compared with what is installed, and written.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::watch;
use uuid::Uuid;

use super::ground::Grounds;
use super::message::Message;
use super::quotas::Quotas;
use super::rows::{MODEL, SLOTS, changes, corrections, rows_of};
use super::sweep::Sweeps;
use super::usage::Usage;
use crate::auth::{AccessError, KeyKeeper};
use crate::config::{self, Config, Diagnostics};
use crate::dataplane::{DataPlane, PlaneError, TagSight};
use crate::dns;
use crate::events::{EventBus, EventError, NewEvent, kind};
use crate::intent::Delta;
use crate::model::{Event, Model, ProbeTarget};
use crate::netlink;
use crate::plan::{self, Draft, PlanError, Planner, Records};
use crate::probe;
use crate::store::{Change, Row};
use crate::webhook::WebhookSpec;

/// How long after a failure the gateway tries again; doubled with every failure in a row.
const RETRY: Duration = Duration::from_millis(500);
/// The longest pause between two tries.
const LONGEST_RETRY: Duration = Duration::from_secs(30);
/// How often an interface that refuses the program is tried again.
const ATTACH: Duration = Duration::from_secs(5);
/// Plans in a row that only follow from sweeps; more would mean that two plans contradict each other.
const ROUNDS: u32 = 8;

/// What a gateway is made of.
pub struct Parts<P> {
    /// The data plane.
    pub plane: P,
    /// Whether the data plane was taken over from a predecessor.
    pub adopted: bool,
    /// Where rows and events go.
    pub bus: Arc<EventBus>,
    /// All rows of the store.
    pub rows: Vec<Row>,
    /// The model that the rows gave.
    pub model: Model,
    /// The configuration file.
    pub file: PathBuf,
    /// What is probed.
    pub probes: watch::Sender<probe::Targets>,
    /// What netlink has to resolve.
    pub networks: watch::Sender<Vec<netlink::Network>>,
    /// What names are answered with.
    pub dns: dns::Desk,
    /// Who may call the API.
    pub access: watch::Sender<Arc<KeyKeeper>>,
    /// Takes the receivers of events that the configuration names.
    pub webhooks: watch::Sender<Vec<WebhookSpec>>,
}

/// Why a configuration was not taken over; the running one stays.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The file is wrong.
    #[error("{0}")]
    Wrong(Diagnostics),
    /// It does not fit into the maps.
    #[error("{0}")]
    NoRoom(#[from] PlanError),
    /// Nobody can be let in by it.
    #[error("{0}")]
    Access(#[from] AccessError),
    /// It could not be kept, or the data plane failed.
    #[error("{0}")]
    Failed(String),
}

impl From<AdoptError> for ReloadError {
    fn from(error: AdoptError) -> Self {
        match error {
            AdoptError::NoRoom(error) => Self::NoRoom(error),
            error => Self::Failed(error.to_string()),
        }
    }
}

/// Why a model was not taken over; nothing changed then.
#[derive(Debug, thiserror::Error)]
pub(super) enum AdoptError {
    /// It does not fit into the maps.
    #[error("{0}")]
    NoRoom(#[from] PlanError),
    /// The sweep that would have made room failed.
    #[error("{0}")]
    Sweep(PlaneError),
    /// It could not be kept.
    #[error("{0}")]
    Store(#[from] EventError),
}

/// The gateway.
pub struct Gateway<P> {
    pub(super) plane: P,
    pub(super) adopted: bool,
    pub(super) bus: Arc<EventBus>,
    pub(super) model: Model,
    pub(super) planner: Planner,
    pub(super) installed: Records,
    pub(super) grounds: Grounds,
    pub(super) file: PathBuf,
    pub(super) config: Option<Config>,
    /// What the file said when it was last taken over or refused.
    text: Option<String>,
    pub(super) generation: u64,
    pub(super) loaded: Timestamp,
    pub(super) started: Timestamp,
    pub(super) file_problem: Option<String>,
    /// Why the last convergence stopped.
    pub(super) stuck: Option<String>,
    /// Why an interface has no program, by name.
    pub(super) unattached: BTreeMap<String, String>,
    /// Last words of each probe.
    pub(super) health_reasons: HashMap<ProbeTarget, String>,
    pub(super) sweeps: Sweeps,
    /// The model as the store has it.
    kept: Model,
    /// The model as it was last planned.
    planned: Model,
    /// What the store is to be told beside the next change.
    corrections: Vec<Change>,
    /// The model as the prober and netlink were last told of it, and the ground that netlink was.
    published: (Model, Arc<plan::Ground>),
    pub(super) usage: Usage,
    pub(super) quotas: Quotas,
    /// Index of the interface that the program is attached to, by name.
    attached: BTreeMap<String, u32>,
    sweep_due: bool,
    retry: Option<(Instant, Duration)>,
    next_attach: Instant,
    probes: watch::Sender<probe::Targets>,
    probe_targets: HashMap<String, ProbeTarget>,
    networks: watch::Sender<Vec<netlink::Network>>,
    pub(super) dns: dns::Desk,
    webhooks: watch::Sender<Vec<WebhookSpec>>,
    access: watch::Sender<Arc<KeyKeeper>>,
}

impl<P: DataPlane> Gateway<P> {
    /// A gateway that has not read its configuration yet.
    ///
    /// # Errors
    /// When the maps cannot be read, or the store's slots do not fit them.
    pub fn new(parts: Parts<P>) -> anyhow::Result<Self> {
        let Parts { mut plane, adopted, bus, rows, model, file, probes, networks, dns, access, webhooks } =
            parts;
        let (stored, slots) = (rows_of(MODEL, &rows), rows_of(SLOTS, &rows));
        let installed = plane.installed()?;
        // New maps hold no session that would name a slot, so slots may be given out anew.
        let planner = match Planner::import(plane.capacity(), &slots) {
            Ok(planner) => planner,
            Err(_) if !adopted => Planner::new(plane.capacity()),
            Err(error) => return Err(error.into()),
        };
        let mut wrong = corrections(MODEL, &stored, &model.durable_rows());
        wrong.extend(corrections(SLOTS, &slots, &planner.export()));
        let mut grounds = Grounds::default();
        grounds.remember(&installed, |slot| planner.backend(slot), Instant::now());
        let attached = plane.attachments().into_iter().map(|it| (it.interface, it.index)).collect();
        let now = Timestamp::now();
        Ok(Self {
            sweeps: Sweeps::new(&plane),
            usage: Usage::new(Instant::now()),
            quotas: Quotas::new(Instant::now()),
            plane,
            adopted,
            bus,
            kept: model.clone(),
            model,
            planned: Model::default(),
            corrections: wrong,
            published: Default::default(),
            planner,
            installed,
            grounds,
            file,
            config: None,
            text: None,
            generation: 0,
            loaded: now,
            started: now,
            file_problem: None,
            stuck: None,
            unattached: BTreeMap::new(),
            health_reasons: HashMap::new(),
            attached,
            // Whatever a predecessor left half done.
            sweep_due: adopted,
            retry: None,
            next_attach: Instant::now(),
            probes,
            probe_targets: HashMap::new(),
            networks,
            dns,
            access,
            webhooks,
        })
    }

    /// Publishes what a first configuration will want of netlink, so that next hops are known before it is taken over.
    pub fn prepare(&mut self, config: &Config) {
        let mut model = self.model.clone();
        if model.declare(&config.declaration, Timestamp::now(), &mut Uuid::new_v4).is_ok() {
            let intent = model.intent();
            self.networks.send_replace(self.grounds.wanted(intent.services.iter(), &intent.links));
        }
    }

    /// Takes a look at the network without acting on it yet.
    pub fn take_quietly(&mut self, message: Message) {
        if let Message::Network(interfaces, hops) = message {
            self.grounds.see(interfaces, hops, Instant::now());
        }
    }

    /// Tells an event of the daemon itself.
    pub fn announce(&mut self, kind: &str, data: serde_json::Value) {
        self.tell(vec![self.news(kind, self.file.display().to_string(), data)]);
    }

    /// Reads the configuration file again and makes it so: all of it or nothing. The answer is what changed, line by line.
    ///
    /// # Errors
    /// When the file is wrong, or does not fit. The running configuration stays then, and the error is an event.
    pub fn reload(&mut self) -> Result<Vec<String>, ReloadError> {
        let result = self.take_over_file();
        match &result {
            Ok(changes) if changes.is_empty() => tracing::info!("the configuration says what it said before"),
            Ok(changes) => {
                tracing::info!(generation = self.generation, "configuration taken over");
                changes.iter().for_each(|line| tracing::info!("{line}"));
            }
            Err(error) => {
                let text = error.to_string();
                tracing::error!("configuration refused, the running one stays:\n{text}");
                let data = serde_json::json!({ "error": text });
                self.tell(vec![self.news(
                    kind::CONFIGURATION_REFUSED,
                    self.file.display().to_string(),
                    data,
                )]);
            }
        }
        self.file_problem = result.as_ref().err().map(|error| {
            format!(
                "the configuration file is refused: {}",
                error.to_string().lines().next().unwrap_or_default()
            )
        });
        result
    }

    /// Reads the file again if it says something that was neither taken over nor refused yet. The comparison is made
    /// here and not where the file is watched: a reload on request may have come in between.
    pub(super) fn reload_if_changed(&mut self) {
        if config::read(&self.file).is_ok_and(|text| self.text.as_ref() != Some(&text)) {
            // A refusal is told by the reload itself.
            let _ = self.reload();
        }
    }

    fn take_over_file(&mut self) -> Result<Vec<String>, ReloadError> {
        self.text = None;
        let text = config::read(&self.file).map_err(ReloadError::Wrong)?;
        let config = config::parse(&self.file.display().to_string(), self.text.insert(text))
            .map_err(ReloadError::Wrong)?;
        let mut model = self.model.clone();
        let outcome = model
            .declare(&config.declaration, Timestamp::now(), &mut Uuid::new_v4)
            .map_err(|refusals| ReloadError::Wrong(config.explain(&refusals.0)))?;
        let access = self.access_by(&config)?;
        let mut changes: Vec<String> =
            if outcome.difference.is_empty() { vec![] } else { lines(&outcome.difference) };
        if self.config.as_ref().is_some_and(|running| running.access != config.access) {
            changes.push("access: principals and token issuers of the API are others".to_owned());
        }
        if self.config.as_ref().is_some_and(|running| running.webhooks != config.webhooks) {
            changes.push("webhook: receivers of events are others".to_owned());
        }
        changes.extend(self.ignored_settings(&config));
        let events = outcome.events.into_iter().filter(|event| match event {
            Event::ConfigurationChanged { difference, .. } => !difference.is_empty(),
            _ => true,
        });
        let events = events.map(|event| self.event(event)).collect();
        self.adopt(model, events)?;
        // Sent even if it is the same: keys and certificates are looked at anew.
        self.access.send_replace(access);
        self.webhooks.send_if_modified(|running| {
            let other = *running != config.webhooks;
            if other {
                running.clone_from(&config.webhooks);
            }
            other
        });
        self.sweeps.set_timeouts(config.gateway.half_open_timeout, config.gateway.transitory_timeout);
        if !changes.is_empty() || self.config.is_none() {
            self.generation += 1;
            self.loaded = Timestamp::now();
        }
        self.config = Some(config);
        self.converge();
        Ok(changes)
    }

    /// Who may call the API by this configuration. Where nothing about it changed, keys that were fetched stay.
    fn access_by(&self, config: &Config) -> Result<Arc<KeyKeeper>, AccessError> {
        let former = self.access.borrow().clone();
        let running = self.config.as_ref().map(|running| &running.access);
        if running == Some(&config.access) {
            return Ok(former);
        }
        let config::Access { principals, issuers } = config.access.clone();
        Ok(Arc::new(former.replaced(principals, issuers)?))
    }

    /// Takes a model over, unless its records do not fit or it cannot be kept: then nothing changes. The data plane is
    /// told by [`Gateway::converge`].
    pub(super) fn adopt(&mut self, model: Model, events: Vec<NewEvent>) -> Result<(), AdoptError> {
        let delta = model.intent_changes(&self.planned);
        let draft = match self.draft(&delta) {
            Err(PlanError::Full { resting: 1.., .. }) if self.stuck.is_none() => {
                // A sweep makes room.
                self.sweep_and_wake().map_err(AdoptError::Sweep)?;
                self.draft(&delta)?
            }
            draft => draft?,
        };
        self.commit_draft(&model, draft, events)?;
        self.model = model;
        Ok(())
    }

    /// Whether the records of a model fit into the maps: plans it and gives the plan up.
    pub(super) fn fits(&mut self, model: &Model) -> Result<(), PlanError> {
        match self.draft(&model.intent_changes(&self.planned)) {
            Ok(draft) => self.planner.give_up(draft),
            // A sweep will make room.
            Err(PlanError::Full { resting: 1.., .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn draft(&mut self, delta: &Delta) -> Result<Draft, PlanError> {
        self.planner.draft(delta, self.grounds.ground(), self.plane.seed())
    }

    /// Keeps a model with the slots of its plan and the events that led to it, all in one, before any record is
    /// written.
    fn commit_draft(&mut self, model: &Model, draft: Draft, events: Vec<NewEvent>) -> Result<(), EventError> {
        let rows = changes(MODEL, model.row_changes(&self.kept));
        let slots = changes(SLOTS, self.planner.changes());
        let changes: Vec<Change> = self.corrections.iter().cloned().chain(rows).chain(slots).collect();
        if let Err(error) = self.commit(&changes, events) {
            self.planner.give_up(draft);
            return Err(error);
        }
        self.corrections.clear();
        self.planner.keep(draft);
        (self.kept, self.planned) = (model.clone(), model.clone());
        Ok(())
    }

    /// Settings that only a restart takes over.
    fn ignored_settings(&self, config: &Config) -> Vec<String> {
        let Some(running) = &self.config else { return vec![] };
        let (old, new) = (&running.gateway, &config.gateway);
        let mut ignored = vec![];
        let mut note = |differs: bool, key: &str| {
            if differs {
                ignored.push(format!("{key}: takes effect when plnatd is started again"));
            }
        };
        note(old.state_dir != new.state_dir, "gateway.state_dir");
        note(old.run_dir != new.run_dir, "gateway.run_dir");
        note(old.metrics != new.metrics, "gateway.metrics");
        note(running.api != config.api, "api");
        note(old.packet_trace != new.packet_trace, "gateway.packet_trace");
        note(running.capacity != config.capacity, "capacity (with empty maps: plnatd --reset-dataplane)");
        ignored
    }

    /// Takes a new look at the machine's network, and acts where it is another than before.
    pub fn see(&mut self, interfaces: Vec<netlink::Interface>, hops: Vec<netlink::NextHop>) {
        if self.grounds.see(interfaces, hops, Instant::now()) {
            self.converge();
        }
    }

    /// Takes a probe's verdict.
    pub fn observe(&mut self, result: probe::ProbeResult) {
        let Some(target) = self.probe_targets.get(&result.id).cloned() else { return };
        self.health_reasons.insert(target.clone(), result.reason);
        let mut model = self.model.clone();
        let events = model.observe_health(&target, result.healthy, Timestamp::now());
        if events.is_empty() {
            return;
        }
        let events: Vec<_> = events.into_iter().map(|event| self.event(event)).collect();
        for event in &events {
            tracing::info!(backend = %target.address, probe = %target.describe(), "{}", event.kind);
        }
        if let Err(error) = self.adopt(model.clone(), events) {
            // What is true counts, whether it can be kept or not.
            tracing::error!("a probe's verdict could not be kept: {error}");
            self.model = model;
        }
        self.converge();
    }

    /// What is due now: retries, sweeps, next hops whose grace is over. The answer is when to ask again.
    pub fn tick(&mut self, now: Instant) -> Instant {
        if self.grounds.forget(now) || self.retry.is_some_and(|(at, _)| at <= now) {
            self.converge();
        } else if !self.unattached.is_empty() && now >= self.next_attach {
            self.next_attach = now + ATTACH;
            self.attach();
        }
        if let Err(error) = self.sweeps.tick(&mut self.plane, now) {
            tracing::warn!("sweeping: {error}");
        }
        self.look_at_ports(now);
        self.look_at_quotas(now);
        let retry = self.retry.map(|(at, _)| at);
        retry
            .into_iter()
            .chain([self.sweeps.due(), self.usage.due(), self.quotas.due(), now + Duration::from_secs(1)])
            .min()
            .unwrap_or(now)
    }

    /// Brings the data plane to what the model wants. What fails is tried again later; everything that revokes comes
    /// first in each try.
    pub(super) fn converge(&mut self) {
        match self.try_converge() {
            Ok(()) => {
                if self.stuck.take().is_some() {
                    tracing::info!("the data plane is as the configuration wants it again");
                }
                self.retry = None;
            }
            Err(error) => {
                let text = format!("{error:#}");
                if self.stuck.as_ref() != Some(&text) {
                    tracing::error!("the data plane is not as the configuration wants it: {text}");
                }
                self.stuck = Some(text);
                let pause = self.retry.map_or(RETRY, |(_, pause)| (pause * 2).min(LONGEST_RETRY));
                self.retry = Some((Instant::now() + pause, pause));
            }
        }
        self.publish();
        self.attach();
    }

    fn try_converge(&mut self) -> anyhow::Result<()> {
        for _ in 0..ROUNDS {
            let delta = self.model.intent_changes(&self.planned);
            if !delta.is_empty() || self.planner.is_behind(self.grounds.ground()) {
                let draft = match self.draft(&delta) {
                    Ok(draft) => draft,
                    Err(PlanError::Full { resting: 1.., .. }) => {
                        self.sweep_and_wake()?;
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                };
                let model = self.model.clone();
                self.commit_draft(&model, draft, vec![])?;
            }
            let (writes, summary) = self.planner.writes(&self.installed);
            self.sweep_due |= plan::needs_sweep(&self.installed, &writes);
            if !summary.is_empty() {
                tracing::info!("data plane: {summary}");
            }
            for write in &writes {
                self.plane.write(write)?;
                plan::apply(&mut self.installed, write);
            }
            if !(self.sweep_due || self.planner.rests()) {
                self.planner.installed();
                return Ok(());
            }
            if !self.sweep_and_wake()? {
                return Ok(());
            }
        }
        anyhow::bail!("after {ROUNDS} plans the next one is another one still; please report")
    }

    /// Sweeps the whole table, after which what rested may be used again; true when the next plan is another one.
    fn sweep_and_wake(&mut self) -> Result<bool, PlaneError> {
        let mark = self.planner.installed();
        self.sweeps.pass(&mut self.plane)?;
        self.sweep_due = false;
        Ok(self.planner.swept(mark))
    }

    fn commit(&mut self, changes: &[Change], events: Vec<NewEvent>) -> Result<(), EventError> {
        if changes.is_empty() && events.is_empty() {
            return Ok(());
        }
        self.bus.commit(changes, events)
    }

    /// Tells events that need no row; a store that fails is logged.
    pub(super) fn tell(&mut self, events: Vec<NewEvent>) {
        if let Err(error) = self.commit(&[], events) {
            tracing::error!("an event could not be kept: {error}");
        }
    }

    /// Attaches the program where the model has a link, once the records are there, and detaches it elsewhere.
    fn attach(&mut self) {
        let wanted: BTreeSet<String> =
            self.planner.links().iter().map(|link| link.interface.clone()).collect();
        let left: Vec<String> = self.attached.keys().filter(|it| !wanted.contains(*it)).cloned().collect();
        for interface in left {
            match self.plane.detach(&interface) {
                Ok(()) => {
                    tracing::info!(interface, "detached");
                    self.attached.remove(&interface);
                }
                Err(error) => tracing::error!(interface, "{error}"),
            }
        }
        let before = std::mem::take(&mut self.unattached);
        for interface in wanted {
            if let Err(problem) = self.attach_to(&interface) {
                if before.get(&interface) != Some(&problem) {
                    tracing::error!(interface, "{problem}");
                }
                self.attached.remove(&interface);
                self.unattached.insert(interface, problem);
            }
        }
    }

    /// Attaches to an interface, unless it is the one that the program is attached to already. The error is for people.
    fn attach_to(&mut self, interface: &str) -> Result<(), String> {
        let Some(index) = self.grounds.interface(interface).map(|it| it.index) else {
            return Err("there is no such Ethernet interface: make it, or correct [[link]]".to_owned());
        };
        let attached = self.attached.get(interface) == Some(&index);
        if let Err(problem) = self.sees_tags(interface) {
            // A link with tags may have come to others that are there already.
            if attached && let Err(error) = self.plane.detach(interface) {
                tracing::error!(interface, "{error}");
            }
            return Err(problem);
        }
        if attached {
            return Ok(());
        }
        if self.stuck.is_some() {
            return Err("waits until the data plane is as the configuration wants it".to_owned());
        }
        self.plane
            .attach(interface, &crate::dataplane::Wish::default())
            .map_err(|error| format!("{:#}", anyhow::Error::new(error)))?;
        tracing::info!(interface, "attached");
        self.attached.insert(interface.to_owned(), index);
        Ok(())
    }

    /// Whether the program would see the tags that tell an interface's links apart. Where it does not, frames of one link
    /// could be taken for another's.
    fn sees_tags(&self, interface: &str) -> Result<(), String> {
        let links = || self.planner.links().iter().filter(|link| link.interface == interface);
        if links().all(|link| link.vlan.is_none()) {
            return Ok(());
        }
        match self.plane.tag_sight(interface) {
            TagSight::Clear => Ok(()),
            TagSight::Hidden { remedy } => {
                Err(format!("VLAN tags would be hidden from the program: run `{remedy}`"))
            }
            TagSight::Unknown if links().any(|link| link.vlan.is_none()) => Err(format!(
                "{interface} is one end of a veth pair whose other end cannot be seen from here: if that hides VLAN tags, tagged frames are taken for untagged ones, so leave out the link without a vlan"
            )),
            TagSight::Unknown => Ok(()),
        }
    }

    /// Tells the prober and netlink what is wanted of them, where it changed.
    fn publish(&mut self) {
        let (before, ground) = &self.published;
        let relinked = self.model.links_differ(before);
        let ground_moved = ground.interfaces != self.grounds.ground().interfaces;
        self.publish_names(before, ground_moved);
        if relinked || ground_moved || self.model.backends_differ(before) {
            let links = self.model.intent_links();
            let services = self.planner.service_intents();
            self.networks.send_replace(self.grounds.wanted(services, &links));
        }
        if relinked || ground_moved || self.model.probes_differ(before) {
            self.publish_probes();
        }
        self.published = (self.model.clone(), self.grounds.ground().clone());
    }

    fn publish_probes(&mut self) {
        let links = self.model.intent_links();
        // Where there is none yet, the name that it should have: a probe that went another way would ask in another network.
        let host = |link: &crate::intent::Link| match self.grounds.host_interface(link) {
            Some(interface) => interface.to_owned(),
            None => link.name(),
        };
        let bind: HashMap<u32, String> = links.iter().rev().map(|link| (link.network, host(link))).collect();
        let targets = self.model.probes();
        let wanted: Vec<probe::ProbeTarget> = targets
            .iter()
            .map(|target| probe_target(target, bind.get(&target.network).map(String::as_str)))
            .collect();
        self.probe_targets = wanted.iter().map(|it| it.id.clone()).zip(targets).collect();
        self.probes.send_if_modified(|current| {
            let differs = **current != wanted;
            if differs {
                *current = Arc::new(wanted);
            }
            differs
        });
    }

    /// An event of the model as listeners see it.
    pub(super) fn event(&self, event: Event) -> NewEvent {
        let data = serde_json::to_value(&event).unwrap_or_default();
        let (kind, subject) = match &event {
            Event::ConnectionRequested(it) => (kind::CONNECTION_REQUESTED, it.connection.clone()),
            Event::ConnectionApproved(it) => (kind::CONNECTION_APPROVED, it.connection.clone()),
            Event::ConnectionRejected(it) => (kind::CONNECTION_REJECTED, it.connection.clone()),
            Event::ConnectionPending(it) => (kind::CONNECTION_PENDING, it.connection.clone()),
            Event::ConnectionDisconnected(it) => (kind::CONNECTION_DISCONNECTED, it.connection.clone()),
            Event::ConnectionDeleted(it) => (kind::CONNECTION_DELETED, it.connection.clone()),
            Event::PendingTraffic { connection, .. } => {
                (kind::TRAFFIC_WHILE_PENDING, connection.connection.clone())
            }
            Event::BackendHealthChanged { address, healthy: true, .. } => {
                (kind::BACKEND_UP, address.to_string())
            }
            Event::BackendHealthChanged { address, .. } => (kind::BACKEND_DOWN, address.to_string()),
            Event::ConfigurationChanged { .. } => {
                (kind::CONFIGURATION_CHANGED, self.file.display().to_string())
            }
        };
        NewEvent { audience: self.audience(&event), ..self.news(kind, subject, data) }
    }

    /// Subscriptions whose readers may see an event.
    fn audience(&self, event: &Event) -> Vec<String> {
        let mut audience = match event {
            Event::ConnectionRequested(it)
            | Event::ConnectionApproved(it)
            | Event::ConnectionRejected(it)
            | Event::ConnectionPending(it)
            | Event::ConnectionDisconnected(it)
            | Event::ConnectionDeleted(it)
            | Event::PendingTraffic { connection: it, .. } => {
                vec![it.provider_subscription.clone(), it.consumer_subscription.clone()]
            }
            Event::BackendHealthChanged { network, address, .. } => {
                let uses = |it: &&crate::intent::Service| {
                    let mut members = it.rules.iter().flat_map(|rule| &rule.members);
                    it.network == *network && members.any(|member| member.address == *address)
                };
                let services = self.planner.service_intents().filter(uses);
                services.filter_map(|it| self.model.subscription_of(&it.key)).collect()
            }
            Event::ConfigurationChanged { .. } => vec![],
        };
        audience.sort_unstable();
        audience.dedup();
        audience
    }

    /// An event of now.
    pub(super) fn news(&self, kind: &str, subject: String, data: serde_json::Value) -> NewEvent {
        NewEvent { time: Timestamp::now(), kind: kind.to_owned(), subject, data, audience: vec![] }
    }
}

fn lines(text: &impl ToString) -> Vec<String> {
    text.to_string().lines().map(str::to_owned).collect()
}

/// A probe as the prober knows it. It may take as long as its interval, up to what Azure allows.
fn probe_target(target: &ProbeTarget, interface: Option<&str>) -> probe::ProbeTarget {
    use crate::model::ProbeProtocol;
    let interval = Duration::from_secs(target.interval_seconds.into());
    probe::ProbeTarget {
        id: format!("{}/{}/{}", target.network, target.describe(), target.threshold),
        interface: interface.map(str::to_owned),
        address: target.address,
        port: target.port,
        protocol: match target.protocol {
            ProbeProtocol::Tcp => probe::ProbeProtocol::Tcp,
            ProbeProtocol::Http => probe::ProbeProtocol::Http,
            ProbeProtocol::Https => probe::ProbeProtocol::Https,
        },
        path: target.path.clone().unwrap_or_else(|| "/".to_owned()),
        interval,
        threshold: target.threshold,
        timeout: interval.min(Duration::from_secs(30)),
    }
}
