//! Lists and streams cost what they show, not what there is.

use std::sync::Arc;

use deis_core::{
    AppName, ConfigPatch, EnvKey, PageQuery,
    conformance::faults::{Faulty, Fuse},
    port::Store,
    state::events::read,
};

use super::fixture::{Fixture, app, build, name, session};

#[tokio::test]
async fn pages_are_read_from_where_they_begin() {
    let fixture = Fixture::new();
    let fuse = Fuse::never();
    let store = Arc::new(Faulty::new(Arc::clone(&fixture.store) as Arc<dyn Store>, &fuse));
    let platform = fixture.builder().store(store).build().unwrap();
    let blog = fixture.create(&platform).await;
    for tag in ["a", "b", "c"] {
        blog.deploy(build(tag, &[("web", "serve")])).await.unwrap();
        fixture.drive(&platform).await;
    }
    for n in 0..3 {
        blog.config_set(ConfigPatch::default().set(EnvKey::new("N").unwrap(), n.to_string())).await.unwrap();
    }
    // v1 to v7; v5 and v6 gave way, v7 is under way.
    let mut costs = Vec::new();
    for (offset, limit, expected) in
        [(0, 2, [7, 6].as_slice()), (1, 5, &[6, 5, 4, 3, 2]), (5, 9, &[2, 1]), (7, 9, &[]), (99, 9, &[])]
    {
        let before = fuse.calls();
        let page = blog.releases(PageQuery { offset, limit }).await.unwrap();
        costs.push(fuse.calls() - before);
        let numbers: Vec<u32> = page.items.iter().map(|r| r.release.version.0).collect();
        assert_eq!((numbers.as_slice(), page.total), (expected, 7));
        assert!(page.items.iter().all(|r| r.outcome.is_some() == (r.release.version.0 <= 4)));
    }
    assert!(costs.iter().all(|cost| *cost <= 3), "{costs:?}");
    let page = blog.builds(PageQuery { offset: 1, limit: 1 }).await.unwrap();
    assert_eq!((page.items[0].seq, page.items.len(), page.total), (2, 1, 3));
}

#[tokio::test]
async fn who_follows_a_quiet_app_moves_on_with_the_platform() {
    let fixture = Fixture::new();
    let platform = fixture.platform();
    fixture.create(&platform).await;
    let all = read(&*fixture.store, Some(&name()), None, 1000).await.unwrap();
    let (own_last, _) = all.events.last().unwrap().clone();
    session(&platform).create_app(AppName::new("loud").unwrap()).await.unwrap();
    let others = read(&*fixture.store, Some(&name()), Some(&own_last), 1000).await.unwrap();
    let seen = others.seen.unwrap();
    assert!(others.events.is_empty() && seen > own_last);
    let nothing = read(&*fixture.store, Some(&name()), Some(&seen), 1000).await.unwrap();
    assert!(nothing.events.is_empty() && nothing.seen.is_none());
    app(&platform)
        .await
        .config_set(ConfigPatch::default().set(EnvKey::new("A").unwrap(), "1"))
        .await
        .unwrap();
    let next = read(&*fixture.store, Some(&name()), Some(&seen), 1000).await.unwrap();
    assert!(next.events.iter().all(|(_, e)| e.app == Some(name())) && !next.events.is_empty());
}
