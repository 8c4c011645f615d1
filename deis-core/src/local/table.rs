//! All apps of the scheduler: what is wanted of each, what runs, and the fence between old and new wishes.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    sync::{Notify, Semaphore},
    task::JoinSet,
};

use super::{
    folder,
    instance::{Running, Supervisor},
    options::LocalOptions,
    ports::Ports,
    rolling::{self, Seen, Wanted},
    slot::Slot,
};
use crate::model::{
    AppRef, AppUid, Generation, InstanceName, InstanceState, ProcessType, Template, TemplateId, Workload,
};

/// Instances that are copied and started at a time.
const AT_ONCE: usize = 8;

/// Shared by the scheduler and the supervisors of its instances.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) options: LocalOptions,
    pub(super) ports: Ports,
    /// Copying and starting many at once helps nobody.
    pub(super) starting: Semaphore,
    /// Told whenever an instance is forgotten.
    pub(super) ended: Notify,
    apps: Mutex<BTreeMap<AppUid, App>>,
    supervisors: Mutex<JoinSet<()>>,
}

/// One life of an app.
#[derive(Debug)]
pub(super) struct App {
    pub(super) name: AppRef,
    /// Generation accepted last; the largest there is once the app was removed.
    pub(super) accepted: Generation,
    /// `None` until something was accepted: then what runs is left as it is.
    wanted: Option<BTreeMap<ProcessType, Group>>,
    pub(super) slots: BTreeMap<InstanceName, Slot>,
    /// Templates whose `PORT` was already complained about.
    warned: BTreeSet<TemplateId>,
}

#[derive(Debug)]
struct Group {
    wanted: Wanted,
    template: Arc<Template>,
}

impl Table {
    pub(super) fn new(options: LocalOptions) -> Self {
        let ports = Ports::new(options.ports.clone(), options.timing.port_rest);
        let (starting, ended) = (Semaphore::new(AT_ONCE), Notify::new());
        Self { options, ports, starting, ended, apps: Mutex::default(), supervisors: Mutex::default() }
    }

    /// Runs `read` over what is known of an app.
    pub(super) fn read<T>(&self, uid: AppUid, read: impl FnOnce(&App) -> T) -> Option<T> {
        self.lock().get(&uid).map(read)
    }

    /// All apps that have instances.
    pub(super) fn apps(&self) -> Vec<AppRef> {
        self.lock().values().filter(|app| !app.slots.is_empty()).map(|app| app.name.clone()).collect()
    }

    /// Makes `workload` what is wanted, unless the fence forbids it.
    pub(super) fn accept(self: &Arc<Self>, workload: &Workload) -> Result<(), Generation> {
        let mut apps = self.lock();
        let app = apps.entry(workload.app.uid).or_insert_with(|| App::new(workload.app.clone()));
        if workload.generation < app.accepted {
            return Err(app.accepted);
        }
        if workload.generation > app.accepted || app.wanted.is_none() {
            app.accepted = workload.generation;
            app.want(workload);
            self.roll(app);
        }
        Ok(())
    }

    /// Marks instances as to be replaced.
    pub(super) fn evict(self: &Arc<Self>, uid: AppUid, names: &[InstanceName]) {
        let mut apps = self.lock();
        let Some(app) = apps.get_mut(&uid) else { return };
        for name in names {
            if let Some(slot) = app.slots.get_mut(name) {
                slot.evicted = true;
            }
        }
        self.roll(app);
    }

    /// Lets everything of an app go and refuses it from now on.
    pub(super) fn remove(self: &Arc<Self>, name: &AppRef) {
        let mut apps = self.lock();
        let app = apps.entry(name.uid).or_insert_with(|| App::new(name.clone()));
        app.accepted = Generation::MAX;
        app.wanted = Some(BTreeMap::new());
        self.roll(app);
    }

    /// Lets everything of all apps go, without a fence against what comes later.
    pub(super) fn let_all_go(self: &Arc<Self>) {
        for app in self.lock().values_mut() {
            app.wanted = Some(BTreeMap::new());
            self.roll(app);
        }
    }

    /// Puts a running instance into the table and watches over it. One that was ready and answers is in rotation at
    /// once; one that was not has to pass its check first, which nobody knows before its template is.
    pub(super) fn adopt(self: &Arc<Self>, running: Running, answers: Option<SocketAddr>) {
        let identity = &running.state.identity;
        self.ports.keep(identity.port);
        let proven = folder::was_ready(&self.folder(&identity.app, &identity.instance));
        let mut slot = Slot::adopted(&running.state, proven);
        if proven && !slot.is_leaving() && (answers.is_some() || !identity.routable) {
            slot.state = InstanceState::Ready;
        }
        if let (InstanceState::Ready, Some(address)) = (&slot.state, answers) {
            let app = identity.app.uid;
            self.options.endpoints.add(app, &slot.process, &identity.instance, &slot.id, address);
        }
        let supervisor =
            Supervisor::new(Arc::clone(self), identity.app.clone(), identity.instance.clone(), &slot);
        let mut apps = self.lock();
        let app = apps.entry(identity.app.uid).or_insert_with(|| App::new(identity.app.clone()));
        app.slots.insert(identity.instance.clone(), slot);
        self.spawn(supervisor.run(Some(running)));
    }

    /// Changes a slot; then rolls on and says so, if that changed anything that others see.
    pub(super) fn change(
        self: &Arc<Self>,
        app: &AppRef,
        name: &InstanceName,
        change: impl FnOnce(&mut Slot),
    ) {
        let mut apps = self.lock();
        let Some(known) = apps.get_mut(&app.uid) else { return };
        let Some(slot) = known.slots.get_mut(name) else { return };
        let before = slot.observe(name);
        change(slot);
        if slot.observe(name) != before {
            self.roll(known);
            self.options.wake.hint(&app.name);
        }
    }

    /// Forgets an instance of which nothing runs any more.
    pub(super) fn forget(self: &Arc<Self>, app: &AppRef, name: &InstanceName) {
        let mut apps = self.lock();
        let Some(known) = apps.get_mut(&app.uid) else { return };
        known.slots.remove(name);
        self.ended.notify_waiters();
        self.roll(known);
        self.options.wake.hint(&app.name);
    }

    /// Whether this is the first instance of its template that has a `PORT` of its own to be warned of.
    pub(super) fn warns_of_port(&self, uid: AppUid, id: &TemplateId) -> bool {
        self.lock().get_mut(&uid).is_some_and(|app| app.warned.insert(id.clone()))
    }

    /// Ends all supervision; the instances go on.
    pub(super) fn abandon(&self) {
        self.supervisors.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }

    fn roll(self: &Arc<Self>, app: &mut App) {
        // What leaves makes room at once: nothing else calls again before it has drained, which takes as long as its
        // longest request.
        while let Some(moves) = app.moves().filter(|moves| !moves.is_empty()) {
            for name in moves.leave {
                if let Some(slot) = app.slots.get_mut(&name) {
                    slot.state = InstanceState::Draining;
                    self.options.endpoints.drain(app.name.uid, &name);
                    slot.leave.send_replace(true);
                }
            }
            for (process, count) in moves.start {
                for _ in 0..count {
                    self.start(app, &process);
                }
            }
        }
    }

    fn start(self: &Arc<Self>, app: &mut App, process: &ProcessType) {
        let Some(group) = app.wanted.as_ref().and_then(|groups| groups.get(process)) else { return };
        let slot = Slot::fresh(group.wanted.template.clone(), Arc::clone(&group.template));
        let name = new_name(&app.name, process, &group.template);
        let supervisor = Supervisor::new(Arc::clone(self), app.name.clone(), name.clone(), &slot);
        app.slots.insert(name, slot);
        self.spawn(supervisor.run(None));
    }

    fn spawn(&self, supervisor: impl Future<Output = ()> + Send + 'static) {
        let mut supervisors = self.supervisors.lock().unwrap_or_else(PoisonError::into_inner);
        while supervisors.try_join_next().is_some() {}
        supervisors.spawn(supervisor);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<AppUid, App>> {
        self.apps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl App {
    fn new(name: AppRef) -> Self {
        let (slots, warned) = (BTreeMap::new(), BTreeSet::new());
        Self { name, accepted: Generation(0), wanted: None, slots, warned }
    }

    fn want(&mut self, workload: &Workload) {
        let groups = workload.groups.iter().map(|(process, group)| {
            let scale = usize::try_from(group.scale).unwrap_or(usize::MAX);
            let wanted = Wanted { scale, template: group.id.clone() };
            (process.clone(), Group { wanted, template: Arc::new(group.template.clone()) })
        });
        let groups: BTreeMap<ProcessType, Group> = groups.collect();
        for slot in self.slots.values_mut().filter(|slot| slot.template.borrow().is_none()) {
            let group = groups.get(&slot.process).filter(|group| group.wanted.template == slot.id);
            if let Some(group) = group {
                slot.template.send_replace(Some(Arc::clone(&group.template)));
            }
        }
        self.warned.retain(|id| groups.values().any(|group| group.wanted.template == *id));
        self.wanted = Some(groups);
    }

    fn moves(&self) -> Option<rolling::Moves> {
        let groups = self.wanted.as_ref()?;
        let wanted = groups.iter().map(|(process, group)| (process.clone(), group.wanted.clone())).collect();
        let staying = self.slots.iter().filter(|(_, slot)| !slot.is_leaving());
        let seen: Vec<Seen> = staying
            .map(|(name, slot)| Seen {
                name: name.clone(),
                process: slot.process.clone(),
                template: slot.id.clone(),
                evicted: slot.evicted,
                ready: matches!(slot.state, InstanceState::Ready),
                proven: slot.proven,
                started: slot.started,
            })
            .collect();
        Some(rolling::decide(&wanted, &seen))
    }
}

/// `<app>-<type>-<release in 8 digits>-<5 characters>`: clients know a process by that shape.
fn new_name(app: &AppRef, process: &ProcessType, template: &Template) -> InstanceName {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let random = uuid::Uuid::new_v4();
    let suffix: String =
        random.as_bytes()[..5].iter().map(|b| char::from(LETTERS[usize::from(*b) % LETTERS.len()])).collect();
    let name = format!("{}-{process}-{:08}-{suffix}", app.name, template.release.0);
    InstanceName::new(name).expect("made of names, digits and hyphens within the length")
}

impl Table {
    /// The folder of an instance.
    pub(super) fn folder(&self, app: &AppRef, name: &InstanceName) -> std::path::PathBuf {
        folder::of_instance(&self.options.run_dir, app.uid, name)
    }
}
