//! Destroying an app of any size.

use std::sync::atomic::Ordering::SeqCst;

use deis_core::{
    DomainName,
    port::{Scan, StoreExt as _},
};

use super::bench::{Bench, app, name, session};

#[tokio::test]
async fn an_app_with_many_domains_goes_in_small_batches_and_leaves_nothing() {
    let bench = Bench::new();
    let platform = bench.moody();
    let blog = bench.create(&platform).await;
    for n in 0..450 {
        blog.domain_add(DomainName::new(format!("n{n}.example.com")).unwrap()).await.unwrap();
    }
    bench.store.largest.store(0, SeqCst);
    blog.destroy().await.unwrap();
    bench.drive(&platform).await;
    let largest = bench.store.largest.load(SeqCst);
    assert!(largest <= 501, "a batch of {largest} edits");
    let left = bench.store.scan(&Scan::prefix("")).await.unwrap();
    let of_app = left
        .iter()
        .map(|r| r.key.as_str())
        .filter(|key| !key.starts_with("event/-/") && !key.starts_with("gone/"));
    assert_eq!(of_app.collect::<Vec<_>>(), Vec::<&str>::new());
    // The name begins anew.
    session(&platform).create_app(name()).await.unwrap();
    assert_eq!(app(&platform).await.domains().await.unwrap().len(), 1);
}
