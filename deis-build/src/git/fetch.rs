//! A git client for what the platform itself needs: a repository at a branch, tag or commit, as a folder.

use std::{num::NonZeroU32, path::Path, sync::atomic::AtomicBool};

use deis_core::port::error_causes;

use super::{
    error::{GitError, Result},
    oid::Oid,
    tree::{Budget, export_tree},
};

/// Fetches `url` (http, https or file) and writes its tree at `reference` – a branch, a tag or a commit id; the
/// default branch with `None` – into `folder`, which must be empty; what is needed meanwhile stands beside it. No git process runs.
///
/// Blocks, also for the network: call it off the async threads. Returns the commit that was written.
///
/// # Errors
/// [`GitError::Fetch`] if there is nothing to be had at the URL or by the reference, [`GitError::Export`] for a tree that
/// must not be written, [`GitError::Cancelled`] after `cancel`; those of the disk.
pub fn fetch_remote(url: &str, reference: Option<&str>, folder: &Path, cancel: &AtomicBool) -> Result<Oid> {
    // The transport takes the process's TLS provider and panics without one; one that is there already stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // Whoever reads the message need not know the password that stands in the URL, nor may its cause repeat it.
    let public = without_password(url);
    let failed =
        |reason: String| GitError::Fetch { url: public.clone(), reason: reason.replace(url, &public) };
    let scratch = tempfile::tempdir_in(folder.parent().unwrap_or(folder))?;
    // Alone and without history first; a server need not hand out a commit by its id, nor know a short one.
    let shallow = clone(url, reference, &scratch.path().join("shallow"), true, cancel);
    let repo = match (shallow, reference) {
        (Ok(repo), _) => repo,
        (Err(error), None) => return Err(failed(error)),
        (Err(_), Some(_)) => clone(url, None, &scratch.path().join("full"), false, cancel).map_err(failed)?,
    };
    let wanted = reference.unwrap_or("HEAD");
    let candidates = [
        format!("refs/remotes/origin/{wanted}"),
        format!("refs/tags/{wanted}"),
        format!("refs/heads/{wanted}"),
        wanted.to_owned(),
    ];
    let found = candidates.iter().find_map(|name| repo.rev_parse_single(name.as_str()).ok());
    let found = found.ok_or_else(|| failed(format!("it has no branch, tag or commit {wanted:?}")))?;
    let object = found.object().map_err(GitError::repository)?;
    let commit = object.peel_to_commit().map_err(|_| failed(format!("{wanted:?} is no commit")))?;
    let tree = commit.tree_id().map_err(GitError::repository)?.detach();
    export_tree(&repo, tree, folder, &Budget::default(), cancel)?;
    Ok(Oid::from(commit.id))
}

/// A URL as it may be shown: without user name and password.
pub(crate) fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

fn clone(
    url: &str,
    reference: Option<&str>,
    path: &Path,
    shallow: bool,
    cancel: &AtomicBool,
) -> std::result::Result<gix::Repository, String> {
    let text = |error: &(dyn std::error::Error + 'static)| reason(error);
    let mut prepare = gix::clone::PrepareFetch::new(
        url,
        path,
        gix::create::Kind::Bare,
        gix::create::Options::default(),
        gix::open::Options::isolated(),
    )
    .map_err(|e| text(&e))?;
    if shallow {
        prepare = prepare.with_shallow(gix::remote::fetch::Shallow::DepthAtRemote(NonZeroU32::MIN));
        // A whole id that is taken for a name ends in a panic within gix.
        prepare = match reference.filter(|r| gix::ObjectId::from_hex(r.as_bytes()).is_ok()) {
            Some(id) => prepare.with_revision(Some(id)).map_err(|e| text(&e))?,
            None => prepare.with_ref_name(reference).map_err(|e| text(&e))?,
        };
    }
    let (repo, _) = prepare.fetch_only(gix::progress::Discard, cancel).map_err(|e| text(&e))?;
    Ok(repo)
}

/// The innermost cause is what a person can use.
fn reason(error: &(dyn std::error::Error + 'static)) -> String {
    let last = error_causes(error).last().map_or_else(|| error.to_string(), ToString::to_string);
    last.lines().next().unwrap_or_default().to_owned()
}
