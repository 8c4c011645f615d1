//! Text that must not be shown: a log line, an error or a `{:?}` never holds it.

use std::{collections::BTreeMap, fmt, ops};

use serde::{Deserialize, Serialize};

/// What stands in the place of a secret wherever it is printed.
const HIDDEN: &str = "***";

/// A text that prints as `***`. It is stored and sent as the text that it is, and read with [`Secret::expose`].
///
/// ```
/// let secret = deis_core::model::Secret::new("tr0ub4dor");
/// assert_eq!(format!("{secret} {secret:?}"), "*** ***");
/// assert_eq!(secret.expose(), "tr0ub4dor");
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for whoever really needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The text itself, taken out.
    pub fn into_exposed(self) -> String {
        self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// The environment of a process, by name. It is a map of texts; only printing it shows the names alone.
///
/// ```
/// let env = deis_core::model::Environment::from([("TOKEN".to_owned(), "tr0ub4dor".to_owned())]);
/// assert_eq!(format!("{env:?}"), r#"{"TOKEN": ***}"#);
/// assert_eq!(env["TOKEN"], "tr0ub4dor");
/// ```
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// One without a variable.
    pub fn new() -> Self {
        Self::default()
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.keys().map(|name| (name, Secret::default()))).finish()
    }
}

impl ops::Deref for Environment {
    type Target = BTreeMap<String, String>;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl ops::DerefMut for Environment {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl From<BTreeMap<String, String>> for Environment {
    fn from(map: BTreeMap<String, String>) -> Self {
        Self(map)
    }
}

impl<const N: usize> From<[(String, String); N]> for Environment {
    fn from(pairs: [(String, String); N]) -> Self {
        Self(pairs.into())
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        AppName, AppRef, AppUid, Artifact, Command, ConfigData, ConfigPatch, Digest, EnvKey, Launch,
        ProcessType, Program, RegistryAuth, ReleaseVersion, Task, TaskKind, TaskName, Template,
    };

    #[test]
    fn nothing_that_holds_a_secret_prints_it() {
        let (key, plain) = (EnvKey::new("TOKEN").unwrap(), "tr0ub4dor");
        let secret = || Secret::new(plain);
        let config = ConfigData {
            values: [(key.clone(), secret())].into(),
            registry: [("password".to_owned(), secret())].into(),
            ..ConfigData::default()
        };
        let env = Environment::from([("TOKEN".to_owned(), plain.to_owned())]);
        let artifact = Artifact::Slug { digest: Digest::of(b"x") };
        let launch = Launch { artifact: artifact.clone(), command: Command::from("./serve") };
        let registry = RegistryAuth { hostname: None, username: secret(), password: secret() };
        let template = Template {
            env: env.clone(),
            registry: Some(registry),
            ..Template::new(ReleaseVersion(1), ProcessType::web(), launch)
        };
        let app = AppRef { name: AppName::new("blog").unwrap(), uid: AppUid(uuid::Uuid::nil()) };
        let program = Program::Launch { artifact, command: Command::from("./serve") };
        let name = TaskName::new("run").unwrap();
        let task = Task { env, ..Task::new(app, TaskKind::Run, name, program, std::time::Duration::ZERO) };
        let patch = ConfigPatch::default().set(key, plain);
        let printed = format!("{config:?} {template:?} {task:?} {patch:?} {:?} {}", secret(), secret());
        assert!(
            printed.contains("TOKEN") && printed.contains("***") && !printed.contains(plain),
            "{printed}"
        );
    }
}
