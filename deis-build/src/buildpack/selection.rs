//! Which buildpack builds an app.

use std::{
    fs, io, os::unix::fs::symlink, path::Path, path::PathBuf, sync::atomic::AtomicBool, time::Duration,
};

use super::{
    embedded,
    job::{BuildResult, Job},
    script::{self, Env, first_line, is_executable, print_line},
};
use crate::{
    depot::Depot,
    git::{fetch_remote, without_password},
};

/// Longest `bin/detect`: it looks for files.
const DETECT: Duration = Duration::from_secs(30);

/// The buildpack asked for, or the first that detects the app, as a folder of this build's own; and its name. The
/// operator's are tried before those of this program.
pub(super) fn choose(
    job: &Job,
    depot: &Depot,
    scratch: &Path,
    env: &Env,
) -> io::Result<Result<(PathBuf, String), BuildResult>> {
    let root = &depot.source();
    let place = scratch.join("buildpack");
    fs::create_dir(&place)?;
    if let Some((url, reference)) = &job.fetch {
        print_line("-----> Fetching custom buildpack");
        if let Err(error) = fetch_remote(url, reference.as_deref(), &place, &AtomicBool::new(false)) {
            return Ok(Err(BuildResult::Refused { reason: error.to_string() }));
        }
        if !is_executable(&place.join("bin/compile")) {
            let url = without_password(url);
            let reason = format!("{url} is no buildpack: it has no executable bin/compile");
            return Ok(Err(BuildResult::Refused { reason }));
        }
        // Its detect is asked for a name only: who names a buildpack wants it.
        let named =
            script::capture(&place.join("bin/detect"), &[root.as_path()], root, env, Some(DETECT)).ok();
        let name = named.map(|ended| ended.out).filter(|n| !n.is_empty());
        let name = name.unwrap_or_else(|| "Custom".to_owned());
        return Ok(Ok((place, first_line(&name))));
    }
    let mut tried = Vec::new();
    let mut buildpacks = of_operator(&depot.buildpacks())?;
    buildpacks.extend(embedded::install(&scratch.join("embedded"))?);
    for buildpack in &buildpacks {
        let own = buildpack.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match script::capture(&buildpack.join("bin/detect"), &[root.as_path()], root, env, Some(DETECT)) {
            Ok(ended) if ended.status.is_some_and(|s| s.success()) => {
                // What a buildpack writes into its own folder must not reach the next app's build.
                copy(buildpack, &place)?;
                let _ = fs::remove_file(place.join("export"));
                let name = if ended.out.is_empty() { own } else { first_line(&ended.out) };
                return Ok(Ok((place, name)));
            }
            Ok(ended) if ended.status.is_none() => {
                tried.push((own, format!("its bin/detect took longer than {} s", DETECT.as_secs())));
            }
            Ok(ended) => {
                tried.push((own, first_line(if ended.err.is_empty() { &ended.out } else { &ended.err })));
            }
            Err(error) => tried.push((own, format!("its {error}"))),
        }
    }
    Ok(Err(BuildResult::NoMatch { tried }))
}

/// The operator's buildpacks in the order of their names; none where there is no folder of them.
fn of_operator(parent: &Path) -> io::Result<Vec<PathBuf>> {
    if !parent.exists() {
        return Ok(Vec::new());
    }
    let mut found: Vec<PathBuf> = fs::read_dir(parent)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join("bin/detect").is_file())
        .collect();
    found.sort();
    Ok(found)
}

/// Copies what is in a folder, links as links.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            fs::create_dir(&target)?;
            copy(&source, &target)?;
        } else if kind.is_symlink() {
            symlink(fs::read_link(&source)?, &target)?;
        } else if kind.is_file() {
            fs::copy(&source, &target)?;
        }
    }
    Ok(())
}
