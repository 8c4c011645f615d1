//! How many calls of the store each thing costs, and that the number does not grow with lists or histories.

use std::{fmt::Write as _, sync::atomic::Ordering::SeqCst};

use deis_core::{
    Actor, AppHandle, AppName, Digest, DomainName, PageQuery, Platform, Progress, ReleaseVersion,
    RestartScope, Session, Username,
};

use super::bench::{Bench, RELEASE, build, config, name, newcomer, web};

/// Calls of the store: reads and commits.
type Cost = (usize, usize);

struct Counter<'a> {
    bench: &'a Bench,
    platform: Platform,
    table: Vec<(&'static str, Cost)>,
}

impl Counter<'_> {
    fn calls(&self) -> Cost {
        (self.bench.store.reads.load(SeqCst), self.bench.store.commits.load(SeqCst))
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
        self.bench.drive(&self.platform).await;
    }
}

/// One of everything, with the token check.
async fn costs(bench: &Bench, platform: Platform) -> Vec<(&'static str, Cost)> {
    let mut counter = Counter { bench, platform, table: Vec::new() };
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
        if !bench.world.tick() && progress == Progress::Resting {
            break;
        }
    }
    counter.table.push(("a pass", most));
    let fresh = AppName::new("fresh").unwrap();
    count!("change: new app", counter.caller("ann").await.create_app(fresh).await.unwrap());
    counter.table
}

/// A platform with so many apps and releases of one of them.
async fn filled(apps: usize, releases: usize) -> (Bench, Platform) {
    let bench = Bench::new();
    let platform = bench.moody();
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
        bench.deploy(&platform, &blog, build(tag, &[("web", "serve")])).await;
    }
    for n in 0..releases {
        blog.config_set(config("N", &n.to_string())).await.unwrap();
        bench.drive(&platform).await;
    }
    (bench, platform)
}

#[tokio::test]
async fn what_things_cost_is_bounded_and_does_not_grow() {
    let (bench, platform) = filled(1, 1).await;
    let small = costs(&bench, platform).await;
    let (bench, platform) = filled(300, 150).await;
    let large = costs(&bench, platform).await;
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
