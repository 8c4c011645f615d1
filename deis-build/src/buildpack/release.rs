//! What a buildpack's `bin/release` says.

use std::collections::BTreeMap;

use deis_core::ProcessType;
use serde::Deserialize;

#[derive(Deserialize)]
struct Release {
    #[serde(default)]
    default_process_types: Option<BTreeMap<String, String>>,
}

/// The default process types in the YAML of `bin/release`.
pub(super) fn default_process_types(text: &str) -> Result<BTreeMap<ProcessType, String>, String> {
    if text.trim().is_empty() {
        return Ok(BTreeMap::new());
    }
    let release: Release = serde_saphyr::from_str(text)
        .map_err(|e| format!("the buildpack's bin/release printed no valid YAML: {e}"))?;
    let types = release.default_process_types.unwrap_or_default();
    types
        .into_iter()
        .map(|(name, command)| {
            let name = ProcessType::new(name).map_err(|e| format!("the buildpack's bin/release: {e}"))?;
            Ok((name, command))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heroku_style_output_is_read() {
        let text =
            "---\naddons:\n  - x\ndefault_process_types:\n  web: bin/start -p $PORT\n  worker: \"run: it\"\n";
        let types = default_process_types(text).unwrap();
        assert_eq!(types[&ProcessType::web()], "bin/start -p $PORT");
        assert_eq!(types.len(), 2);
        assert!(default_process_types("default_process_types: {}").unwrap().is_empty());
        assert!(default_process_types("{}").unwrap().is_empty());
        assert!(default_process_types("default_process_types: [1").is_err());
    }
}
