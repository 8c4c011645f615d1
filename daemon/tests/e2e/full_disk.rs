//! A disk without a byte left: what is there is served and told, what cannot be written is called that.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use rustix::process::Signal;

use super::test_platform::{STATIC, TestPlatform, until};

/// Takes all the room that is left.
fn fill(file: &Path) {
    let mut filler = fs::OpenOptions::new().create(true).append(true).open(file).unwrap();
    for size in [1 << 20, 4096, 1] {
        let block = vec![b'x'; size];
        while filler.write_all(&block).is_ok() {}
    }
    assert_eq!(rustix::fs::statvfs(file).unwrap().f_bavail, 0);
}

#[test]
#[ignore = "it mounts a small disk, which takes the rights to do so: `.ci/run` runs it where they are there"]
fn a_full_disk_stops_no_start_and_is_called_that() {
    let mut rig = TestPlatform::on_small_disk(64);
    let work = rig.app("site", STATIC);
    work.git(&["push", "deis", "main"]);
    let served = |rig: &TestPlatform| until("the app is served", || rig.get("site.localhost").0 == 200);
    served(&rig);

    let filler: PathBuf = rig.path("data/filler");
    fill(&filler);
    served(&rig);
    assert!(rig.deis(&["apps"]).contains("site"));
    let (code, said) = rig.try_deis(&["config:set", "A=1", "-a", "site"]);
    assert!(code != 0 && said.contains("disk is full"), "{said}");

    // A command that finds no room says why, and what it leaves stops no start.
    let (code, said) = rig.try_deis(&["run", "-a", "site", "true"]);
    assert!(code == 1 && said.contains("disk is full"), "{code}: {said}");

    rig.kill();
    fill(&filler);
    rig.restart();
    served(&rig);
    assert_eq!(rig.releases("site").len(), 2);
    let (_, said) = rig.try_deis(&["run", "-a", "site", "true"]);
    assert!(said.contains("disk is full"), "{said}");
    // Stopping everything needs no room; starting it again does.
    rig.down();
    fs::remove_file(&filler).unwrap();
    rig.restart();
    served(&rig);
    fill(&filler);

    rig.signal(Signal::TERM);
    rig.wait();
    fill(&filler);
    rig.restart();
    served(&rig);
    assert_eq!(rig.releases("site").len(), 2);

    fs::remove_file(&filler).unwrap();
    rig.deis(&["config:set", "A=1", "-a", "site"]);
    assert_eq!(rig.releases("site").len(), 3);
}
