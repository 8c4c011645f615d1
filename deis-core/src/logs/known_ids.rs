//! Which ids the newest lines in an app's files have.

use std::{
    collections::{HashSet, VecDeque},
    fs::File,
    io::{self, BufRead as _, BufReader},
    path::Path,
};

use serde::Deserialize;

use crate::{
    local::run_dir::format::PLATFORM_LINES,
    model::{AppUid, LineId, LogLine},
    port::IDS_KEPT,
};

/// Apps whose ids are held in memory; those of others are read again when they get a line.
const MAX_APPS: usize = 64;

/// The ids of the apps that were written to last.
#[derive(Debug, Default)]
pub(super) struct KnownIds {
    /// Least recently written first.
    apps: VecDeque<(AppUid, Ids)>,
}

#[derive(Debug, Default)]
struct Ids {
    newest_last: VecDeque<LineId>,
    all: HashSet<LineId>,
}

impl KnownIds {
    /// The lines without those that the files in `folder` have already, or that come twice.
    pub(super) fn fresh(
        &mut self,
        app: AppUid,
        folder: &Path,
        lines: Vec<LogLine>,
    ) -> io::Result<Vec<LogLine>> {
        if lines.iter().all(|line| line.id.is_none()) {
            return Ok(lines);
        }
        let known = self.of(app, folder)?;
        let mut now = HashSet::new();
        // Lines without an id are always fresh.
        let is_fresh = |line: &LogLine| line.id.is_none_or(|id| !known.all.contains(&id) && now.insert(id));
        Ok(lines.into_iter().filter(is_fresh).collect())
    }

    /// Notes what was written.
    pub(super) fn add(&mut self, app: AppUid, ids: Vec<LineId>) {
        if let Some((_, known)) = self.apps.iter_mut().find(|(uid, _)| *uid == app) {
            for id in ids {
                known.add(id);
            }
        }
    }

    /// The files may hold something else from now on.
    pub(super) fn forget(&mut self, app: AppUid) {
        self.apps.retain(|(uid, _)| *uid != app);
    }

    fn of(&mut self, app: AppUid, folder: &Path) -> io::Result<&Ids> {
        let known =
            match self.apps.iter().position(|(uid, _)| *uid == app).and_then(|at| self.apps.remove(at)) {
                Some(known) => known,
                None => (app, Ids::read(folder)?),
            };
        if self.apps.len() >= MAX_APPS {
            self.apps.pop_front();
        }
        self.apps.push_back(known);
        Ok(&self.apps[self.apps.len() - 1].1)
    }
}

impl Ids {
    fn read(folder: &Path) -> io::Result<Self> {
        #[derive(Deserialize)]
        struct Line {
            id: Option<LineId>,
        }
        let mut ids = Self::default();
        for name in PLATFORM_LINES.into_iter().rev() {
            let file = match File::open(folder.join(name)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                file => BufReader::new(file?),
            };
            for line in file.split(b'\n') {
                // A torn line is not there for anybody.
                if let Ok(Line { id: Some(id) }) = serde_json::from_slice(&line?) {
                    ids.add(id);
                }
            }
        }
        Ok(ids)
    }

    fn add(&mut self, id: LineId) {
        if self.all.insert(id) {
            self.newest_last.push_back(id);
        }
        if self.newest_last.len() > IDS_KEPT
            && let Some(old) = self.newest_last.pop_front()
        {
            self.all.remove(&old);
        }
    }
}
