//! Digests that say "this behaves the same".

use serde::Serialize;

use crate::model::{BuildSpec, ConfigData, Digest};

/// Digest of a release: artifact, process types and config, and nothing that changes by itself.
pub fn release(build: Option<&BuildSpec>, config: &ConfigData) -> Digest {
    #[derive(Serialize)]
    struct Content<'a> {
        artifact: Option<&'a crate::model::Artifact>,
        processes: Option<&'a std::collections::BTreeMap<crate::model::ProcessType, String>>,
        config: &'a ConfigData,
    }
    of(&Content { artifact: build.map(|b| &b.artifact), processes: build.map(|b| &b.processes), config })
}

/// Digest of a value's JSON. Maps in the model are ordered, so equal values have equal digests.
pub(super) fn of<T: Serialize>(value: &T) -> Digest {
    let bytes = serde_json::to_vec(value).expect("plain data with text keys is valid JSON");
    Digest::of(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::EnvKey;

    #[test]
    fn only_behaviour_counts() {
        let slug = |sha: &str| {
            let mut spec = BuildSpec::slug(Digest::of(b"x"), [].into());
            spec.sha = Some(sha.to_owned());
            spec
        };
        let config = ConfigData::default();
        assert_eq!(release(Some(&slug("a")), &config), release(Some(&slug("b")), &config));
        let mut other = ConfigData::default();
        other.values.insert(EnvKey::new("A").unwrap(), "1".into());
        assert_ne!(release(Some(&slug("a")), &config), release(Some(&slug("a")), &other));
    }
}
