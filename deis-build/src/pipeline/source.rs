//! What is wrong with a source is said before anything is run.

use std::collections::BTreeMap;

use deis_core::model::parse_procfile;

use super::BuildRequest;
use crate::{error::BuildError, git::without_password};

/// Largest control file that is looked at.
const MAX_CONTROL_FILE: u64 = 1 << 20;

pub(super) fn check(request: &BuildRequest) -> Result<(), BuildError> {
    let file = |name: &str| request.repository.root_file(&request.commit, name, MAX_CONTROL_FILE);
    let wants_procfile = request.config.get("HEPHY_BUILDER").is_some_and(|v| v == "procfile");
    if file("Dockerfile")?.is_some() && !wants_procfile {
        let text = "this version builds no Dockerfiles yet; remove the Dockerfile, or build with buildpacks: \
                    `deis config:set HEPHY_BUILDER=procfile`, then push again";
        return Err(BuildError::Refused(text.to_owned()));
    }
    if let Some(text) = file("Procfile")? {
        let text =
            String::from_utf8(text).map_err(|_| BuildError::Refused("Procfile is not UTF-8".to_owned()))?;
        parse_procfile(&text).map_err(|e| BuildError::Refused(e.to_string()))?;
    }
    Ok(())
}

/// The buildpack that the app's config names: its URL and reference.
pub(super) fn buildpack_url(
    config: &BTreeMap<String, String>,
    schemes: &[String],
) -> Result<Option<(String, Option<String>)>, BuildError> {
    let Some(text) = config.get("BUILDPACK_URL").map(|t| t.trim()).filter(|t| !t.is_empty()) else {
        return Ok(None);
    };
    let (url, reference) = text.split_once('#').map_or((text, None), |(u, r)| (u, Some(r.to_owned())));
    let scheme = url.split_once("://").map(|(s, _)| s).unwrap_or_default();
    if !schemes.iter().any(|s| s == scheme) {
        let (url, allowed) = (without_password(url), schemes.join(", "));
        let text = format!("BUILDPACK_URL {url:?} is not allowed here: use a git URL over {allowed}");
        return Err(BuildError::Refused(text));
    }
    Ok(Some((url.to_owned(), reference.filter(|r| !r.is_empty()))))
}
