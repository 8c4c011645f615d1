//! Whether a push would take an app off the web although nobody asked for that.

use std::fmt;

use super::formation::runnable;
use crate::model::{BuildSpec, Formation, ProcessType, probably_meant};

/// A pushed build that has nothing to serve requests, while the live one serves them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) struct NothingServes {
    /// How many `web` processes serve now.
    pub(crate) scale: u32,
    /// The process type of the build that was probably meant to be `web`.
    pub(crate) meant: Option<ProcessType>,
}

impl fmt::Display for NothingServes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this build has no process type web to serve requests, as the live one does")?;
        if let Some(meant) = &self.meant {
            write!(f, "; is \"{meant}\" in its Procfile meant to be \"web\"?")?;
        }
        f.write_str(" To take the app off the web, run `deis scale web=0`, then push again")
    }
}

/// Refuses a build without `web` and `cmd` while `live` serves through `web`, wanted at a scale above 0.
///
/// For pushes alone: a release is not even made, so that the app goes on as it is.
///
/// # Errors
///
/// [`NothingServes`], with the word that was probably meant.
pub(crate) fn check_push(
    live: Option<&BuildSpec>,
    formation: &Formation,
    pushed: &BuildSpec,
) -> Result<(), NothingServes> {
    let Some(live) = live else { return Ok(()) };
    let scale = formation.scale(&ProcessType::web());
    let serves = live.processes.contains_key(&ProcessType::web()) && scale > 0;
    let types = runnable(pushed);
    if !serves || types.keys().any(ProcessType::is_routable) {
        return Ok(());
    }
    let fresh = types.keys().filter(|process| !live.processes.contains_key(*process));
    Err(NothingServes { scale, meant: probably_meant("web", fresh).cloned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Digest;

    fn build(types: &[&str]) -> BuildSpec {
        let processes = types.iter().map(|t| (ProcessType::new(*t).unwrap(), "x".to_owned())).collect();
        BuildSpec::slug(Digest::of(b"x"), processes)
    }

    fn refused(live: &[&str], web: u32, pushed: &[&str]) -> Option<String> {
        let formation = Formation { scales: [(ProcessType::web(), web)].into(), ..Formation::default() };
        check_push(Some(&build(live)), &formation, &build(pushed)).err().map(|error| error.to_string())
    }

    #[test]
    fn a_mistyped_web_is_refused_with_the_word_that_was_meant() {
        for word in ["wbe", "wb", "ewb", "webb", "wep", "we"] {
            let text = refused(&["web", "worker"], 1, &[word, "worker"]).unwrap();
            assert!(text.contains(&format!("is \"{word}\" in its Procfile meant")), "{text}");
            assert!(text.contains("`deis scale web=0`, then push again"), "{text}");
        }
        let text = refused(&["web"], 1, &["server", "release"]).unwrap();
        assert!(!text.contains("meant"), "{text}");
        assert!(refused(&["web"], 1, &["we", "wbe"]).unwrap().contains("\"we\""), "the nearest one");
        assert!(!refused(&["web", "job"], 1, &["job"]).unwrap().contains("meant"), "it was there before");
    }

    #[test]
    fn what_serves_or_is_wanted_so_passes() {
        assert_eq!(refused(&["web"], 1, &["web"]), None);
        assert_eq!(refused(&["web"], 1, &["cmd"]), None);
        assert_eq!(refused(&["web"], 0, &["wbe"]), None, "somebody scaled it down");
        assert_eq!(refused(&["worker"], 1, &["wbe"]), None, "nothing served before");
        assert_eq!(check_push(None, &Formation::default(), &build(&["wbe"])), Ok(()));
    }
}
