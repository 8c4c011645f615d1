use super::*;
use crate::model::AppName;

fn app(name: &str) -> AppRef {
    AppRef { name: AppName::new(name).unwrap(), uid: AppUid(uuid::Uuid::new_v4()) }
}

async fn publish_at(table: &RouteTable, routes: u64, app: &AppRef, domains: &[&str], mode: RouteMode) {
    let domains = domains.iter().map(|d| DomainName::new(*d).unwrap()).collect();
    let fence = RouteFence { routes, ..RouteFence::default() };
    let routes = AppRoutes { app: app.clone(), fence, process: Some(ProcessType::web()), domains, mode };
    table.publish(&routes).await.unwrap();
}

async fn publish(table: &RouteTable, name: &str, domains: &[&str], mode: RouteMode) {
    publish_at(table, 0, &app(name), domains, mode).await;
}

fn app_at(table: &RouteTable, host: &str) -> Option<String> {
    table.lookup(host).map(|route| route.app.name.as_str().to_owned())
}

#[tokio::test]
async fn exact_names_win_over_wildcards_and_long_ones_over_short_ones() {
    let table = RouteTable::new(DomainName::new("Deis.localhost").ok());
    publish(&table, "one", &["one", "www.example.com"], RouteMode::Serve).await;
    publish(&table, "two", &["two", "*.example.com"], RouteMode::Serve).await;
    publish(&table, "three", &["three", "*.sub.example.com"], RouteMode::Maintenance).await;
    for (host, app) in [
        ("one.deis.localhost", Some("one")),
        ("ONE.Deis.LOCALHOST.:8080", Some("one")),
        ("www.example.com:443", Some("one")),
        ("other.example.com", Some("two")),
        ("a.b.example.com", Some("two")),
        ("x.sub.example.com", Some("three")),
        ("sub.example.com", Some("two")),
        ("example.com", None),
        ("one.elsewhere.org", None),
        ("one", None),
        ("", None),
        (".", None),
        ("[::1]:80", None),
        ("127.0.0.1", None),
    ] {
        assert_eq!(app_at(&table, host).as_deref(), app, "{host}");
    }
    assert_eq!(table.lookup("x.sub.example.com").unwrap().mode, RouteMode::Maintenance);
}

#[tokio::test]
async fn without_a_platform_domain_the_first_label_decides() {
    let table = RouteTable::new(None);
    publish(&table, "one", &["one", "*.one.org"], RouteMode::Serve).await;
    publish(&table, "two", &["two"], RouteMode::Closed).await;
    assert_eq!(app_at(&table, "one.anything.at.all").as_deref(), Some("one"));
    assert_eq!(app_at(&table, "two.one.org").as_deref(), Some("one"), "a closed app is unknown");
    assert_eq!(app_at(&table, "two.anything"), None);
}

#[tokio::test]
async fn each_set_replaces_the_one_before() {
    let table = RouteTable::new(None);
    let blog = app("blog");
    publish_at(&table, 1, &blog, &["a.org", "b.org"], RouteMode::Serve).await;
    publish_at(&table, 2, &blog, &["b.org", "c.org"], RouteMode::Maintenance).await;
    let found = ["a.org", "b.org", "c.org"].map(|host| table.lookup(host).map(|route| route.mode));
    assert_eq!(found, [None, Some(RouteMode::Maintenance), Some(RouteMode::Maintenance)]);
    publish_at(&table, 3, &blog, &["b.org", "c.org"], RouteMode::Closed).await;
    assert_eq!(app_at(&table, "b.org"), None);
    publish_at(&table, 4, &blog, &["b.org"], RouteMode::Serve).await;
    assert_eq!(app_at(&table, "b.org").as_deref(), Some("blog"));
    table.withdraw(&blog).await.unwrap();
    assert_eq!(app_at(&table, "b.org"), None);
    assert!(table.read().hosts.exact.is_empty(), "nothing is kept of hosts that nobody has");
}

#[tokio::test]
async fn a_domain_may_move_between_apps_in_either_order() {
    for giver_first in [true, false] {
        let table = RouteTable::new(None);
        let (giver, taker) = (app("giver"), app("taker"));
        publish_at(&table, 1, &giver, &["shop.org"], RouteMode::Serve).await;
        publish_at(&table, 1, &taker, &[], RouteMode::Serve).await;
        if giver_first {
            publish_at(&table, 2, &giver, &[], RouteMode::Serve).await;
        }
        publish_at(&table, 2, &taker, &["shop.org"], RouteMode::Serve).await;
        if !giver_first {
            publish_at(&table, 2, &giver, &[], RouteMode::Serve).await;
        }
        assert_eq!(app_at(&table, "shop.org").as_deref(), Some("taker"));
    }
}
