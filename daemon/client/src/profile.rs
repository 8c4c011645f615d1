//! The profile: which controller, as whom. `~/.deis/client.json`, or what `-c` or `DEIS_PROFILE` name.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::error::{ClientError, Result};

/// The contents of a profile file. Names are those of the original client, so its files stay readable.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Profile {
    /// Log-in name.
    pub username: String,
    /// Whether certificates are checked.
    #[serde(default = "yes")]
    pub ssl_verify: bool,
    /// URL of the controller.
    pub controller: String,
    /// API token.
    pub token: String,
    /// Rows of lists; 0 means 100.
    #[serde(default)]
    pub response_limit: u32,
}

fn yes() -> bool {
    true
}

/// Where the profile file is: `selected` (a path ending in `.json`, or a name below `~/.deis`), else
/// `client`.
pub(super) fn path(selected: Option<&str>) -> Result<PathBuf> {
    let name = selected.filter(|s| !s.is_empty()).unwrap_or("client");
    if name.contains('/') && Path::new(name).extension().is_some_and(|e| e == "json") {
        return Ok(PathBuf::from(name));
    }
    let home = std::env::var_os("HOME").filter(|h| !h.is_empty()).ok_or_else(|| {
        ClientError::Other("HOME is not set; name a profile file with -c /path/to/client.json".to_owned())
    })?;
    Ok(PathBuf::from(home).join(".deis").join(format!("{name}.json")))
}

/// Reads the profile; a missing one means "not logged in".
pub(super) fn load(path: &Path) -> Result<Profile> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let message = format!(
                "not logged in: there is no {}; use `deis login URL` or `deis register URL`",
                path.display()
            );
            return Err(ClientError::NotLoggedIn { code: String::new(), message });
        }
        Err(source) => {
            return Err(ClientError::File { what: format!("cannot read {}", path.display()), source });
        }
    };
    serde_json::from_str(&text).map_err(|e| {
        ClientError::Other(format!(
            "{} is not a profile ({e}); log in again to write it anew",
            path.display()
        ))
    })
}

/// Writes the profile so that only its owner can read it.
pub(super) fn save(path: &Path, profile: &Profile) -> Result<()> {
    let failed = |source| ClientError::File { what: format!("cannot write {}", path.display()), source };
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    }
    let text = serde_json::to_string(profile).map_err(|e| ClientError::Other(e.to_string()))?;
    write_privately(path, text.as_bytes()).map_err(failed)
}

/// Writes a file that only its owner can read, whole or not at all.
fn write_privately(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let fresh = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(fresh, path)
}

/// Forgets the profile; one that does not exist is fine.
pub(super) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(ClientError::File { what: format!("cannot remove {}", path.display()), source })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_profile_is_private_and_reads_back() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("deep/client.json");
        let profile = Profile {
            username: "ann".into(),
            ssl_verify: true,
            controller: "http://localhost:8000".into(),
            token: "t".into(),
            response_limit: 0,
        };
        save(&file, &profile).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(load(&file).unwrap().username, "ann");
        remove(&file).unwrap();
        assert!(matches!(load(&file), Err(ClientError::NotLoggedIn { .. })));
    }

    #[test]
    fn a_path_is_a_path_and_a_name_is_a_name() {
        assert_eq!(path(Some("/x/y.json")).unwrap(), PathBuf::from("/x/y.json"));
        assert!(path(Some("work")).unwrap().ends_with(".deis/work.json"));
    }
}
