//! A disk without room.

use std::{fs, io::Write as _};

use super::test_platform::{STATIC, TestPlatform};

/// Nothing that compresses.
fn noise(bytes: usize) -> Vec<u8> {
    let mut noise = Vec::with_capacity(bytes);
    let mut state = 1_u64;
    while noise.len() < bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        noise.extend_from_slice(&state.rotate_left(17).to_le_bytes());
    }
    noise
}

#[test]
#[ignore = "it mounts a small disk, which takes the rights to do so: `.ci/run` runs it where they are there"]
fn a_push_that_meets_a_full_disk_says_so_and_holds_nobody_up() {
    let rig = TestPlatform::on_small_disk(200);
    let ssh = rig.with_key();
    let work = rig.app("full", STATIC);
    work.git(&["push", "deis", "main"]);
    fs::write(work.folder.join("blob"), noise(8 << 20)).unwrap();
    work.commit(&[]);
    let filler = rig.path("data/filler");
    let mut file = fs::File::create(&filler).unwrap();
    let block = vec![0; 64 << 10];
    while file.write_all(&block).is_ok() {}
    drop(file);
    // Not quite: room for the store, none for the pack.
    let length = fs::metadata(&filler).unwrap().len();
    fs::OpenOptions::new().write(true).open(&filler).unwrap().set_len(length - (4 << 20)).unwrap();
    let remotes = ["deis".to_owned(), format!("{ssh}/full.git")];
    for remote in &remotes {
        let (ok, said) = work.try_git(&["push", remote, "main"]);
        assert!(!ok && said.contains("the disk of the platform is full"), "{said}");
        assert!(!said.contains("bad band") && !said.contains("protocol error"), "{said}");
    }
    // No room at all: whatever the store says, nothing stays open.
    let mut file = fs::OpenOptions::new().append(true).open(&filler).unwrap();
    while file.write_all(&block).is_ok() {}
    while file.write_all(b"x").is_ok() {}
    drop(file);
    for remote in &remotes {
        let (ok, said) = work.try_git(&["push", remote, "main"]);
        assert!(!ok, "{said}");
    }
    fs::remove_file(&filler).unwrap();
    let said = work.git(&["push", "deis", "main"]);
    assert!(said.contains("Done, full:v3 deployed"), "{said}");
    assert!(rig.leftovers().is_empty(), "{:?}", rig.leftovers());
}
