//! Settings: from a flag, from the environment, from a TOML file, or the default – in that order.

mod known;
mod parse;
mod source;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::ValueEnum as _;
use deis_core::DomainName;

pub use known::{KNOWN, Known};
pub use source::{SettingError, Source, Values, collect};

use parse::{
    Reader, address, count, domain, filter, internal_address, mebibytes, mebibytes_up_to, number, optional,
    rate, seconds, words,
};

use crate::{
    api::Registration,
    proxy::{BadRange, TrustedProxies},
};

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
    /// What a build may use up, and leave.
    pub build: BuildSettings,
    /// Most apps of a user who is no administrator.
    pub user_apps: usize,
    /// Log-ins of one account that may fail in a minute, from each address.
    pub account_login_attempts: u32,
    /// Log-ins that may fail in a minute from one address.
    pub address_login_attempts: u32,
    /// Users that one address may register in an hour, where everybody may.
    pub address_registrations: u32,
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
    ///
    /// # Errors
    /// The first value that cannot be used.
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
            push_limit: get.parse("push_limit", mebibytes)?,
            build: BuildSettings {
                disk: get.parse("build_disk_limit", mebibytes)?,
                entries: get.parse("build_entry_limit", number)?,
                output: get.parse("build_output_limit", mebibytes)?,
                app: get.parse("app_size_limit", mebibytes_up_to(8192))?,
                slug: get.parse("slug_size_limit", mebibytes_up_to(4096))?,
                cache: get.parse("cache_size_limit", mebibytes)?,
            },
            user_apps: get.parse("user_apps", count)?,
            account_login_attempts: get.parse("account_login_attempts", rate)?,
            address_login_attempts: get.parse("address_login_attempts", rate)?,
            address_registrations: get.parse("address_registrations", rate)?,
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

/// What a build may use up, and leave. Sizes are in bytes.
#[derive(Clone, Copy, Debug)]
pub struct BuildSettings {
    /// Disk that it uses.
    pub disk: u64,
    /// Files, folders and links that it makes.
    pub entries: u64,
    /// What its scripts print.
    pub output: u64,
    /// Files of the built app.
    pub app: u64,
    /// The packed slug.
    pub slug: u64,
    /// The cache that is kept of an app.
    pub cache: u64,
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

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
        assert_eq!(Settings::new(&values).unwrap().reserved, deis_core::service::RESERVED_NAMES);
    }

    #[test]
    fn the_limits_of_builds_are_those_of_the_builder() {
        let build = Settings::new(&collect(&BTreeMap::new(), |_| None, None).unwrap()).unwrap().build;
        let usual = deis_build::PipelineOptions::new("x");
        assert_eq!(
            (build.disk, build.entries, build.output, build.app, build.slug, build.cache),
            (
                usual.max_build_bytes,
                usual.max_build_entries,
                usual.max_output_bytes,
                usual.max_app_bytes,
                usual.max_slug_bytes,
                usual.max_cache_bytes
            )
        );
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
            ("build_disk_limit", "0", false),
            ("app_size_limit", "8192", true),
            ("app_size_limit", "8193", false),
            ("slug_size_limit", "4097", false),
            ("address_login_attempts", "some", false),
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
