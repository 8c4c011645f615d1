//! Every setting: its name, its default and its meaning.

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
pub const KNOWN: [Known; 28] = known![
    "data" = "", "folder for everything that is kept [default: $XDG_DATA_HOME/deis]";
    "http_listen" = "127.0.0.1:8000", "address of API, git and apps over HTTP";
    "ssh_listen" = "127.0.0.1:2222", "address of git over SSH; `off` for none";
    "metrics_listen" = "127.0.0.1:9464", "address of /metrics; `off` for none";
    "domain" = "localhost", "domain under which apps live";
    "registration" = "admin_only", "who may register: enabled, admin_only or disabled";
    "reserved_names" = "deis,deis-builder,deis-workflow-manager,grafana,platform,localhost,api,registry,router,www", "app names that are refused, with commas";
    "buildpacks" = "", "folder of further buildpacks, tried before the built-in ones";
    "buildpack_schemes" = "https", "URL schemes that BUILDPACK_URL may have, with commas";
    "build_limit" = "900", "longest build, in seconds";
    "build_env" = "HTTP_PROXY,HTTPS_PROXY,NO_PROXY,http_proxy,https_proxy,no_proxy,SSL_CERT_FILE,SSL_CERT_DIR",
        "variables of the daemon's own environment that builds see, with commas";
    "deploy_timeout" = "120", "longest rollout, in seconds";
    "push_limit" = "2048", "largest push, in MiB";
    "build_disk_limit" = "12288", "disk that a build may use, in MiB";
    "build_entry_limit" = "2000000", "files, folders and links that a build may make";
    "build_output_limit" = "64", "what the scripts of a build may print, in MiB";
    "app_size_limit" = "8192", "files of a built app, in MiB; 8192 at most";
    "slug_size_limit" = "4096", "packed slug of an app, in MiB; 4096 at most";
    "cache_size_limit" = "2048", "build cache that is kept of an app, in MiB";
    "user_apps" = "1000", "most apps of a user who is no administrator";
    "account_login_attempts" = "10", "log-ins of one account that may fail in a minute, from each address";
    "address_login_attempts" = "30", "log-ins that may fail in a minute from one address";
    "address_registrations" = "20", "users that one address may register in an hour, where everybody may";
    "address_connections" = "512", "most HTTP connections from one address to apps";
    "address_platform_connections" = "128", "most HTTP connections from one address to the API and git";
    "trusted_proxies" = "", "addresses and ranges of proxies whose X-Forwarded-* and Forwarded are believed, with commas";
    "log" = "info", "what is logged: error, warn, info, debug, or a tracing filter";
    "log_format" = "text", "text or json";
];
