//! Accounts over a store that the test can write to: what no call of the platform brings about yet.

use deis_core::{
    Error,
    model::User,
    state::{
        keys,
        record::{Edits, get},
    },
};

use super::fixture::{Fixture, newcomer};

#[tokio::test]
async fn the_last_administrator_stays() {
    let fixture = Fixture::new();
    let (platform, store) = (fixture.platform(), &fixture.store.inner);
    let ann = platform.register(newcomer("ann")).await.unwrap();
    let bob = platform.register(newcomer("bob")).await.unwrap();
    assert!(matches!(platform.cancel_user(&ann.name).await, Err(Error::Conflict { .. })));
    assert_eq!(platform.user(&ann.name).await.unwrap(), ann, "nothing is half gone");

    // With a second one, the first may go, and the second is the last.
    let stored = get::<User>(&**store, &keys::user(&bob.name)).await.unwrap().unwrap();
    let admins = get::<u64>(&**store, &keys::admins()).await.unwrap().unwrap();
    let mut edits = Edits::new();
    edits.replace(keys::user(&bob.name), stored.revision, &User { superuser: true, ..bob.clone() });
    edits.replace(keys::admins(), admins.revision, &2_u64);
    edits.commit(&**store).await.unwrap();
    platform.cancel_user(&ann.name).await.unwrap();
    assert!(matches!(platform.cancel_user(&bob.name).await, Err(Error::Conflict { .. })));
}
