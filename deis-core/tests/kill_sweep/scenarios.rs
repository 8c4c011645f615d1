//! The scenarios.

use deis_core::{AppHandle, Change, ConfigPatch, DomainName, EnvKey, Error, ProcessType, RestartScope};
use futures_util::{FutureExt as _, future::BoxFuture};

use super::{
    bench::{Deed, Scenario, build},
    oracle::Expected,
};

type Answer = BoxFuture<'static, Result<Change, Error>>;

const WEB: &[(&str, &str)] = &[("web", "serve"), ("worker", "serve")];
const CRASHES: &[(&str, &str)] = &[("web", "crash"), ("worker", "serve")];
const RELEASE: &[(&str, &str)] = &[("web", "serve"), ("release", "release-works")];
const RELEASE_FAILS: &[(&str, &str)] = &[("web", "serve"), ("release", "release-fails")];

fn deploy(app: AppHandle, tag: &'static str, processes: &'static [(&str, &str)]) -> Answer {
    async move { app.deploy(build(tag, processes)).await }.boxed()
}

fn good(app: AppHandle) -> Answer {
    deploy(app, "good", WEB)
}

fn better(app: AppHandle) -> Answer {
    deploy(app, "better", WEB)
}

fn crashes(app: AppHandle) -> Answer {
    deploy(app, "bad", CRASHES)
}

fn with_release(app: AppHandle) -> Answer {
    deploy(app, "with release", RELEASE)
}

fn with_failing_release(app: AppHandle) -> Answer {
    deploy(app, "with failing release", RELEASE_FAILS)
}

fn only_web(app: AppHandle) -> Answer {
    deploy(app, "only web", &[("web", "serve")])
}

fn set_config(app: AppHandle) -> Answer {
    async move { app.config_set(ConfigPatch::default().set(EnvKey::new("A").unwrap(), "1")).await }.boxed()
}

fn scale_to(app: AppHandle, web: u32) -> Answer {
    async move { app.scale([(ProcessType::web(), web)].into()).await }.boxed()
}

fn two(app: AppHandle) -> Answer {
    scale_to(app, 2)
}

fn three(app: AppHandle) -> Answer {
    scale_to(app, 3)
}

fn one(app: AppHandle) -> Answer {
    scale_to(app, 1)
}

fn worker(app: AppHandle) -> Answer {
    async move { app.scale([(ProcessType::new("worker").unwrap(), 1)].into()).await }.boxed()
}

fn none(app: AppHandle) -> Answer {
    scale_to(app, 0)
}

fn back(app: AppHandle) -> Answer {
    async move { app.rollback(Some(deis_core::ReleaseVersion(2))).await }.boxed()
}

fn restart_all(app: AppHandle) -> Answer {
    async move { app.restart(RestartScope::All).await }.boxed()
}

fn restart_first(app: AppHandle) -> Answer {
    async move {
        let first = app.instances().await?.first().map(|i| i.name.clone());
        match first {
            Some(name) => app.restart(RestartScope::Instance(name)).await,
            None => Ok(Change::default()),
        }
    }
    .boxed()
}

fn add_domain(app: AppHandle) -> Answer {
    async move {
        app.domain_add(DomainName::new("www.example.com").unwrap()).await?;
        Ok(Change::default())
    }
    .boxed()
}

fn destroy_app(app: AppHandle) -> Answer {
    async move {
        app.destroy().await?;
        Ok(Change::default())
    }
    .boxed()
}

const LIVE: &[Deed] = &[good, two];

const STEADY: Expected =
    Expected { releases: 1, fails: false, floor: 2, web: (2, 2), gone: false, domains: (1, 1) };

pub(super) fn first_deploy() -> Scenario {
    Scenario { before: &[], deed: good, expected: Expected { floor: 0, web: (0, 1), ..STEADY } }
}

pub(super) fn redeploy() -> Scenario {
    Scenario { before: LIVE, deed: better, expected: STEADY }
}

pub(super) fn failed_first_deploy() -> Scenario {
    Scenario {
        before: &[],
        deed: crashes,
        expected: Expected { fails: true, floor: 0, web: (0, 0), ..STEADY },
    }
}

pub(super) fn failed_redeploy() -> Scenario {
    Scenario { before: LIVE, deed: crashes, expected: Expected { fails: true, ..STEADY } }
}

pub(super) fn config_change() -> Scenario {
    Scenario { before: LIVE, deed: set_config, expected: STEADY }
}

pub(super) fn scale_up() -> Scenario {
    Scenario { before: LIVE, deed: three, expected: Expected { releases: 0, web: (2, 3), ..STEADY } }
}

pub(super) fn scale_down() -> Scenario {
    Scenario { before: LIVE, deed: one, expected: Expected { releases: 0, floor: 1, web: (2, 1), ..STEADY } }
}

/// A build whose web process crashes is live because web was scaled to 0 when it came; scaling it up fails.
pub(super) fn failing_scale() -> Scenario {
    let expected = Expected { releases: 0, floor: 0, web: (0, 0), ..STEADY };
    Scenario { before: &[good, none, crashes], deed: two, expected }
}

pub(super) fn rollback() -> Scenario {
    Scenario { before: &[good, two, better], deed: back, expected: STEADY }
}

pub(super) fn release_command() -> Scenario {
    Scenario { before: LIVE, deed: with_release, expected: STEADY }
}

pub(super) fn failed_release_command() -> Scenario {
    Scenario { before: LIVE, deed: with_failing_release, expected: Expected { fails: true, ..STEADY } }
}

pub(super) fn restart() -> Scenario {
    Scenario { before: LIVE, deed: restart_all, expected: Expected { releases: 0, ..STEADY } }
}

pub(super) fn restart_one() -> Scenario {
    Scenario { before: LIVE, deed: restart_first, expected: Expected { releases: 0, ..STEADY } }
}

pub(super) fn domain_change() -> Scenario {
    Scenario { before: LIVE, deed: add_domain, expected: Expected { releases: 0, domains: (1, 2), ..STEADY } }
}

pub(super) fn type_retires() -> Scenario {
    Scenario { before: &[good, two, worker], deed: only_web, expected: STEADY }
}

pub(super) fn destroy() -> Scenario {
    let expected = Expected { releases: 0, floor: 0, web: (2, 2), gone: true, ..STEADY };
    Scenario { before: LIVE, deed: destroy_app, expected }
}

/// Two changes: the first is overtaken by the second.
#[derive(Clone, Copy)]
pub(super) struct Pair {
    pub(super) first: Deed,
    pub(super) second: Deed,
    /// Whether the second one fails.
    pub(super) fails: bool,
}

pub(super) fn deploy_overtaken_by_deploy() -> Pair {
    Pair { first: better, second: only_web, fails: false }
}

pub(super) fn broken_deploy_overtaken_by_its_mending() -> Pair {
    Pair { first: crashes, second: better, fails: false }
}

pub(super) fn deploy_overtaken_by_config() -> Pair {
    Pair { first: better, second: set_config, fails: false }
}

pub(super) fn deploy_overtaken_by_scale() -> Pair {
    Pair { first: better, second: three, fails: false }
}

pub(super) fn deploy_overtaken_by_a_broken_one() -> Pair {
    Pair { first: better, second: crashes, fails: true }
}

/// What is there before the first of a pair.
pub(super) const BEFORE_PAIRS: &[Deed] = LIVE;
