//! Settings: from a flag, from the environment, from a TOML file, or the default – in that order.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::ValueEnum as _;
use deis_core::DomainName;
use tracing_subscriber::EnvFilter;

use crate::{
    api::Registration,
    proxy::{BadRange, TrustedProxies},
};

/// One setting: its name (`--http-listen`, `DEISD_HTTP_LISTEN`, `http_listen = …`), default and meaning.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Its name in TOML; flags have hyphens for the underscores.
    pub name: &'static str,
    /// Its default; empty where it depends.
    pub default: &'static str,
    /// What it is.
    pub help: &'static str,
}

macro_rules! known {
    ($($name:literal = $default:literal, $help:literal;)*) => {
        [$(Known { name: $name, default: $default, help: $help }),*]
    };
}

/// All settings.
pub const KNOWN: [Known; 18] = known![
    "data" = "", "folder for everything that is kept [default: $XDG_DATA_HOME/deis]";
    "http_listen" = "127.0.0.1:8000", "address of API, git and apps over HTTP";
    "ssh_listen" = "127.0.0.1:2222", "address of git over SSH; `off` for none";
    "metrics_listen" = "127.0.0.1:9464", "address of /metrics; `off` for none";
    "domain" = "localhost", "domain under which apps live";
    "registration" = "admin_only", "who may register: enabled, admin_only or disabled";
    "reserved_names" = "deis,deis-builder,deis-workflow-manager,grafana,platform,localhost", "app names that are refused, with commas";
    "buildpacks" = "", "folder of further buildpacks, tried before the built-in ones";
    "buildpack_schemes" = "https", "URL schemes that BUILDPACK_URL may have, with commas";
    "build_limit" = "900", "longest build, in seconds";
    "build_env" = "HTTP_PROXY,HTTPS_PROXY,NO_PROXY,http_proxy,https_proxy,no_proxy,SSL_CERT_FILE,SSL_CERT_DIR",
        "variables of the daemon's own environment that builds see, with commas";
    "deploy_timeout" = "120", "longest rollout, in seconds";
    "push_limit" = "2048", "largest push, in MiB";
    "address_connections" = "512", "most HTTP connections from one address to apps";
    "address_platform_connections" = "128", "most HTTP connections from one address to the API and git";
    "trusted_proxies" = "", "addresses and ranges of proxies whose X-Forwarded-* and Forwarded are believed, with commas";
    "log" = "info", "what is logged: error, warn, info, debug, or a tracing filter";
    "log_format" = "text", "text or json";
];

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

/// The settings as the daemon uses them.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Folder for everything that is kept.
    pub data: PathBuf,
    /// Address of API, git and apps.
    pub http: SocketAddr,
    /// Address of git over SSH.
    pub ssh: Option<SocketAddr>,
    /// Address of the metrics.
    pub metrics: Option<SocketAddr>,
    /// Domain under which apps live.
    pub domain: DomainName,
    /// Who may register.
    pub registration: Registration,
    /// App names that are refused.
    pub reserved: Vec<String>,
    /// Folder of further buildpacks.
    pub buildpacks: Option<PathBuf>,
    /// URL schemes of buildpacks.
    pub schemes: Vec<String>,
    /// Longest build.
    pub build_limit: Duration,
    /// Variables that builds see.
    pub build_env: Vec<String>,
    /// Longest rollout.
    pub deploy_timeout: Duration,
    /// Largest push, in bytes.
    pub push_limit: u64,
    /// Most HTTP connections from one address to apps.
    pub address_connections: usize,
    /// Most HTTP connections from one address to the API and git.
    pub address_platform_connections: usize,
    /// Proxies before this one.
    pub trusted_proxies: TrustedProxies,
    /// What is logged.
    pub log: String,
    /// Whether logs are JSON.
    pub log_json: bool,
}

impl Settings {
    /// Checks all values.
    pub fn new(values: &Values) -> Result<Self, SettingError> {
        let get = Reader(values);
        Ok(Self {
            data: get.parse("data", |text| Ok(PathBuf::from(text)))?,
            http: get.parse("http_listen", address)?,
            ssh: get.parse("ssh_listen", optional(address))?,
            metrics: get.parse("metrics_listen", optional(internal_address))?,
            domain: get.parse("domain", domain)?,
            registration: get.parse("registration", |text| {
                let text = text.replace('-', "_");
                Registration::from_str(&text, true)
                    .map_err(|_| "use enabled, admin_only or disabled".to_owned())
            })?,
            reserved: get.parse("reserved_names", |text| Ok(words(text)))?,
            buildpacks: get
                .parse("buildpacks", |text| Ok((!text.is_empty()).then(|| PathBuf::from(text))))?,
            schemes: get.parse("buildpack_schemes", |text| Ok(words(text)))?,
            build_limit: get.parse("build_limit", seconds)?,
            build_env: get.parse("build_env", |text| Ok(words(text)))?,
            deploy_timeout: get.parse("deploy_timeout", seconds)?,
            push_limit: get.parse("push_limit", |text| number(text).map(|n| n << 20))?,
            address_connections: get.parse("address_connections", count)?,
            address_platform_connections: get.parse("address_platform_connections", count)?,
            trusted_proxies: get
                .parse("trusted_proxies", |text| text.parse().map_err(|error: BadRange| error.to_string()))?,
            log: get.parse("log", filter)?,
            log_json: get.parse("log_format", |text| match text {
                "json" => Ok(true),
                "text" => Ok(false),
                _ => Err("use text or json".to_owned()),
            })?,
        })
    }
}

struct Reader<'a>(&'a Values);

impl Reader<'_> {
    fn parse<T>(&self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<T, SettingError> {
        let (value, from) = self.0.get(name).cloned().unwrap_or((String::new(), Source::Default));
        parse(value.trim()).map_err(|reason| SettingError::Invalid {
            name: name.to_owned(),
            value,
            from,
            reason,
        })
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "write an address and a port, such as 127.0.0.1:8000".to_owned())
}

/// An address that only those are meant to reach for whom it was chosen.
fn internal_address(text: &str) -> Result<SocketAddr, String> {
    let found = address(text)?;
    if found.ip().is_unspecified() {
        return Err(
            "metrics are not for everybody: name one address that only the reader can reach".to_owned()
        );
    }
    Ok(found)
}

fn domain(text: &str) -> Result<DomainName, String> {
    let domain = DomainName::new(text).map_err(|e| e.to_string())?;
    if domain.as_str().starts_with('*') {
        return Err("write the domain itself: apps are named below it anyhow".to_owned());
    }
    Ok(domain)
}

/// A tracing filter. A lone word must be a level: otherwise a level with a typing error would mean silence.
fn filter(text: &str) -> Result<String, String> {
    let is_level =
        ["off", "error", "warn", "info", "debug", "trace"].contains(&text.to_ascii_lowercase().as_str());
    let is_filter = text.contains('=') && EnvFilter::try_new(text).is_ok();
    if is_level || is_filter {
        return Ok(text.to_owned());
    }
    Err("use error, warn, info, debug, or a filter such as info,hyper=debug".to_owned())
}

fn optional<T>(parse: impl Fn(&str) -> Result<T, String>) -> impl Fn(&str) -> Result<Option<T>, String> {
    move |text| if matches!(text, "off" | "none" | "") { Ok(None) } else { parse(text).map(Some) }
}

fn number(text: &str) -> Result<u64, String> {
    text.parse()
        .ok()
        .filter(|n| *n > 0 && *n < 1 << 30)
        .ok_or_else(|| "write a whole number above 0".to_owned())
}

fn count(text: &str) -> Result<usize, String> {
    number(text).map(|n| usize::try_from(n).unwrap_or(usize::MAX))
}

fn seconds(text: &str) -> Result<Duration, String> {
    number(text).map(Duration::from_secs)
}

fn words(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|w| !w.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_environment_over_file_over_default() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("deisd.toml");
        std::fs::write(&file, "domain = \"file\"\nlog = \"warn\"\nbuild_limit = 5\n").unwrap();
        let flags = [("domain", "flag.example".to_owned())].into();
        let env = |name: &str| (name == "DEISD_LOG").then(|| "debug".to_owned());
        let values = collect(&flags, env, Some(&file)).unwrap();
        assert_eq!(values["domain"], ("flag.example".to_owned(), Source::Flag));
        assert_eq!(values["log"], ("debug".to_owned(), Source::Environment));
        assert_eq!(values["build_limit"], ("5".to_owned(), Source::File(file.clone())));
        assert_eq!(values["registration"].1, Source::Default);
        assert_eq!(Settings::new(&values).unwrap().build_limit, Duration::from_secs(5));
        std::fs::write(&file, "nonsense = 1\n").unwrap();
        assert!(matches!(collect(&flags, env, Some(&file)), Err(SettingError::Unknown { .. })));
    }

    #[test]
    fn the_names_that_the_engine_reserves_are_the_default() {
        let values = collect(&BTreeMap::new(), |_| None, None).unwrap();
        assert_eq!(Settings::new(&values).unwrap().reserved, deis_core::RESERVED_NAMES);
    }

    #[test]
    fn values_that_would_surprise_later_are_refused_at_the_start() {
        for (name, value, is_good) in [
            ("log", "inof", false),
            ("log", "info,hyper=loud", false),
            ("log", "", false),
            ("log", "WARN", true),
            ("log", "info,hyper=debug", true),
            ("metrics_listen", "0.0.0.0:9464", false),
            ("metrics_listen", "[::]:9464", false),
            ("metrics_listen", "10.0.0.7:9464", true),
            ("domain", "*.example.com", false),
            ("domain", "example.com", true),
            ("trusted_proxies", "10.0.0.0/8, ::1", true),
            ("trusted_proxies", "10.0.0.0/40", false),
        ] {
            let values = collect(&[(name, value.to_owned())].into(), |_| None, None).unwrap();
            assert_eq!(Settings::new(&values).is_ok(), is_good, "{name} = {value:?}");
        }
    }

    #[test]
    fn a_bad_value_names_the_setting_and_its_source() {
        let flags = [("http_listen", "8000".to_owned())].into();
        let values = collect(&flags, |_| None, None).unwrap();
        let text = Settings::new(&values).unwrap_err().to_string();
        assert!(text.contains("http_listen") && text.contains("flag"), "{text}");
    }
}
