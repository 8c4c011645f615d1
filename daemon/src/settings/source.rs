//! Where values come from, and in which order.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::KNOWN;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The command line.
    Flag,
    /// The environment.
    Environment,
    /// A file.
    File(PathBuf),
    /// Nowhere: it is the default.
    Default,
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Flag => f.write_str("flag"),
            Self::Environment => f.write_str("environment"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingError {
    /// Its value breaks a rule.
    #[error("setting {name} = {value:?} (from {from}): {reason}")]
    Invalid {
        /// The setting.
        name: String,
        /// Its value.
        value: String,
        /// Where it comes from.
        from: Source,
        /// The rule.
        reason: String,
    },
    /// The file cannot be read.
    #[error("cannot read the settings in {path:?}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The file has a setting that does not exist.
    #[error("{path:?} has an unknown setting {name:?}; `deisd config` lists them")]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The name.
        name: String,
    },
}

/// Values with their sources, by name.
pub type Values = BTreeMap<&'static str, (String, Source)>;

/// Puts flags, environment and file together.
pub fn collect(
    flags: &BTreeMap<&'static str, String>,
    environment: impl Fn(&str) -> Option<String>,
    file: Option<&Path>,
) -> Result<Values, SettingError> {
    let from_file = file.map(read_file).transpose()?.unwrap_or_default();
    let mut values = Values::new();
    for known in KNOWN {
        let variable = format!("DEISD_{}", known.name.to_uppercase());
        let value = if let Some(value) = flags.get(known.name) {
            (value.clone(), Source::Flag)
        } else if let Some(value) = environment(&variable).filter(|v| !v.is_empty()) {
            (value, Source::Environment)
        } else if let (Some(value), Some(path)) = (from_file.get(known.name), file) {
            (value.clone(), Source::File(path.to_path_buf()))
        } else {
            (known.default.to_owned(), Source::Default)
        };
        values.insert(known.name, value);
    }
    Ok(values)
}

fn read_file(path: &Path) -> Result<BTreeMap<String, String>, SettingError> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| SettingError::File {
        path: path.to_path_buf(),
        source,
    };
    let text = std::fs::read_to_string(path).map_err(|e| failed(Box::new(e)))?;
    let table: toml::Table = text.parse().map_err(|e: toml::de::Error| failed(Box::new(e)))?;
    if let Some(name) = table.keys().find(|name| !KNOWN.iter().any(|k| k.name == **name)) {
        return Err(SettingError::Unknown { path: path.to_path_buf(), name: name.clone() });
    }
    let text = |value: toml::Value| match value {
        toml::Value::String(text) => text,
        toml::Value::Array(items) => {
            let words = items.into_iter().map(|i| i.as_str().map_or_else(|| i.to_string(), str::to_owned));
            words.collect::<Vec<_>>().join(",")
        }
        other => other.to_string(),
    };
    Ok(table.into_iter().map(|(name, value)| (name, text(value))).collect())
}
