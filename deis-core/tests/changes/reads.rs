//! How many calls of the store each thing costs, and that the number does not grow with lists or histories; how many
//! records a publication of routes reads.

use std::{fmt::Write as _, sync::atomic::Ordering::SeqCst};

use deis_core::{
    Actor, AppHandle, AppName, Digest, DomainName, PageQuery, Platform, ReleaseVersion, RestartScope,
    Session, Timestamp, Username,
    model::{PushOutcome, SshKey},
    service::{BUILD_RUNS_KEPT, Progress},
};

use super::{
    build_runs::push,
    fixture::{Fixture, RELEASE, app, build, config, name, newcomer, web},
};

/// Calls of the store: reads and commits.
type Cost = (usize, usize);

struct Counter<'a> {
    fixture: &'a Fixture,
    platform: Platform,
    table: Vec<(&'static str, Cost)>,
}

impl Counter<'_> {
    fn calls(&self) -> Cost {
        (self.fixture.store.reads.load(SeqCst), self.fixture.store.commits.load(SeqCst))
    }

    fn note(&mut self, what: &'static str, before: Cost) {
        let now = self.calls();
        self.table.push((what, (now.0 - before.0, now.1 - before.1)));
    }

    /// What a request does first: whose token is it?
    async fn caller(&self, who: &str) -> Session {
        let user = self.platform.user_by_token(&Digest::of(who.as_bytes())).await.unwrap().unwrap();
        self.platform.session(Actor::User { name: user.name, superuser: user.superuser })
    }

    async fn app(&self) -> AppHandle {
        let (_, app) = self
            .platform
            .app_by_token(&Digest::of(b"ann"), &name())
            .await
            .unwrap()
            .expect("a token of ann's");
        app.unwrap()
    }

    async fn rest(&self) {
        self.fixture.drive(&self.platform).await;
    }
}

/// One of everything, with the token check.
async fn costs(fixture: &Fixture, platform: Platform) -> Vec<(&'static str, Cost)> {
    let mut counter = Counter { fixture, platform, table: Vec::new() };
    let all = PageQuery { offset: 0, limit: 1000 };
    macro_rules! count {
        ($what:literal, $work:expr) => {{
            let before = counter.calls();
            let answer = $work;
            counter.note($what, before);
            answer
        }};
    }
    count!("one app", counter.app().await);
    count!("list of apps, administrator", counter.caller("ann").await.apps(all).await.unwrap());
    count!("list of apps, user", counter.caller("bob").await.apps(all).await.unwrap());
    count!("list of releases", counter.app().await.releases(all).await.unwrap());
    let page = PageQuery { offset: 1, limit: 2 };
    count!("second page of releases", counter.app().await.releases(page).await.unwrap());
    count!("list of builds", counter.app().await.builds(all).await.unwrap());
    count!("list of domains", counter.app().await.domain_page(all).await.unwrap());
    count!("list of keys", {
        let caller = counter.caller("ann").await;
        counter.platform.keys(caller.actor().name()).await.unwrap()
    });
    count!("list of users", {
        counter.caller("ann").await;
        counter.platform.users().await.unwrap()
    });
    count!("list of build runs", counter.app().await.build_runs(all).await.unwrap());
    count!("change: new user", counter.platform.register(newcomer("carol")).await.unwrap());
    count!("change: new key", {
        let caller = counter.caller("ann").await;
        counter.platform.add_key(&key(caller.actor().name().clone())).await.unwrap();
    });
    count!("who has a key", counter.platform.user_by_key(&Digest::of(b"key")).await.unwrap().unwrap());
    count!("change: key away", {
        let caller = counter.caller("ann").await;
        counter.platform.remove_key(caller.actor().name(), "laptop").await.unwrap();
    });
    count!("change: config", counter.app().await.config_made(config("KEY", "new")).await.unwrap());
    counter.rest().await;
    count!("change: scale", counter.app().await.scale([(web(), 2)].into()).await.unwrap());
    counter.rest().await;
    count!("change: restart", counter.app().await.restart(RestartScope::All).await.unwrap());
    counter.rest().await;
    count!("change: rollback", counter.app().await.rollback(None).await.unwrap());
    counter.rest().await;
    count!("change: rollback to v2", counter.app().await.rollback(Some(ReleaseVersion(2))).await.unwrap());
    counter.rest().await;
    let domain = DomainName::new("new.example.com").unwrap();
    count!("change: domain", counter.app().await.domain_add(domain.clone()).await.unwrap());
    count!("change: domain away", counter.app().await.domain_remove(&domain).await.unwrap());
    counter.rest().await;
    count!("change: deploy", counter.app().await.deploy(build("new", RELEASE)).await.unwrap());
    // The costliest pass of a rollout with a release command.
    let mut most = (0, 0);
    for _ in 0..500 {
        let before = counter.calls();
        let progress = counter.platform.pass(&name()).await.unwrap();
        let now = counter.calls();
        most = (most.0.max(now.0 - before.0), most.1.max(now.1 - before.1));
        if !fixture.world.tick() && progress == Progress::Idle {
            break;
        }
    }
    counter.table.push(("a pass", most));
    let push = count!("change: push begins", counter.app().await.push_begin(push("1"), true).await.unwrap());
    let spec = build("pushed", &[("web", "serve")]);
    count!("change: push deploys", counter.app().await.deploy_push(push.id, spec).await.unwrap());
    counter.rest().await;
    let stored = PushOutcome::NotStored { reason: "that is the end of it".to_owned() };
    count!("change: push ends", counter.app().await.push_close(push.id, &stored).await.unwrap());
    let fresh = AppName::new("fresh").unwrap();
    count!("change: new app", counter.caller("ann").await.create_app(fresh.clone()).await.unwrap());
    count!("change: destroy", {
        let handle = counter.caller("ann").await.app(&fresh).await.unwrap();
        handle.destroy().await.unwrap();
    });
    counter.table
}

fn key(owner: Username) -> SshKey {
    SshKey {
        uuid: uuid::Uuid::new_v4(),
        id: "laptop".to_owned(),
        owner,
        public: "ssh-ed25519 AAAA laptop".to_owned(),
        fingerprint: Digest::of(b"key"),
        fingerprint_md5: String::new(),
        created: Timestamp(0),
    }
}

/// A platform with so many apps and releases of one of them.
async fn filled(apps: usize, releases: usize) -> (Fixture, Platform) {
    let fixture = Fixture::new();
    let platform = fixture.misbehaving();
    for user in ["ann", "bob"] {
        platform.register(newcomer(user)).await.unwrap();
    }
    let session = |name: &str| {
        platform.session(Actor::User { name: Username::new(name).unwrap(), superuser: name == "ann" })
    };
    session("ann").create_app(name()).await.unwrap();
    for n in 0..apps {
        session("bob").create_app(AppName::new(format!("app-{n}")).unwrap()).await.unwrap();
    }
    let blog = session("ann").app(&name()).await.unwrap();
    blog.domain_add(DomainName::new("www.example.com").unwrap()).await.unwrap();
    for tag in ["a", "b"] {
        fixture.deploy(&platform, &blog, build(tag, &[("web", "serve")])).await;
    }
    for n in 0..releases {
        blog.config_set(config("N", &n.to_string())).await.unwrap();
        fixture.drive(&platform).await;
    }
    // As many build runs as are kept: from then on each one that begins removes the oldest.
    for n in 0..usize::try_from(BUILD_RUNS_KEPT).unwrap() + releases {
        let begun = blog.push_begin(push(&n.to_string()), true).await.unwrap();
        let outcome = PushOutcome::NotStored { reason: "nothing came of it".to_owned() };
        blog.push_close(begun.id, &outcome).await.unwrap();
    }
    (fixture, platform)
}

#[tokio::test]
async fn what_things_cost_is_bounded_and_does_not_grow() {
    let (fixture, platform) = filled(1, 1).await;
    let small = costs(&fixture, platform).await;
    let (fixture, platform) = filled(300, 150).await;
    let large = costs(&fixture, platform).await;
    let mut table = String::from("\n| with the token check | reads | commits |\n| --- | --- | --- |\n");
    for (what, (reads, commits)) in &large {
        let _ = writeln!(table, "| {what} | {reads} | {commits} |");
    }
    println!("{table}");
    assert_eq!(small, large, "what grows, grows with a list or a history");
    for (what, (reads, commits)) in large {
        let (most, batches) = match what {
            "one app" => (3, 0),
            "a pass" => (2, 1),
            _ if what.starts_with("change") => (5, 1),
            _ => (4, 0),
        };
        assert!(reads <= most && commits <= batches, "{what}: {reads} reads, {commits} commits");
    }
}

/// What the passes read – calls, and records in the answers – after each of some changes of an app with so many domains.
async fn publications(domains: usize) -> Vec<(&'static str, usize, usize)> {
    let fixture = Fixture::new();
    let platform = fixture.misbehaving();
    let blog = fixture.create(&platform).await;
    fixture.deploy(&platform, &blog, build("a", &[("web", "serve")])).await;
    let domain = |n: usize| DomainName::new(format!("n{n}.example.com")).unwrap();
    for n in 1..domains {
        blog.domain_add(domain(n)).await.unwrap();
        fixture.drive(&platform).await;
    }
    let mut costs = Vec::new();
    for what in ["a domain more", "a domain less", "a release", "a release that another one overtakes"] {
        match what {
            "a domain more" => _ = blog.domain_add(domain(1000)).await.unwrap(),
            "a domain less" => blog.domain_remove(&domain(1000)).await.unwrap(),
            "a release" => _ = blog.config_set(config("N", "1")).await.unwrap(),
            _ => {
                blog.config_set(config("N", "2")).await.unwrap();
                fixture.drive_to(&platform, "rolling", false).await;
                blog.config_set(config("N", "3")).await.unwrap();
            }
        }
        let count = || (fixture.store.reads.load(SeqCst), fixture.store.records.load(SeqCst));
        let before = count();
        fixture.drive(&platform).await;
        let after = count();
        costs.push((what, after.0 - before.0, after.1 - before.1));
        let routed = fixture.world.routes(&name()).unwrap().domains;
        let mut known: Vec<_> = blog.domains().await.unwrap().into_iter().map(|d| d.name).collect();
        known.sort();
        assert_eq!(routed, known, "{what}");
    }
    costs
}

#[tokio::test]
async fn publishing_routes_costs_the_change_and_not_all_domains() {
    let (few, many) = (publications(1).await, publications(300).await);
    println!("{many:?}");
    assert_eq!(few, many);
}

/// Whoever else changes the domains is noticed: what a process keeps in memory decides nothing.
#[tokio::test]
async fn domains_that_another_process_changed_are_routed() {
    let fixture = Fixture::new();
    let (platform, other) = (fixture.platform(), fixture.platform());
    let blog = fixture.create(&platform).await;
    let theirs = app(&other).await;
    let domain = |name: &str| DomainName::new(name).unwrap();
    theirs.domain_add(domain("one.example.com")).await.unwrap();
    fixture.drive(&platform).await;
    theirs.domain_add(domain("two.example.com")).await.unwrap();
    theirs.domain_remove(&domain("ONE.example.com")).await.unwrap();
    // What this process adds comes on top of what it does not know of.
    blog.domain_add(domain("three.example.com")).await.unwrap();
    fixture.drive(&platform).await;
    let routed = fixture.world.routes(&name()).unwrap().domains;
    let routed: Vec<&str> = routed.iter().map(DomainName::as_str).collect();
    assert_eq!(routed, ["blog", "three.example.com", "two.example.com"]);
}
