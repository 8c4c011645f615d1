//! What a config takes and what it refuses.

mod edges;

use super::*;
use crate::{model::EnvKey, plan::constants::MAX_HOOK};

fn key(name: &str) -> EnvKey {
    EnvKey::new(name).unwrap()
}

fn set(pairs: &[(&str, &str)]) -> ConfigPatch {
    pairs.iter().fold(ConfigPatch::default(), |patch, (k, v)| patch.set(key(k), *v))
}

#[test]
fn values_are_merged_key_by_key() {
    let base = merge(&ConfigData::default(), &set(&[("A", "1"), ("B", "2")])).unwrap();
    let next = merge(&base, &set(&[("A", "3")]).unset(key("B"))).unwrap();
    assert_eq!(next.values.into_iter().collect::<Vec<_>>(), [(key("A"), Secret::new("3"))]);
}

#[test]
fn nothing_new_and_nothing_there_are_told_apart() {
    let base = merge(&ConfigData::default(), &set(&[("A", "1")])).unwrap();
    assert_eq!(merge(&base, &set(&[("A", "1")])), Err(ConfigError::Unchanged));
    assert_eq!(merge(&base, &ConfigPatch::default()), Err(ConfigError::Unchanged));
    let error = merge(&base, &ConfigPatch::default().unset(key("NOPE"))).unwrap_err();
    assert_eq!(error.to_string(), "NOPE is not set in values");
}

#[test]
fn a_port_is_a_port() {
    for bad in ["dog", "0", "65536", "-1", "1.5", ""] {
        assert!(merge(&ConfigData::default(), &set(&[("PORT", bad)])).is_err(), "{bad}");
    }
    assert!(merge(&ConfigData::default(), &set(&[("PORT", "5000")])).is_ok());
}

#[test]
fn legacy_health_variables_become_probes() {
    let data =
        merge(&ConfigData::default(), &set(&[("HEALTHCHECK_URL", "/health"), ("HEALTHCHECK_TIMEOUT", "7")]))
            .unwrap();
    assert!(data.values.is_empty());
    assert_eq!(data.healthcheck["web/cmd"].readiness.as_ref().unwrap().timeout_seconds, 7);
    assert!(merge(&ConfigData::default(), &set(&[("HEALTHCHECK_URL", "http://x/")])).is_err());
    for number in ["PERIOD_SECONDS", "TIMEOUT", "SUCCESS_THRESHOLD", "FAILURE_THRESHOLD"] {
        let zero = (&*format!("HEALTHCHECK_{number}"), "0");
        let patch = set(&[("HEALTHCHECK_URL", "/"), zero]);
        assert!(merge(&ConfigData::default(), &patch).is_err(), "{number}");
    }
}

#[test]
fn probes_have_ports_and_numbers_above_zero() {
    let probe = |text: &str| {
        let probe: Probe = serde_json::from_str(text).unwrap();
        let change = HealthCheckPatch { readiness: Some(Some(probe)), ..HealthCheckPatch::default() };
        let healthcheck = [("web".to_owned(), Some(change))].into();
        merge(&ConfigData::default(), &ConfigPatch { healthcheck, ..ConfigPatch::default() })
    };
    assert!(probe(r#"{"tcpSocket":{"port":80}}"#).is_ok());
    for bad in [
        r#"{"tcpSocket":{"port":0}}"#,
        r#"{"httpGet":{"path":"/"}}"#,
        r#"{"tcpSocket":{"port":80},"successThreshold":0}"#,
        r#"{"tcpSocket":{"port":80},"periodSeconds":0}"#,
    ] {
        assert!(probe(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_private_registry_needs_a_port() {
    let registry = [("username".to_owned(), Some(Secret::new("bob")))].into();
    let patch = ConfigPatch { registry, ..ConfigPatch::default() };
    assert_eq!(merge(&ConfigData::default(), &patch), Err(ConfigError::NeedsPort));
    let base = merge(&ConfigData::default(), &set(&[("PORT", "80")])).unwrap();
    let base = merge(&base, &patch).unwrap();
    let unset = ConfigPatch::default().unset(key("PORT"));
    assert_eq!(merge(&base, &unset), Err(ConfigError::NeedsPort));
}

#[test]
fn numbers_and_types_are_checked_when_they_are_set() {
    for (name, least, most) in check::TUNABLES {
        for good in [least, most] {
            assert!(merge(&ConfigData::default(), &set(&[(name, &good.to_string())])).is_ok(), "{name}");
        }
        let above = (u64::from(most) + 1).to_string();
        for bad in ["abc", "", "-1", "1.5", "1000000000000", "+5", &above] {
            let error = merge(&ConfigData::default(), &set(&[(name, bad)])).unwrap_err().to_string();
            assert!(error.contains(name), "{name}={bad}: {error}");
        }
    }
    let hooks = |process: &str| [(process.to_owned(), Some("true".to_owned()))].into();
    let post = |process| ConfigPatch { lifecycle_post_start: hooks(process), ..ConfigPatch::default() };
    let pre = |process| ConfigPatch { lifecycle_pre_stop: hooks(process), ..ConfigPatch::default() };
    for patch in [post("Web"), pre("we_b")] {
        assert!(merge(&ConfigData::default(), &patch).is_err(), "{patch:?}");
    }
    assert!(merge(&ConfigData::default(), &post("web")).is_ok());
}

#[test]
fn what_exec_cannot_take_is_refused() {
    assert!(merge(&ConfigData::default(), &set(&[("A", "a\0b")])).is_err());
    let with = |length: usize| merge(&ConfigData::default(), &set(&[("AB", &"x".repeat(length))]));
    assert!(with(131_068).is_ok());
    let error = with(131_069).unwrap_err().to_string();
    assert!(error.contains("AB and its value") && error.contains("131070"), "{error}");
}

/// Refused, with a message that names the member and the rule.
fn refused(patch: &ConfigPatch, member: &str, words: &str) {
    let error = merge(&ConfigData::default(), patch).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{member}: ")) && error.contains(words), "{error}");
    assert!(error.len() < 400, "{} bytes", error.len());
}

fn texts(entries: impl IntoIterator<Item = (String, String)>) -> MapPatch<String, String> {
    entries.into_iter().map(|(key, text)| (key, Some(text))).collect()
}

fn one(key: &str, text: impl Into<String>) -> MapPatch<String, String> {
    texts([(key.to_owned(), text.into())])
}

#[test]
fn the_whole_environment_has_a_bound_that_counts_what_it_costs() {
    let many = |n: usize, length: usize| {
        (0..n).fold(ConfigPatch::default(), |patch, i| patch.set(key(&format!("K{i}")), "x".repeat(length)))
    };
    refused(&many(1001, 0), "values", "1001 entries; at most 1000");
    refused(&many(8, 100_000), "values", "at most 786432 are possible");
    refused(&many(1000, 780), "values", "at most 786432 are possible");
    let full = merge(&ConfigData::default(), &many(7, 100_000)).unwrap();
    assert!(merge(&full, &many(1, 1)).is_ok(), "what is there can be made smaller");
    let error = merge(&full, &ConfigPatch::default().set(key("MORE"), "x".repeat(100_000))).unwrap_err();
    assert!(error.to_string().contains("whole environment"), "{error}");
}

#[test]
fn hooks_registry_and_all_together_are_bounded() {
    let big = "x".repeat(MAX_HOOK + 1);
    for line in [big.as_str(), "", " ", "a\0b"] {
        let post = ConfigPatch { lifecycle_post_start: one("web", line), ..ConfigPatch::default() };
        refused(&post, "lifecycle_post_start", "hook");
        let pre = ConfigPatch { lifecycle_pre_stop: one("web", line), ..ConfigPatch::default() };
        refused(&pre, "lifecycle_pre_stop", "hook");
    }
    let hooks = |n: usize| texts((0..n).map(|i| (format!("p{i}"), "x".repeat(MAX_HOOK))));
    let patch = ConfigPatch { lifecycle_pre_stop: hooks(101), ..ConfigPatch::default() };
    refused(&patch, "lifecycle_pre_stop", "101 entries; at most 100");
    let patch = ConfigPatch {
        lifecycle_pre_stop: hooks(40),
        lifecycle_post_start: hooks(41),
        ..ConfigPatch::default()
    };
    refused(&patch, "lifecycle_post_start", "at most 1048576 are possible");
    let port = ConfigPatch::default().set(key("PORT"), "80");
    let registry = |name: &str, text: String| ConfigPatch {
        registry: [(name.to_owned(), Some(Secret::new(text)))].into(),
        ..port.clone()
    };
    refused(&registry("password", "x".repeat(20_000)), "registry", "password has at most");
    refused(&registry("username", "a\nb".to_owned()), "registry", "control characters");
    refused(&registry("hostname", "evil host".to_owned()), "registry", "hostname is a host");
    assert!(merge(&ConfigData::default(), &registry("hostname", "r.example.com:5000".to_owned())).is_ok());
}

#[test]
fn limits_that_nothing_can_run_with_are_refused() {
    for text in ["3M", "1K", "512B", "1B", "4M/3M"] {
        let patch = ConfigPatch { memory: one("web", text), ..ConfigPatch::default() };
        refused(&patch, "memory", "less than 4 MB");
    }
    for text in ["4M", "4194304B", "1K/4M", "0", "0/4M"] {
        let patch = ConfigPatch { memory: one("web", text), ..ConfigPatch::default() };
        assert!(merge(&ConfigData::default(), &patch).is_ok(), "{text}");
    }
    for text in ["", "0", "-1", "3601", "1000000000", "30s", "1.5", "٣"] {
        let patch = ConfigPatch { termination_grace_period: one("web", text), ..ConfigPatch::default() };
        refused(&patch, "termination_grace_period", "from 1 to 3600");
    }
}

#[test]
fn tags_are_labels_of_machines() {
    let long = "a".repeat(64);
    let many = "a.".repeat(127) + "a";
    for (key, value) in [
        ("a", "b"),
        ("ssd/disk", "fast"),
        ("A_b-c.d", ""),
        ("example.com/x", "1.2"),
        (&*format!("{}/x", &many[..253]), "y"),
    ] {
        let patch = ConfigPatch { tags: one(key, value), ..ConfigPatch::default() };
        assert!(merge(&ConfigData::default(), &patch).is_ok(), "{key}={value}");
    }
    for (key, value) in [
        ("a/b/c", "d"),
        ("", "x"),
        ("/x", "y"),
        ("x/", "y"),
        ("a", "=b"),
        ("Up.case/x", "y"),
        ("a..b/x", "y"),
        (&long, "x"),
        ("x", &long),
        (&*format!("{many}a/x"), "y"),
        ("ä", "x"),
        ("x", "a b"),
    ] {
        let patch = ConfigPatch { tags: one(key, value), ..ConfigPatch::default() };
        refused(&patch, "tags", "letters, digits");
    }
}

#[test]
fn probes_hold_what_a_back_end_can_carry_out() {
    let probe = |text: String| {
        let probe: Probe = serde_json::from_str(&text).unwrap();
        let change = HealthCheckPatch { readiness: Some(Some(probe)), ..HealthCheckPatch::default() };
        ConfigPatch { healthcheck: [("web".to_owned(), Some(change))].into(), ..ConfigPatch::default() }
    };
    let http = |more: &str| probe(format!(r#"{{"httpGet":{{"port":80,{more}}}}}"#));
    let header =
        |name: &str, value: &str| http(&format!(r#""httpHeaders":[{{"name":{name:?},"value":{value:?}}}]"#));
    for good in [
        http(r#""path":"/a?b=c%20d","scheme":"HTTPS""#),
        header("Host", "blog.example.com"),
        header("X-A", "one two"),
        // The original's client sends these numbers by default.
        probe(r#"{"tcpSocket":{"port":1},"timeoutSeconds":50,"periodSeconds":10}"#.to_owned()),
    ] {
        assert!(merge(&ConfigData::default(), &good).is_ok(), "{good:?}");
    }
    let headers = vec![r#"{"name":"A","value":"b"}"#; 21].join(",");
    for (bad, words) in [
        (http(r#""path":"health""#), "begins with /"),
        (http(r#""path":"/a b""#), "begins with /"),
        (http(r#""path":"/a\r\nX: y""#), "begins with /"),
        (http(&format!(r#""path":"/{}""#, "x".repeat(3000))), "at most 2048"),
        (http(r#""host":"169.254.169.254""#), "host cannot be set"),
        (http(r#""scheme":"FILE""#), "HTTP or HTTPS"),
        (http(&format!(r#""httpHeaders":[{headers}]"#)), "at most 20"),
        (header("A:b", "x"), "letters, digits and hyphens"),
        (header("", "x"), "letters, digits and hyphens"),
        (header("A", "x\r\ny"), "letters, digits and hyphens"),
        (probe(r#"{"exec":{"command":[""]}}"#.to_owned()), "exec needs a command"),
        (probe(format!(r#"{{"exec":{{"command":["{}"]}}}}"#, "x".repeat(20_000))), "at most 16384"),
        (probe(r#"{"exec":{"command":["a"]},"tcpSocket":{"port":1}}"#.to_owned()), "exactly one"),
        (probe(r#"{"tcpSocket":{"port":1},"initialDelaySeconds":4000000000}"#.to_owned()), "at most 86400"),
        (probe(r#"{"tcpSocket":{"port":1},"failureThreshold":4000000000}"#.to_owned()), "at most 86400"),
    ] {
        refused(&bad, "healthcheck", words);
    }
    let all = (0..60).map(|i| {
        let text = format!(r#"{{"exec":{{"command":["{}"]}}}}"#, "x".repeat(16_000));
        let probe: Probe = serde_json::from_str(&text).unwrap();
        let change = HealthCheckPatch { readiness: Some(Some(probe.clone())), liveness: Some(Some(probe)) };
        (format!("p{i}"), Some(change))
    });
    let patch = ConfigPatch { healthcheck: all.collect(), ..ConfigPatch::default() };
    refused(&patch, "healthcheck", "at most 1048576 are possible");
}
