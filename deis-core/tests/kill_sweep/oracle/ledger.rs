//! Every acknowledged change is on record exactly once, every other one once or not at all.

use deis_core::ReleaseVersion;

use super::records::{Content, Known, Records};
use crate::{
    actions::Action,
    harness::{Answer, Attempted},
};

/// Which release each attempt made, as an index into the releases.
pub(super) fn check(history: &[Attempted], records: &Records) -> Result<Vec<Option<usize>>, String> {
    let all = &records.releases;
    let promised = |version: ReleaseVersion| {
        history
            .iter()
            .any(|a| matches!(&a.answer, Answer::Acknowledged(change) if change.release == Some(version)))
    };
    let mut next = 1;
    let mut matched = Vec::new();
    for attempted in history {
        let here = all.get(next).filter(|known| fits(attempted.action, next, known, all));
        let made = match &attempted.answer {
            _ if !attempted.action.makes_release() => None,
            Answer::Refused(_) => None,
            Answer::Acknowledged(change) => {
                if here.is_none() || here.map(|known| known.release.version) != change.release {
                    let found = all.get(next).map(|known| known.content);
                    return Err(format!("{attempted:?} was acknowledged, and v{} is {found:?}", next + 1));
                }
                Some(next)
            }
            Answer::Unknown => here.filter(|known| !promised(known.release.version)).map(|_| next),
        };
        next += usize::from(made.is_some());
        matched.push(made);
    }
    if next == all.len() {
        Ok(matched)
    } else {
        Err(format!("v{} was made, and nobody asked for it", next + 1))
    }
}

/// Whether the release at `index` is what `action` makes of one of the releases that it could start from.
fn fits(action: Action, index: usize, known: &Known, all: &[Known]) -> bool {
    bases(index, all).any(|base| content(action, base, all) == Some(known.content))
}

/// What a new release can start from: the newest one that did not fail, or a newer one that failed only later.
fn bases(index: usize, all: &[Known]) -> impl Iterator<Item = &Known> {
    let mut done = false;
    all[..index].iter().rev().take_while(move |known| {
        let take = !done;
        done = !known.outcome.is_failed();
        take
    })
}

fn content(action: Action, base: &Known, all: &[Known]) -> Option<Content> {
    match action {
        Action::Deploy(build) => Some(Content { build: Some(build), ..base.content }),
        Action::Config(value) => Some(Content { value: Some(value), ..base.content }),
        Action::Rollback(to) => {
            all.iter().find(|k| k.release.version == ReleaseVersion(to)).map(|k| k.content)
        }
        _ => None,
    }
}
