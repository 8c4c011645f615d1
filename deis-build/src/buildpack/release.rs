//! What a buildpack's `bin/release` says.

use std::collections::BTreeMap;

use deis_core::ProcessType;
use serde::Deserialize;

/// What counts of it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Released {
    /// Commands by process type, unless the app's Procfile says otherwise.
    pub(super) processes: BTreeMap<ProcessType, String>,
    /// Variables for the app's processes, unless its config has them.
    pub(super) config_vars: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Document {
    default_process_types: Option<BTreeMap<String, String>>,
    config_vars: Option<BTreeMap<String, serde_json::Value>>,
}

/// Most process types that a buildpack may bring.
const MAX_TYPES: usize = 100;

/// Reads the YAML of `bin/release`.
pub(super) fn read(text: &str) -> Result<Released, String> {
    if text.trim().is_empty() {
        return Ok(Released::default());
    }
    let document: Document = serde_saphyr::from_str(text)
        .map_err(|e| format!("the buildpack's bin/release printed no valid YAML: {e}"))?;
    let process = |(name, command): (String, String)| {
        let name = ProcessType::new(name).map_err(|e| format!("the buildpack's bin/release: {e}"))?;
        Ok((name, command))
    };
    let processes = document.default_process_types.unwrap_or_default();
    if processes.len() > MAX_TYPES {
        return Err(format!("the buildpack's bin/release names more than {MAX_TYPES} process types"));
    }
    let processes = processes.into_iter().map(process).collect::<Result<_, String>>()?;
    let variable = |(name, value): (String, serde_json::Value)| {
        if !is_variable(&name) {
            return Err(format!("the buildpack's bin/release: {name:?} is no name of a variable"));
        }
        Ok((name, value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
    };
    let vars = document.config_vars.unwrap_or_default();
    let config_vars = vars.into_iter().map(variable).collect::<Result<_, String>>()?;
    Ok(Released { processes, config_vars })
}

impl Released {
    /// The variables as a file for `.profile.d`; `None` without any.
    pub(super) fn profile(&self) -> Option<String> {
        let line = |(name, value): (&String, &String)| {
            let quoted = value.replace('\'', "'\\''");
            format!("[ -n \"${{{name}+set}}\" ] || export {name}='{quoted}'\n")
        };
        (!self.config_vars.is_empty()).then(|| self.config_vars.iter().map(line).collect())
    }
}

fn is_variable(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heroku_style_output_is_read() {
        let text =
            "---\naddons:\n  - x\ndefault_process_types:\n  web: bin/start -p $PORT\n  worker: \"run: it\"\n";
        let types = read(text).unwrap().processes;
        assert_eq!(types[&ProcessType::web()], "bin/start -p $PORT");
        assert_eq!(types.len(), 2);
        assert_eq!(read("default_process_types: {}").unwrap(), Released::default());
        assert_eq!(read("{}").unwrap(), Released::default());
        assert!(read("default_process_types: [1").is_err());
    }

    #[test]
    fn variables_are_quoted_and_give_way_to_the_config() {
        let released = read("config_vars:\n  NAME: it's\n  SIZE: 3\n").unwrap();
        let expected =
            "[ -n \"${NAME+set}\" ] || export NAME='it'\\''s'\n[ -n \"${SIZE+set}\" ] || export SIZE='3'\n";
        assert_eq!(released.profile().as_deref(), Some(expected));
        assert!(read("config_vars: {\"a b\": x}").is_err());
        assert_eq!(Released::default().profile(), None);
    }
}
