//! Accounts over a store that the test can write to: what no call of the platform brings about yet.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall end")]

use std::sync::Arc;

use deis_core::{
    Digest, Error, NewUser, Platform, Timestamp, User, UserId, Username,
    conformance::sim::{NoLogs, World},
    port::{ArtifactError, Unpacker},
    state::{
        keys,
        record::{Edits, get},
    },
    store::MemoryStore,
};

fn platform(store: &Arc<MemoryStore>) -> Platform {
    let unpacker: Unpacker = Arc::new(|_| {
        Box::pin(async { Err(ArtifactError::Definitive { reason: "no builds here".to_owned() }) })
    });
    let world = Arc::new(World::new());
    Platform::builder()
        .store(Arc::clone(store) as _)
        .scheduler(Arc::clone(&world) as _)
        .router(Arc::clone(&world) as _)
        .runner(world)
        .logs(Arc::new(NoLogs))
        .unpacker(unpacker)
        .clock(Arc::new(|| Timestamp(1_000_000)))
        .build()
        .unwrap()
}

fn new(name: &str) -> NewUser {
    NewUser {
        id: UserId(uuid::Uuid::new_v4()),
        name: Username::new(name).unwrap(),
        email: String::new(),
        first_name: String::new(),
        last_name: String::new(),
        password_hash: String::new(),
        token_hash: Digest::of(name.as_bytes()),
        only_first: false,
    }
}

#[tokio::test]
async fn the_last_administrator_stays() {
    let store = Arc::new(MemoryStore::new());
    let platform = platform(&store);
    let ann = platform.register(new("ann")).await.unwrap();
    let bob = platform.register(new("bob")).await.unwrap();
    assert!(matches!(platform.cancel_user(&ann.name).await, Err(Error::Conflict { .. })));
    assert_eq!(platform.user(&ann.name).await.unwrap(), ann, "nothing is half gone");

    // With a second one, the first may go, and the second is the last.
    let stored = get::<User>(&*store, &keys::user(&bob.name)).await.unwrap().unwrap();
    let admins = get::<u64>(&*store, &keys::admins()).await.unwrap().unwrap();
    let mut edits = Edits::new();
    edits.replace(keys::user(&bob.name), stored.revision, &User { superuser: true, ..bob.clone() });
    edits.replace(keys::admins(), admins.revision, &2_u64);
    edits.commit(&*store).await.unwrap();
    platform.cancel_user(&ann.name).await.unwrap();
    assert!(matches!(platform.cancel_user(&bob.name).await, Err(Error::Conflict { .. })));
}
