//! Which instances to start and which to let go: rolling with a few extra, none unavailable. Pure.

use std::collections::BTreeMap;

use crate::model::{InstanceName, ProcessType, TemplateId, Timestamp};

/// What is wanted of one process type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::local) struct WantedGroup {
    pub(in crate::local) scale: usize,
    /// So many more than `scale` may run.
    pub(in crate::local) surge: usize,
    pub(in crate::local) template: TemplateId,
}

/// An instance, as far as rolling looks at it. Leaving ones are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::local) struct Seen {
    pub(in crate::local) name: InstanceName,
    pub(in crate::local) process: ProcessType,
    pub(in crate::local) template: TemplateId,
    /// Whether it was asked to give way to another of its kind.
    pub(in crate::local) evicted: bool,
    pub(in crate::local) rank: InstanceRank,
    pub(in crate::local) started: Timestamp,
}

/// How much an instance is worth, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::local) enum InstanceRank {
    /// It is not ready, and nothing says that it will be.
    Down,
    /// It is not ready, but it was, and may be again.
    MayComeBack,
    /// It is ready.
    Ready,
    /// It has been ready for long enough to take the place of another.
    Available,
}

/// What to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::local) struct Moves {
    /// How many instances of which type to start.
    pub(in crate::local) start: BTreeMap<ProcessType, usize>,
    /// Instances that leave.
    pub(in crate::local) leave: Vec<InstanceName>,
}

impl Moves {
    pub(in crate::local) fn is_empty(&self) -> bool {
        self.start.is_empty() && self.leave.is_empty()
    }
}

/// Decides for all process types of an app.
///
/// Instances of the wanted template are *current*, others *old*. At most `scale + surge` run, except that nothing
/// that is ready leaves before `scale` others are: old ones as long as they are ready, current ones once they are
/// available.
pub(in crate::local) fn decide(wanted: &BTreeMap<ProcessType, WantedGroup>, seen: &[Seen]) -> Moves {
    let mut moves = Moves::default();
    for gone in seen.iter().filter(|s| !wanted.contains_key(&s.process)) {
        moves.leave.push(gone.name.clone());
    }
    for (process, wanted) in wanted {
        let of_type = seen.iter().filter(|s| s.process == *process);
        let (mut current, mut old): (Vec<&Seen>, Vec<&Seen>) =
            of_type.partition(|s| s.template == wanted.template && !s.evicted);
        // What never worked and is not wanted any more has nothing to wait for.
        let (hopeless, rest) = old.into_iter().partition::<Vec<_>, _>(|s| s.rank == InstanceRank::Down);
        old = rest;
        moves.leave.extend(hopeless.iter().map(|s| s.name.clone()));

        let surplus = current.len().saturating_sub(wanted.scale);
        // The least useful leave first, and of equals the youngest: the oldest has its caches warm.
        current.sort_by_key(|s| (s.rank, std::cmp::Reverse(s.started)));
        for extra in current.drain(..surplus) {
            moves.leave.push(extra.name.clone());
        }

        let missing = wanted.scale - current.len();
        let room = (wanted.scale + wanted.surge).saturating_sub(current.len() + old.len());
        if missing.min(room) > 0 {
            moves.start.insert(process.clone(), missing.min(room));
        }

        // Ready is not enough: a version that opens its port and fails a second later would have replaced a good one.
        let available = current.iter().filter(|s| s.rank == InstanceRank::Available).count();
        let mut replaced = (available + old.len()).saturating_sub(wanted.scale);
        old.sort_by_key(|s| (s.rank >= InstanceRank::Ready, s.started));
        for leaving in old {
            if replaced == 0 {
                break;
            }
            replaced -= 1;
            moves.leave.push(leaving.name.clone());
        }
    }
    moves
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `c` current and `o` old ones; a capital letter is available, `r` is current, ready and not yet available; `p` is
    /// old, not ready, but was once; `e` is current, available and evicted.
    fn moves(scale: usize, seen: &str) -> (usize, Vec<String>) {
        let web = ProcessType::web();
        let of = |(n, kind): (usize, char)| Seen {
            name: InstanceName::new(format!("{}{n}", kind.to_ascii_lowercase())).unwrap(),
            process: web.clone(),
            template: TemplateId(if "cCre".contains(kind) { "new" } else { "old" }.into()),
            evicted: kind == 'e',
            rank: match kind {
                'p' => InstanceRank::MayComeBack,
                'r' => InstanceRank::Ready,
                'e' => InstanceRank::Available,
                kind if kind.is_ascii_uppercase() => InstanceRank::Available,
                _ => InstanceRank::Down,
            },
            started: Timestamp(i64::try_from(n).unwrap()),
        };
        let seen: Vec<Seen> = seen.chars().enumerate().map(of).collect();
        let surge = scale.div_ceil(4);
        let wanted = WantedGroup { scale, surge, template: TemplateId("new".into()) };
        let moves = decide(&BTreeMap::from([(web.clone(), wanted)]), &seen);
        (
            moves.start.get(&web).copied().unwrap_or(0),
            moves.leave.iter().map(|n| n.as_str().to_owned()).collect(),
        )
    }

    fn leaves(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| (*n).to_owned()).collect()
    }

    #[test]
    fn nothing_runs_and_all_are_started() {
        assert_eq!(moves(3, ""), (3, vec![]));
    }

    #[test]
    fn one_more_comes_before_one_leaves() {
        assert_eq!(moves(3, "OOO"), (1, vec![]));
        assert_eq!(moves(3, "OOOc"), (0, vec![]));
        assert_eq!(moves(3, "OOOC"), (0, leaves(&["o0"])));
        assert_eq!(moves(3, "OOC"), (1, vec![]));
        assert_eq!(moves(3, "OCCC"), (0, leaves(&["o0"])));
        assert_eq!(moves(3, "CCC"), (0, vec![]));
    }

    #[test]
    fn one_that_is_only_ready_takes_no_place() {
        assert_eq!(moves(1, "Or"), (0, vec![]));
        assert_eq!(moves(3, "OOOr"), (0, vec![]));
        assert_eq!(moves(1, "er"), (0, vec![]));
        assert_eq!(moves(2, "CCr"), (0, leaves(&["r2"])), "and goes before those that are available");
    }

    #[test]
    fn a_quarter_is_replaced_at_a_time() {
        assert_eq!(moves(8, "OOOOOOOO"), (2, vec![]));
        assert_eq!(moves(8, "OOOOOOOOcc"), (0, vec![]));
        assert_eq!(moves(8, "OOOOOOOOCC"), (0, leaves(&["o0", "o1"])));
        assert_eq!(moves(9, "OOOOOOOOO"), (3, vec![]));
        assert_eq!(moves(0, ""), (0, vec![]));
    }

    #[test]
    fn a_broken_new_one_keeps_the_old_ones() {
        assert_eq!(moves(1, "Oc"), (0, vec![]));
        assert_eq!(moves(1, "pc"), (0, vec![]), "the old one may come back");
        assert_eq!(moves(3, "ppOC"), (0, leaves(&["p0"])), "but it does not hold up the new ones");
    }

    #[test]
    fn what_never_worked_gives_way_at_once() {
        assert_eq!(moves(1, "o"), (1, leaves(&["o0"])));
        assert_eq!(moves(2, "OOo"), (1, leaves(&["o2"])));
    }

    #[test]
    fn scaling_down_prefers_what_is_not_ready_then_the_youngest() {
        assert_eq!(moves(2, "CCcC"), (0, leaves(&["c2", "c3"])));
        assert_eq!(moves(0, "COc"), (0, leaves(&["c2", "c0", "o1"])));
    }

    #[test]
    fn scaling_up_keeps_what_runs() {
        assert_eq!(moves(4, "CC"), (2, vec![]));
    }

    #[test]
    fn an_evicted_one_leaves_after_its_replacement_is_ready() {
        assert_eq!(moves(1, "e"), (1, vec![]));
        assert_eq!(moves(1, "ec"), (0, vec![]));
        assert_eq!(moves(1, "eC"), (0, leaves(&["e0"])));
    }

    #[test]
    fn a_type_that_is_not_wanted_leaves() {
        let seen = Seen {
            name: InstanceName::new("w").unwrap(),
            process: ProcessType::new("worker").unwrap(),
            template: TemplateId("x".into()),
            evicted: false,
            rank: InstanceRank::Available,
            started: Timestamp(0),
        };
        assert_eq!(decide(&BTreeMap::new(), std::slice::from_ref(&seen)).leave, [seen.name]);
    }
}
