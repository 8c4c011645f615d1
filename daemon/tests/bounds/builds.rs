//! Builds that write, print or leave more than they may, while they do so.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use crate::{
    scenario::Scenario,
    test_platform::{STATIC, processes_with},
    usage::disk,
};

#[test]
fn builds_that_use_up_too_much() {
    let scenario = Scenario::with(&[
        "--build-disk-limit",
        "64",
        "--build-entry-limit",
        "3000",
        "--build-output-limit",
        "2",
        "--app-size-limit",
        "16",
        "--slug-size-limit",
        "4",
    ]);
    let work = scenario.platform.app("greedy", STATIC);
    let mark = format!("6{}.5", std::process::id());
    let forever = |what: &str| format!("#!/bin/sh\n(while :; do {what}; done) & sleep {mark}\n");
    let folder = scenario.platform.path("data");
    let largest = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let before = disk(&folder);
    let watching = thread::spawn({
        let (folder, largest, stop) = (folder.clone(), Arc::clone(&largest), Arc::clone(&stop));
        move || {
            while !stop.load(Ordering::SeqCst) {
                largest.fetch_max(disk(&folder), Ordering::SeqCst);
                thread::sleep(Duration::from_millis(100));
            }
        }
    });
    let cost = scenario.attack("builds that write, make, print and leave too much", || {
        for (script, words) in [
            (forever("head -c 1000000 /dev/zero >> big"), "used more than 64 MiB of disk"),
            (forever("mktemp -p . > /dev/null"), "made more than 3000 files and folders"),
            (forever("echo once more and once more and once more"), "printed more than 2 MiB"),
            (
                "#!/bin/sh\nhead -c 20000000 /dev/zero > big\n".to_owned(),
                "the built app is larger than 16 MiB",
            ),
            ("#!/bin/sh\nhead -c 6000000 /dev/urandom > big\n".to_owned(), "the slug is larger than 4 MiB"),
        ] {
            work.commit(&[("bin/pre-compile", &script)]);
            let (ok, said) = work.try_git(&["push", "deis", "main"]);
            let end = said.char_indices().rev().nth(400).map_or(0, |(at, _)| at);
            assert!(!ok && said.contains(words), "{words:?} is missing in …{}", &said[end..]);
            assert_eq!(processes_with(&format!("sleep {mark}")), Vec::<String>::new());
        }
    });
    stop.store(true, Ordering::SeqCst);
    watching.join().unwrap();
    let after = disk(&folder);
    let mebibytes = |bytes: u64| bytes >> 20;
    let (before, largest, after) =
        (mebibytes(before), mebibytes(largest.load(Ordering::SeqCst)), mebibytes(after));
    println!("  MiB of the data folder: {before} before, {largest} at most, {after} after");
    // What is written between two looks at the folder comes on top.
    assert!(largest <= before + 64 + 1024 && after <= before + 24);
    cost.is_at_most(96, 32, 32);
    work.commit(&[("bin/pre-compile", "#!/bin/sh\n")]);
    work.git(&["push", "deis", "main"]);
}
