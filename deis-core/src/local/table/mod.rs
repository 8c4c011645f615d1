//! All apps of the scheduler: what is wanted of each, what runs, and the fence between old and new wishes.

pub(in crate::local) mod entry;
mod ports;
mod rolling;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{Notify, Semaphore, mpsc, watch};

use self::{
    entry::InstanceEntry,
    ports::Ports,
    rolling::{Seen, WantedGroup},
};
use crate::{
    local::{
        options::LocalOptions,
        process::running::Running,
        run_dir::{format, record},
    },
    model::{
        AppRef, AppUid, Generation, InstanceName, InstanceState, ProcessType, Template, TemplateId, Workload,
    },
    plan::convergence::surge,
    routing::DestroyedApps,
};

/// Instances that are copied and started at a time.
const AT_ONCE: usize = 8;

/// Shared by the scheduler and the supervisors of its instances.
#[derive(Debug)]
pub(in crate::local) struct Table {
    pub(in crate::local) options: LocalOptions,
    pub(in crate::local) ports: Ports,
    /// Copying and starting many at once helps nobody.
    pub(in crate::local) starting: Semaphore,
    /// Told whenever an instance is forgotten.
    pub(in crate::local) ended: Notify,
    apps: Mutex<BTreeMap<AppUid, AppEntry>>,
    /// Removed apps; only looked at under the lock of `apps`.
    removed: Mutex<DestroyedApps>,
    /// Instances that are to be watched over: the table itself only keeps the books.
    unwatched: mpsc::UnboundedSender<Unwatched>,
}

/// An instance that is in the table and that nobody watches over yet.
#[derive(Debug)]
pub(in crate::local) struct Unwatched {
    pub(in crate::local) app: AppRef,
    pub(in crate::local) name: InstanceName,
    pub(in crate::local) process: ProcessType,
    pub(in crate::local) id: TemplateId,
    pub(in crate::local) template: watch::Receiver<Option<Arc<Template>>>,
    /// Tells that it is let go.
    pub(in crate::local) leave: watch::Receiver<bool>,
    /// Its process, if it runs already.
    pub(in crate::local) running: Option<Running>,
}

/// One life of an app.
#[derive(Debug)]
pub(in crate::local) struct AppEntry {
    pub(in crate::local) name: AppRef,
    /// Generation accepted last; the largest there is once the app was removed, until its last instance has gone.
    pub(in crate::local) accepted: Generation,
    /// `None` until something was accepted: then what runs is left as it is.
    wanted: Option<BTreeMap<ProcessType, Group>>,
    pub(in crate::local) entries: BTreeMap<InstanceName, InstanceEntry>,
    /// Templates whose people were warned already.
    warned: BTreeSet<TemplateId>,
}

#[derive(Debug)]
struct Group {
    wanted: WantedGroup,
    min_ready: Duration,
    template: Arc<Template>,
}

impl Table {
    /// An empty table, and where it tells of instances that are to be watched over.
    pub(in crate::local) fn new(options: LocalOptions) -> (Self, mpsc::UnboundedReceiver<Unwatched>) {
        let ports = Ports::new(options.ports.clone(), options.timing.port_rest);
        let (starting, ended) = (Semaphore::new(AT_ONCE), Notify::new());
        let (unwatched, told) = mpsc::unbounded_channel();
        let (apps, removed) = (Mutex::default(), Mutex::default());
        (Self { options, ports, starting, ended, apps, removed, unwatched }, told)
    }

    /// Runs `read` over what is known of an app.
    pub(in crate::local) fn read<T>(&self, uid: AppUid, read: impl FnOnce(&AppEntry) -> T) -> Option<T> {
        self.lock().get(&uid).map(read)
    }

    /// All apps that have instances.
    pub(in crate::local) fn apps(&self) -> Vec<AppRef> {
        self.lock().values().filter(|app| !app.entries.is_empty()).map(|app| app.name.clone()).collect()
    }

    /// Makes `workload` what is wanted, unless the fence forbids it.
    pub(in crate::local) fn accept(&self, workload: &Workload) -> Result<(), Generation> {
        let mut apps = self.lock();
        // The fence outlives the instances: a late `apply` of a destroyed app is refused.
        if self.is_removed(workload.app.uid) {
            return Err(Generation::MAX);
        }
        let app = apps.entry(workload.app.uid).or_insert_with(|| AppEntry::new(workload.app.clone()));
        // A process that was overtaken must not bring back what a newer one has replaced.
        if workload.generation < app.accepted {
            return Err(app.accepted);
        }
        // The same generation is new once more after `let_all_go`, and to a scheduler that has just started.
        if workload.generation > app.accepted || app.wanted.is_none() {
            app.accepted = workload.generation;
            app.want(workload);
            self.roll(app);
        }
        Ok(())
    }

    /// Marks instances as to be replaced.
    pub(in crate::local) fn evict(&self, uid: AppUid, names: &[InstanceName]) {
        let mut apps = self.lock();
        let Some(app) = apps.get_mut(&uid) else { return };
        for name in names {
            if let Some(entry) = app.entries.get_mut(name) {
                entry.evicted = true;
            }
        }
        self.roll(app);
    }

    /// Lets everything of an app go and refuses it from now on.
    pub(in crate::local) fn remove(&self, name: &AppRef) {
        let mut apps = self.lock();
        self.removed.lock().unwrap_or_else(PoisonError::into_inner).insert(name.uid);
        if let Some(app) = apps.get_mut(&name.uid) {
            app.accepted = Generation::MAX;
            app.wanted = Some(BTreeMap::new());
            self.roll(app);
        }
        self.drop_removed(&mut apps, name.uid);
    }

    /// The generation below which an app without instances is refused.
    pub(in crate::local) fn fence(&self, uid: AppUid) -> Generation {
        let apps = self.lock();
        if self.is_removed(uid) {
            return Generation::MAX;
        }
        apps.get(&uid).map_or(Generation(0), |app| app.accepted)
    }

    fn is_removed(&self, uid: AppUid) -> bool {
        self.removed.lock().unwrap_or_else(PoisonError::into_inner).contains(uid)
    }

    /// Drops what is kept of a removed app once it has no instances.
    fn drop_removed(&self, apps: &mut BTreeMap<AppUid, AppEntry>, uid: AppUid) {
        if self.is_removed(uid) && apps.get(&uid).is_some_and(|app| app.entries.is_empty()) {
            apps.remove(&uid);
        }
    }

    /// Lets everything of all apps go, without a fence against what comes later.
    pub(in crate::local) fn let_all_go(&self) {
        for app in self.lock().values_mut() {
            app.wanted = Some(BTreeMap::new());
            self.roll(app);
        }
    }

    /// Puts a running instance into the table and watches over it. One that was ready and answers is in rotation at
    /// once; one that was not has to pass its check first, which nobody knows before its template is.
    pub(in crate::local) fn adopt(&self, running: Running, answers: Option<SocketAddr>) {
        let identity = &running.state.identity;
        self.ports.keep(identity.port);
        let proven = record::was_ready(&self.folder(&identity.app, &identity.instance));
        let mut entry = InstanceEntry::adopted(&running.state, proven);
        if proven && !entry.is_leaving() && (answers.is_some() || !identity.routable) {
            entry.state = InstanceState::Ready;
        }
        if let (InstanceState::Ready, Some(address)) = (&entry.state, answers) {
            let app = identity.app.uid;
            self.options.endpoints.add(app, &entry.process, &identity.instance, &entry.id, address);
        }
        let (name, instance) = (identity.app.clone(), identity.instance.clone());
        let mut apps = self.lock();
        let app = apps.entry(name.uid).or_insert_with(|| AppEntry::new(name.clone()));
        // Its supervisor reads the entry, which is there before this lock is given back.
        self.watch_over(&name, &instance, &entry, Some(running));
        app.entries.insert(instance, entry);
    }

    /// Changes an entry; then rolls on and says so, if that changed anything that others see.
    pub(in crate::local) fn change(
        &self,
        app: &AppRef,
        name: &InstanceName,
        change: impl FnOnce(&mut InstanceEntry),
    ) {
        let mut apps = self.lock();
        let Some(known) = apps.get_mut(&app.uid) else { return };
        let Some(entry) = known.entries.get_mut(name) else { return };
        // Checks run ten times a second and mostly change nothing: nobody is woken for that.
        let before = entry.observe(name);
        change(entry);
        if entry.observe(name) != before {
            self.roll(known);
            self.options.wake.hint(&app.name);
        }
    }

    /// Forgets an instance of which nothing runs any more.
    pub(in crate::local) fn forget(&self, app: &AppRef, name: &InstanceName) {
        let mut apps = self.lock();
        let Some(known) = apps.get_mut(&app.uid) else { return };
        known.entries.remove(name);
        // Whoever waits for the end of all has registered before it looked, so this cannot be missed.
        self.ended.notify_waiters();
        self.roll(known);
        self.drop_removed(&mut apps, app.uid);
        self.options.wake.hint(&app.name);
    }

    /// Whether this is the first instance of its template whose people are to be warned of something.
    pub(in crate::local) fn warns_of(&self, uid: AppUid, id: &TemplateId) -> bool {
        self.lock().get_mut(&uid).is_some_and(|app| app.warned.insert(id.clone()))
    }

    fn roll(&self, app: &mut AppEntry) {
        // What leaves makes room at once: nothing else calls again before it has drained, which takes as long as its
        // longest request.
        while let Some(moves) = app.moves().filter(|moves| !moves.is_empty()) {
            for name in moves.leave {
                if let Some(entry) = app.entries.get_mut(&name) {
                    entry.state = InstanceState::Draining;
                    self.options.endpoints.drain(app.name.uid, &name);
                    entry.leave.send_replace(true);
                }
            }
            for (process, count) in moves.start {
                for _ in 0..count {
                    self.start(app, &process);
                }
            }
        }
    }

    fn start(&self, app: &mut AppEntry, process: &ProcessType) {
        let Some(group) = app.wanted.as_ref().and_then(|groups| groups.get(process)) else { return };
        let entry = InstanceEntry::fresh(group.wanted.template.clone(), Arc::clone(&group.template));
        let name = loop {
            let name = new_name(&app.name, process, &group.template);
            // Its folder is named by its last part.
            if app.entries.keys().all(|other| format::suffix(other) != format::suffix(&name)) {
                break name;
            }
        };
        self.watch_over(&app.name, &name, &entry, None);
        app.entries.insert(name, entry);
    }

    fn watch_over(&self, app: &AppRef, name: &InstanceName, entry: &InstanceEntry, running: Option<Running>) {
        // Fails only once the scheduler is dropped: then nobody watches over anything any more.
        let _ = self.unwatched.send(Unwatched {
            app: app.clone(),
            name: name.clone(),
            process: entry.process.clone(),
            id: entry.id.clone(),
            template: entry.template.subscribe(),
            leave: entry.leave.subscribe(),
            running,
        });
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<AppUid, AppEntry>> {
        self.apps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AppEntry {
    fn new(name: AppRef) -> Self {
        let (entries, warned) = (BTreeMap::new(), BTreeSet::new());
        Self { name, accepted: Generation(0), wanted: None, entries, warned }
    }

    fn want(&mut self, workload: &Workload) {
        let groups = workload.groups.iter().map(|(process, group)| {
            let number = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
            let (scale, surge) = (number(group.scale), number(surge(group.scale)));
            let wanted = WantedGroup { scale, surge, template: group.id.clone() };
            let min_ready = Duration::from_secs(u64::from(group.min_ready));
            (process.clone(), Group { wanted, min_ready, template: Arc::new(group.template.clone()) })
        });
        let groups: BTreeMap<ProcessType, Group> = groups.collect();
        for entry in self.entries.values_mut().filter(|entry| entry.template.borrow().is_none()) {
            let group = groups.get(&entry.process).filter(|group| group.wanted.template == entry.id);
            if let Some(group) = group {
                entry.template.send_replace(Some(Arc::clone(&group.template)));
            }
        }
        self.warned.retain(|id| groups.values().any(|group| group.wanted.template == *id));
        self.wanted = Some(groups);
    }

    /// How long an instance of this template must be ready to count as available; `None` where no workload names it.
    pub(in crate::local) fn min_ready(&self, process: &ProcessType, id: &TemplateId) -> Option<Duration> {
        let group = self.wanted.as_ref()?.get(process)?;
        (group.wanted.template == *id).then_some(group.min_ready)
    }

    fn moves(&self) -> Option<rolling::Moves> {
        let groups = self.wanted.as_ref()?;
        let wanted = groups.iter().map(|(process, group)| (process.clone(), group.wanted.clone())).collect();
        let staying = self.entries.iter().filter(|(_, entry)| !entry.is_leaving());
        let seen: Vec<Seen> = staying
            .map(|(name, entry)| Seen {
                name: name.clone(),
                process: entry.process.clone(),
                template: entry.id.clone(),
                evicted: entry.evicted,
                rank: entry.rank(),
                started: entry.started,
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
    pub(in crate::local) fn folder(&self, app: &AppRef, name: &InstanceName) -> std::path::PathBuf {
        format::of_instance(&self.options.run_dir, app.uid, name)
    }
}
