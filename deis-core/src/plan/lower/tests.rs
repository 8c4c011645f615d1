//! What a process is given of what people have set.

use uuid::Uuid;

use super::*;
use crate::model::{
    AppName, AppUid, Attempt, BuildId, BuildSource, BuildSpec, ConfigId, Digest, EnvKey, GitSource, Probe,
    ReleaseVersion, Timestamp, Username,
};

struct Fixture {
    app: AppRef,
    release: Release,
    build: Build,
    config: Config,
}

fn web() -> ProcessType {
    ProcessType::web()
}

fn worker() -> ProcessType {
    ProcessType::new("worker").unwrap()
}

fn fixture() -> Fixture {
    let ann = Username::new("ann").unwrap();
    let processes = [(web(), "./serve".to_owned()), (worker(), "./work".to_owned())].into();
    Fixture {
        app: AppRef { name: AppName::new("blog").unwrap(), uid: AppUid(Uuid::nil()) },
        release: Release {
            uuid: Uuid::nil(),
            version: ReleaseVersion(3),
            owner: ann.clone(),
            created: Timestamp(0),
            summary: "ann deployed abc".to_owned(),
            failed_summary: String::new(),
            build: None,
            build_seq: None,
            config: ConfigId(Uuid::nil()),
            digest: Digest::of(b""),
            attempt: Attempt(1),
        },
        build: Build {
            id: BuildId(Uuid::nil()),
            seq: 1,
            owner: ann.clone(),
            created: Timestamp(0),
            spec: BuildSpec::slug(Digest::of(b"x"), processes),
        },
        config: Config {
            id: ConfigId(Uuid::nil()),
            owner: ann,
            created: Timestamp(0),
            data: ConfigData::default(),
        },
    }
}

impl Fixture {
    fn source(&self) -> Source<'_> {
        Source { app: &self.app, release: &self.release, build: &self.build, config: &self.config }
    }

    fn set(mut self, pairs: &[(&str, &str)]) -> Self {
        let pairs = pairs.iter().map(|(key, value)| (EnvKey::new(*key).unwrap(), Secret::new(*value)));
        self.config.data.values.extend(pairs);
        self
    }

    fn group(&self, process: &ProcessType) -> ProcessGroup {
        let scales = [(web(), 2), (worker(), 3)].into();
        let restarts = [(worker(), 7)].into();
        let formation = Formation { scales, restarts, ..Formation::default() };
        groups(self.source(), &formation).remove(process).unwrap()
    }
}

fn text(key: &str, value: &str) -> BTreeMap<String, String> {
    [(key.to_owned(), value.to_owned())].into()
}

#[test]
fn a_process_type_has_its_own_settings_and_no_others() {
    let mut blog = fixture();
    let data = &mut blog.config.data;
    data.memory = text("worker", "64M/128M");
    data.cpu = text("worker", "500m");
    data.lifecycle_post_start = text("worker", "./hello");
    data.lifecycle_pre_stop = text("worker", "./bye");
    data.termination_grace_period = text("worker", "77");
    data.tags = text("disk", "fast");
    let (web, worker) = (blog.group(&web()), blog.group(&worker()));
    assert_eq!((web.scale, worker.scale), (2, 3));
    let limits = Limits {
        memory: Amount { request: Some(64 << 20), limit: Some(128 << 20) },
        cpu: Amount { request: None, limit: Some(500) },
    };
    assert_eq!((web.template.limits, worker.template.limits), (Limits::default(), limits));
    let hooks = Hooks { post_start: Some("./hello".to_owned()), pre_stop: Some("./bye".to_owned()) };
    assert_eq!((web.template.hooks, worker.template.hooks), (Hooks::default(), hooks));
    assert_eq!((web.template.grace_seconds, worker.template.grace_seconds), (30, 77));
    assert_eq!((web.template.restarts, worker.template.restarts), (0, 7));
    assert_eq!((web.template.routable, worker.template.routable), (true, false));
    assert_eq!((&web.template.tags, &worker.template.tags), (&text("disk", "fast"), &text("disk", "fast")));
    assert_eq!((web.template.registry, web.template.release), (None, ReleaseVersion(3)));
    assert_eq!((web.template.process, worker.template.launch.command), (ProcessType::web(), "./work".into()));
}

#[test]
fn probes_of_web_and_cmd_hold_for_what_has_none_of_its_own() {
    let mut blog = fixture();
    let probe: Probe = serde_json::from_str(r#"{"tcpSocket":{"port":80}}"#).unwrap();
    let checks = HealthChecks { readiness: Some(probe), ..HealthChecks::default() };
    blog.config.data.healthcheck = [("web/cmd".to_owned(), checks.clone())].into();
    assert_eq!(blog.group(&web()).template.probes, checks);
    assert_eq!(blog.group(&worker()).template.probes, HealthChecks::default());
}

#[test]
fn the_time_to_end_and_the_time_to_be_ready_are_in_the_config() {
    let plain = fixture().group(&web());
    assert_eq!((plain.min_ready, plain.template.grace_seconds), (1, 30));
    let general = "KUBERNETES_POD_TERMINATION_GRACE_PERIOD_SECONDS";
    let mut blog = fixture().set(&[("DEIS_MIN_READY_SECONDS", "5"), (general, "12")]);
    blog.config.data.termination_grace_period = text("worker", "77");
    let (web, worker) = (blog.group(&web()), blog.group(&worker()));
    assert_eq!((web.min_ready, worker.min_ready), (5, 5));
    assert_eq!((web.template.grace_seconds, worker.template.grace_seconds), (12, 77));
}

#[test]
fn credentials_are_what_a_registry_understands() {
    let mut blog = fixture();
    let entries = [("username", "bob"), ("password", "x"), ("hostname", "r.example.com"), ("other", "y")];
    blog.config.data.registry = entries.map(|(key, value)| (key.to_owned(), Secret::new(value))).into();
    let expected = RegistryAuth {
        hostname: Some("r.example.com".to_owned()),
        username: Secret::new("bob"),
        password: Secret::new("x"),
    };
    assert_eq!(blog.group(&web()).template.registry, Some(expected));
}

#[test]
fn all_processes_see_the_same_environment() {
    let mut blog = fixture().set(&[("A", "1"), ("HOME", "/elsewhere"), ("DEIS_APP", "mine")]);
    let git = GitSource { commit: Some("c0ffee".to_owned()), branch: None };
    blog.build.spec.source = BuildSource::Buildpack(git);
    let of = |purpose| environment(blog.source(), purpose);
    let pairs = |more: &[(&str, &str)]| -> Environment {
        let fixed = [
            ("A", "1"),
            ("DEIS_APP", "mine"),
            ("WORKFLOW_RELEASE", "v3"),
            ("WORKFLOW_RELEASE_SUMMARY", "ann deployed abc"),
            ("WORKFLOW_RELEASE_CREATED_AT", "1970-01-01T00:00:00Z"),
            ("SOURCE_VERSION", "c0ffee"),
        ];
        fixed.iter().chain(more).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    let (instance, command, one_off) =
        (of(Purpose::Instance), of(Purpose::ReleaseCommand), of(Purpose::OneOff));
    let created = &instance["WORKFLOW_RELEASE_CREATED_AT"];
    assert!(created.starts_with("1970-01-01T00:00:00"), "{created}");
    let with_time = |mut pairs: Environment| {
        pairs.insert("WORKFLOW_RELEASE_CREATED_AT".to_owned(), created.clone());
        pairs
    };
    assert_eq!(instance, with_time(pairs(&[])));
    assert_eq!(command, with_time(pairs(&[("PORT", "5000")])));
    assert_eq!(one_off, with_time(pairs(&[("PORT", "5000"), ("HOME", "/elsewhere")])));
}

#[test]
fn the_port_of_an_image_holds_for_all_and_the_configs_wins() {
    let mut blog = fixture();
    let image = |port| Artifact::Image { name: "r/blog".to_owned(), digest: Digest::of(b"x"), port };
    let ports = |blog: &Fixture| {
        [Purpose::Instance, Purpose::ReleaseCommand, Purpose::OneOff]
            .map(|purpose| environment(blog.source(), purpose).get("PORT").cloned())
    };
    let all = |port: &str| [Some(port.to_owned()), Some(port.to_owned()), Some(port.to_owned())];
    blog.build.spec.artifact = image(Some(8080));
    assert_eq!(ports(&blog), all("8080"));
    blog.build.spec.artifact = image(None);
    assert_eq!(ports(&blog), [None, Some("5000".to_owned()), Some("5000".to_owned())]);
    assert_eq!(ports(&blog.set(&[("PORT", "99")])), all("99"));
}

#[test]
fn what_retires_is_held_beside_the_target_only() {
    let blog = fixture();
    let of = |process: &ProcessType, scale| ProcessGroup { scale, ..blog.group(process) };
    let live = |groups: &[(ProcessType, u32)]| Workload {
        app: blog.app.clone(),
        generation: Generation(4),
        groups: groups.iter().map(|(process, scale)| (process.clone(), of(process, *scale))).collect(),
    };
    let target: BTreeMap<_, _> = [(web(), of(&web(), 1))].into();
    let lowered = |live: &Workload| workloads(&blog.app, Generation(7), target.clone(), Some(live));
    let retiring = lowered(&live(&[(web(), 5), (worker(), 2)]));
    assert!(retiring.retires());
    assert_eq!(retiring.target.groups[&web()].scale, 1, "the target's own group, not live's");
    assert_eq!(retiring.target.groups[&worker()].scale, 2);
    assert_eq!(retiring.target_only.groups, target);
    assert_eq!(retiring.fallback.groups[&web()].scale, 5);
    let numbers = [&retiring.target, &retiring.target_only, &retiring.fallback].map(|w| w.generation.0);
    assert_eq!(numbers, [7, 8, 9]);
    for kept in [live(&[(web(), 5), (worker(), 0)]), live(&[(web(), 5)])] {
        assert!(!lowered(&kept).retires(), "{:?}", kept.groups.keys());
    }
    assert!(!workloads(&blog.app, Generation(7), target.clone(), None).retires());
}
