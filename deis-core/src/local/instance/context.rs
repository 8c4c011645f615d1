//! What the parts of an instance's supervision share.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::watch;

use crate::{
    local::{
        table::entry::InstanceEntry,
        table::{Table, Unwatched},
    },
    model::{AppRef, InstanceName, ProcessType, Template, TemplateId},
};

/// Which instance it is, and where changes of it are told.
#[derive(Clone, Debug)]
pub(in crate::local) struct InstanceContext {
    pub(in crate::local) table: Arc<Table>,
    pub(in crate::local) app: AppRef,
    pub(in crate::local) name: InstanceName,
    pub(in crate::local) process: ProcessType,
    pub(in crate::local) id: TemplateId,
    template: watch::Receiver<Option<Arc<Template>>>,
}

impl InstanceContext {
    pub(in crate::local) fn new(table: Arc<Table>, instance: &Unwatched) -> Self {
        let Unwatched { app, name, process, id, template, .. } = instance;
        let (app, name) = (app.clone(), name.clone());
        Self { table, app, name, process: process.clone(), id: id.clone(), template: template.clone() }
    }

    /// The template, if it is known.
    pub(in crate::local) fn template(&self) -> Option<Arc<Template>> {
        self.template.borrow().clone()
    }

    /// The template, as soon as it is known.
    pub(in crate::local) async fn known_template(&self) -> Arc<Template> {
        let mut template = self.template.clone();
        let known = template.wait_for(Option::is_some).await.ok().and_then(|known| known.clone());
        match known {
            Some(template) => template,
            // Nobody can name it any more.
            None => std::future::pending().await,
        }
    }

    /// How long it must be ready to count as available; `None` until a workload has named its template.
    pub(in crate::local) fn min_ready(&self) -> Option<Duration> {
        self.table.read(self.app.uid, |app| app.min_ready(&self.process, &self.id)).flatten()
    }

    /// Reads the entry of the instance; `None` once it is forgotten.
    pub(in crate::local) fn read<T>(&self, read: impl FnOnce(&InstanceEntry) -> T) -> Option<T> {
        self.table.read(self.app.uid, |app| app.entries.get(&self.name).map(read)).flatten()
    }

    /// Changes the entry of the instance and tells whoever looks at it.
    pub(in crate::local) fn change(&self, change: impl FnOnce(&mut InstanceEntry)) {
        self.table.change(&self.app, &self.name, change);
    }

    /// The folder of the instance.
    pub(in crate::local) fn folder(&self) -> PathBuf {
        self.table.folder(&self.app, &self.name)
    }
}
