//! The last value that is taken and the first one that is not, and each alternative of a rule by itself.

use super::{one, refused, set, texts};
use crate::{
    model::{ConfigData, ConfigPatch, HealthCheckPatch, HealthChecks, Probe, Secret},
    plan::{
        config::{ConfigError, is_platform_tag, merge, probe::size},
        constants::{MAX_CONFIG, MAX_ENV, MAX_REGISTRY_VALUE},
    },
};

fn taken(patch: &ConfigPatch) {
    if let Err(error) = merge(&ConfigData::default(), patch) {
        panic!("{error}");
    }
}

#[test]
fn legacy_health_variables_are_a_path_and_numbers() {
    for path in ["/", "/healthz"] {
        taken(&set(&[("HEALTHCHECK_URL", path)]));
    }
    for path in ["/a?b", "/a#b", "//host/a", "healthz", "/a b", ""] {
        refused(&set(&[("HEALTHCHECK_URL", path)]), "values", "must be a path");
    }
    taken(&set(&[("HEALTHCHECK_ANYTHING", "17")]));
    refused(&set(&[("HEALTHCHECK_ANYTHING", "a")]), "values", "numeric");
    taken(&set(&[("OTHER", "a")]));
    refused(
        &set(&[("HEALTHCHECK_URL", "/"), ("HEALTHCHECK_TIMEOUT", "99999999999")]),
        "values",
        "ten digits",
    );
}

#[test]
fn ports_from_the_first_to_the_last() {
    taken(&set(&[("PORT", "1")]));
    taken(&set(&[("PORT", "65535")]));
    refused(&set(&[("PORT", "0")]), "values", "between 1 and 65535");
    refused(&set(&[("PORT", "65536")]), "values", "between 1 and 65535");
    refused(&set(&[("PORT", "a")]), "values", "numeric");
}

#[test]
fn each_part_of_a_registry_has_its_bound() {
    let registry = |name: &str, text: &str| ConfigPatch {
        registry: [(name.to_owned(), Some(Secret::new(text)))].into(),
        ..set(&[("PORT", "80")])
    };
    taken(&registry("password", &"x".repeat(MAX_REGISTRY_VALUE)));
    refused(&registry("password", &"x".repeat(MAX_REGISTRY_VALUE + 1)), "registry", "at most");
    taken(&registry("username", ""));
    for host in ["r", "[::1]:5000", "r.example.com/team", &"h".repeat(255)] {
        taken(&registry("hostname", host));
    }
    for host in ["", &"h".repeat(256), "a b", "a@b"] {
        refused(&registry("hostname", host), "registry", "hostname is a host");
    }
    refused(&registry("Hostname", "a b"), "registry", "hostname is a host");
    refused(&registry("not a name", "x"), "registry", "");
}

#[test]
fn process_types_are_checked_wherever_one_is_named() {
    let with = |process: &str| {
        let set = || ConfigPatch::default();
        [
            ("memory", ConfigPatch { memory: one(process, "1G"), ..set() }),
            ("cpu", ConfigPatch { cpu: one(process, "1"), ..set() }),
            (
                "termination_grace_period",
                ConfigPatch { termination_grace_period: one(process, "5"), ..set() },
            ),
            ("lifecycle_pre_stop", ConfigPatch { lifecycle_pre_stop: one(process, "true"), ..set() }),
            ("lifecycle_post_start", ConfigPatch { lifecycle_post_start: one(process, "true"), ..set() }),
            ("healthcheck", readiness(process, r#"{"tcpSocket":{"port":80}}"#)),
        ]
    };
    for (member, patch) in with("Not_A_Type") {
        refused(&patch, member, "");
    }
    for (_, patch) in with("worker") {
        taken(&patch);
    }
    refused(&ConfigPatch { cpu: one("web", "much"), ..ConfigPatch::default() }, "cpu", "such as 500m");
    refused(&ConfigPatch { memory: one("web", "much"), ..ConfigPatch::default() }, "memory", "such as 512M");
    taken(&readiness("web/cmd", r#"{"tcpSocket":{"port":80}}"#));
}

#[test]
fn a_tag_is_as_long_as_a_label_may_be() {
    let tag = |key: &str, value: &str| ConfigPatch { tags: one(key, value), ..ConfigPatch::default() };
    let (longest, label) = ("a".repeat(63), "b".repeat(63));
    for (key, value) in [
        (longest.as_str(), longest.as_str()),
        (&*format!("{label}/x"), "y"),
        ("x1-2/A-b_c.d", "z"),
        ("9/9", "9"),
        ("a-b.c-d/x", "y"),
    ] {
        taken(&tag(key, value));
    }
    for (key, value) in [
        (&*format!("{label}b/x"), "y"),
        ("-a/x", "y"),
        ("a-/x", "y"),
        ("a_b/x", "y"),
        ("-a", "y"),
        ("a-", "y"),
        ("a", "-b"),
        ("a", "b-"),
        ("a$b", "y"),
        ("a", "b$c"),
    ] {
        refused(&tag(key, value), "tags", "letters, digits");
    }
}

#[test]
fn the_tags_of_a_cluster_are_known() {
    for own in
        ["kubernetes.io/os", "node.kubernetes.io/x", "k8s.io/x", "a.b.k8s.io/x", "node-role.kubernetes.io/"]
    {
        assert!(is_platform_tag(own), "{own}");
    }
    for other in
        ["kubernetes.io", "os", "example.com/kubernetes.io", "mykubernetes.io/x", "k8s.io.example.com/x"]
    {
        assert!(!is_platform_tag(other), "{other}");
    }
}

fn probes(process: &str, liveness: bool, text: &str) -> ConfigPatch {
    let probe: Probe = serde_json::from_str(text).unwrap();
    let change = if liveness {
        HealthCheckPatch { liveness: Some(Some(probe)), ..HealthCheckPatch::default() }
    } else {
        HealthCheckPatch { readiness: Some(Some(probe)), ..HealthCheckPatch::default() }
    };
    ConfigPatch { healthcheck: [(process.to_owned(), Some(change))].into(), ..ConfigPatch::default() }
}

fn readiness(process: &str, text: &str) -> ConfigPatch {
    probes(process, false, text)
}

#[test]
fn only_a_readiness_probe_may_want_more_than_one_success() {
    let twice = r#"{"tcpSocket":{"port":80},"successThreshold":2}"#;
    taken(&readiness("web", twice));
    refused(&probes("web", true, twice), "healthcheck", "successThreshold must be 1");
    taken(&probes("web", true, r#"{"tcpSocket":{"port":80},"successThreshold":1}"#));
}

#[test]
fn commands_of_probes_are_bounded() {
    let exec =
        |words: &[&str]| readiness("web", &serde_json::json!({ "exec": { "command": words } }).to_string());
    // Each word takes a NUL byte more than it has letters.
    taken(&exec(&["a", &"x".repeat(16_381)]));
    refused(&exec(&["a", &"x".repeat(16_382)]), "healthcheck", "at most 16384");
    taken(&exec(&["a", ""]));
    refused(&exec(&[]), "healthcheck", "exec needs a command");
    refused(&exec(&["a", "b\0"]), "healthcheck", "NUL");
    refused(&readiness("web", "{}"), "healthcheck", "exactly one");
}

#[test]
fn requests_of_probes_are_bounded() {
    let http = |more: serde_json::Value| {
        let mut http = serde_json::json!({ "port": 80 });
        http.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        readiness("web", &serde_json::json!({ "httpGet": http }).to_string())
    };
    let header = |name: &str, value: &str| {
        http(serde_json::json!({ "httpHeaders": [{ "name": name, "value": value }] }))
    };
    taken(&http(serde_json::json!({ "path": format!("/{}", "x".repeat(2047)) })));
    refused(&http(serde_json::json!({ "path": format!("/{}", "x".repeat(2048)) })), "healthcheck", "2048");
    for scheme in ["HTTP", "HTTPS"] {
        taken(&http(serde_json::json!({ "scheme": scheme })));
    }
    let twenty = vec![serde_json::json!({ "name": "A", "value": "b" }); 20];
    taken(&http(serde_json::json!({ "httpHeaders": twenty })));
    taken(&header(&"a".repeat(256), "x"));
    taken(&header("A", &"x".repeat(2048)));
    taken(&header("!#$%&'*+-.^_`|~", "a\tb ü"));
    for (name, value) in
        [(&*"a".repeat(257), "x"), ("A", &*"x".repeat(2049)), ("A", "\u{7f}"), ("A", "\u{1f}")]
    {
        refused(&header(name, value), "healthcheck", "letters, digits and hyphens");
    }
}

#[test]
fn numbers_of_probes_are_bounded() {
    for name in
        ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "failureThreshold", "successThreshold"]
    {
        let with = |n: u32| {
            readiness("web", &serde_json::json!({ "tcpSocket": { "port": 1 }, name: n }).to_string())
        };
        taken(&with(86_400));
        refused(&with(86_401), "healthcheck", "at most 86400");
    }
    taken(&readiness("web", r#"{"tcpSocket":{"port":1},"initialDelaySeconds":0}"#));
}

#[test]
fn an_environment_may_take_all_its_room_and_no_byte_more() {
    // A name, a value, `=`, a NUL byte and a pointer each.
    let of = |bytes: usize| {
        let mut left = bytes;
        let mut patch = ConfigPatch::default();
        for n in 0.. {
            let name = format!("K{n}");
            let own = name.len() + 2 + size_of::<usize>();
            if left == 0 {
                break;
            }
            let value = (left - own).min(100_000);
            // What is left must be enough for one more.
            let value = if left - own - value < 20 && left > own + value { value - 20 } else { value };
            left -= own + value;
            patch = patch.set(super::key(&name), "x".repeat(value));
        }
        patch
    };
    taken(&of(MAX_ENV));
    refused(&of(MAX_ENV + 1), "values", "the whole environment takes 786433 bytes");
}

#[test]
fn a_config_may_take_all_its_room_and_no_byte_more() {
    let hook = 16_000;
    let hooks = |bytes: usize| {
        let mut entries = Vec::new();
        let mut left = bytes;
        for n in 0..99 {
            let name = format!("p{n}");
            let text = hook.min(left - name.len());
            left -= name.len() + text;
            entries.push((name, "x".repeat(text)));
            if left < 40 {
                break;
            }
        }
        // The last one takes the rest.
        entries.last_mut().unwrap().1.push_str(&"x".repeat(left));
        ConfigPatch { lifecycle_pre_stop: texts(entries), ..ConfigPatch::default() }
    };
    taken(&hooks(MAX_CONFIG));
    refused(&hooks(MAX_CONFIG + 1), "lifecycle_pre_stop", "the config takes 1048577 bytes");
}

#[test]
fn credentials_count_by_their_bytes() {
    let hooks = |bytes: usize| {
        let lines =
            (0..).map(|n| format!("p{n}")).zip(std::iter::repeat_n("x".repeat(16_000), bytes / 16_000));
        texts(lines)
    };
    let patch = ConfigPatch {
        lifecycle_pre_stop: hooks(1_000_000),
        registry: [("password".to_owned(), Some(Secret::new("x".repeat(MAX_REGISTRY_VALUE))))].into(),
        ..set(&[("PORT", "80")])
    };
    taken(&patch);
}

#[test]
fn all_words_of_the_probes_count() {
    let probe = |text: &str| -> Probe { serde_json::from_str(text).unwrap() };
    let http = r#"{"httpGet":{"port":80,"path":"/health","httpHeaders":[
        {"name":"Host","value":"example.com"},{"name":"A","value":"b"}]}}"#;
    let checks = HealthChecks {
        liveness: Some(probe(r#"{"exec":{"command":["test","-e","ready"]}}"#)),
        readiness: Some(probe(http)),
    };
    let words = ("test".len() + 1) + ("-e".len() + 1) + ("ready".len() + 1);
    let request = "/health".len() + "Host".len() + "example.com".len() + "A".len() + "b".len();
    assert_eq!(size(&checks), words + request + 2 * size_of::<Probe>());
    assert_eq!(size(&HealthChecks::default()), 0);
}

#[test]
fn a_probe_that_is_not_there_cannot_be_removed() {
    let change = |liveness, readiness| ConfigPatch {
        healthcheck: [("web".to_owned(), Some(HealthCheckPatch { liveness, readiness }))].into(),
        ..ConfigPatch::default()
    };
    let probe: Probe = serde_json::from_str(r#"{"tcpSocket":{"port":80}}"#).unwrap();
    let base = merge(&ConfigData::default(), &change(None, Some(Some(probe.clone())))).unwrap();
    let not_set = ConfigError::NotSet { key: "web".to_owned(), member: "healthcheck" };
    assert_eq!(merge(&base, &change(Some(None), None)), Err(not_set.clone()), "only the other one is");
    let removed = merge(&base, &change(Some(Some(probe.clone())), Some(None))).unwrap();
    let left = HealthChecks { liveness: Some(probe), readiness: None };
    assert_eq!(removed.healthcheck["web"], left);
    let all = ConfigPatch { healthcheck: [("web".to_owned(), None)].into(), ..ConfigPatch::default() };
    assert!(merge(&base, &all).unwrap().healthcheck.is_empty());
    assert_eq!(merge(&ConfigData::default(), &all), Err(not_set));
}
