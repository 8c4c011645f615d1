//! The ids that stand here are those of instances that may run right now: a change that breaks one of these
//! assertions would restart every one of them at the next update.

use super::*;
use crate::model::{
    Amount, Artifact, BuildSource, EnvKey, Environment, ExecCheck, GitSource, Hooks, HttpCheck, HttpHeader,
    Launch, Limits, ProcessType, RegistryAuth, ReleaseVersion, Secret, TcpCheck,
};

fn bare() -> Template {
    Template {
        release: ReleaseVersion(3),
        process: ProcessType::web(),
        launch: Launch {
            artifact: Artifact::Slug { digest: Digest::of(b"slug") },
            command: Command::Shell("./serve".to_owned()),
        },
        env: Environment::from([("A".to_owned(), "1".to_owned())]),
        limits: Limits::default(),
        probes: HealthChecks::default(),
        routable: true,
        grace_seconds: 30,
        restarts: 0,
        tags: [].into(),
        registry: None,
        hooks: Hooks::default(),
    }
}

fn checked() -> HealthChecks {
    let with = |exec: Option<&str>, http: Option<HttpCheck>, port: Option<u16>| Probe {
        exec: exec.map(|word| ExecCheck { command: vec![word.to_owned()] }),
        http_get: http,
        tcp_socket: port.map(|port| TcpCheck { port }),
        initial_delay_seconds: 1,
        timeout_seconds: 2,
        period_seconds: 3,
        success_threshold: 1,
        failure_threshold: 5,
    };
    let http = HttpCheck {
        path: Some("/".to_owned()),
        port: 80,
        host: None,
        scheme: Some("HTTP".to_owned()),
        http_headers: vec![HttpHeader { name: "A".to_owned(), value: "b".to_owned() }],
    };
    HealthChecks {
        liveness: Some(with(Some("true"), None, None)),
        readiness: Some(with(None, Some(http), None)),
    }
}

fn full() -> Template {
    Template {
        limits: Limits {
            memory: Amount { request: Some(1), limit: Some(2) },
            cpu: Amount { request: None, limit: Some(500) },
        },
        probes: checked(),
        restarts: 2,
        ..bare()
    }
}

#[test]
fn template_ids_are_what_they_were() {
    assert_eq!(template(&bare()).0, "c520ac06fa27f910");
    assert_eq!(template(&full()).0, "ea4110fedbbe82b9");
}

#[test]
fn release_digests_are_what_they_were() {
    assert_eq!(release(None, &ConfigData::default()).short(), "59a44600d33b");
    let config = ConfigData {
        values: [(EnvKey::new("A").unwrap(), Secret::new("1"))].into(),
        memory: [("web".to_owned(), "1G".to_owned())].into(),
        healthcheck: [("web".to_owned(), checked())].into(),
        ..ConfigData::default()
    };
    let build = BuildSpec::slug(Digest::of(b"slug"), [(ProcessType::web(), "./serve".to_owned())].into());
    assert_eq!(release(Some(&build), &config).short(), "0e066901416f");
}

#[test]
fn each_field_that_a_process_is_given_changes_the_id() {
    let change = |change: &dyn Fn(&mut Template)| {
        let mut changed = full();
        change(&mut changed);
        template(&changed)
    };
    let ids = [
        change(&|_| {}),
        change(&|t| t.release = ReleaseVersion(4)),
        change(&|t| t.process = ProcessType::cmd()),
        change(&|t| t.launch.artifact = Artifact::Slug { digest: Digest::of(b"other") }),
        change(&|t| t.launch.command = Command::Shell("./other".to_owned())),
        change(&|t| t.launch.command = Command::Argv(vec!["./serve".to_owned()])),
        change(&|t| t.launch.command = Command::Argv(vec!["./".to_owned(), "serve".to_owned()])),
        change(&|t| t.launch.command = Command::ImageDefault),
        change(&|t| drop(t.env.insert("A".to_owned(), "2".to_owned()))),
        change(&|t| drop(t.env.insert("B".to_owned(), String::new()))),
        change(&|t| t.limits.memory.limit = None),
        change(&|t| t.limits.memory = Amount { request: None, limit: Some(1) }),
        change(&|t| t.limits.cpu = t.limits.memory),
        change(&|t| t.probes.liveness = None),
        change(&|t| std::mem::swap(&mut t.probes.liveness, &mut t.probes.readiness)),
        change(&|t| t.grace_seconds = 31),
        change(&|t| t.restarts = 3),
    ];
    for (place, id) in ids.iter().enumerate() {
        assert!(!ids[..place].contains(id), "{place}");
    }
}

#[test]
fn what_comes_with_the_release_does_not_change_it_again() {
    let mut more = full();
    more.tags.insert("disk".to_owned(), "fast".to_owned());
    more.registry =
        Some(RegistryAuth { hostname: None, username: Secret::new("bob"), password: Secret::new("x") });
    more.hooks.pre_stop = Some("sleep 1".to_owned());
    assert_eq!(template(&more), template(&full()));
}

#[test]
fn only_behaviour_counts_in_a_release() {
    let slug = |commit: &str| {
        let source = GitSource { commit: Some(commit.to_owned()), branch: None };
        BuildSpec { source: BuildSource::Buildpack(source), ..BuildSpec::slug(Digest::of(b"x"), [].into()) }
    };
    let config = ConfigData::default();
    assert_eq!(release(Some(&slug("a")), &config), release(Some(&slug("b")), &config));
    let mut other = ConfigData::default();
    other.values.insert(EnvKey::new("A").unwrap(), "1".into());
    assert_ne!(release(Some(&slug("a")), &config), release(Some(&slug("a")), &other));
}
