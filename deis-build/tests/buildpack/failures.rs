//! Builds that end badly say why and leave nothing.

use std::{fs, time::Duration};

use deis_build::BuildError;

use crate::workshop::{Workshop, processes_with};

const YES: (&str, &str) = ("detect", "echo Mine");
const FILES: [(&str, &str); 1] = [("Procfile", "web: x\n")];

async fn failure(shop: &Workshop, files: &[(&str, &str)]) -> (BuildError, String) {
    shop.build(files).await.err().expect("this build fails")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_step_can_fail_and_is_named() {
    let shop = Workshop::new().await;
    for (scripts, step, exit) in [
        (&[YES, ("compile", "echo no compiler; exit 7")][..], "compile", 7),
        (&[YES, ("compile", "kill -9 $$")], "compile", 1),
        (&[YES, ("compile", "true"), ("release", "echo why >&2; exit 3")], "release", 3),
    ] {
        shop.pack("mine", scripts);
        let (error, said) = failure(&shop, &FILES).await;
        assert!(
            matches!(&error, BuildError::Failed { step: s, exit: e } if s == step && *e == exit),
            "{error:?}: {said}"
        );
        shop.is_clean().await;
    }
    shop.pack("mine", &[YES, ("compile", "true"), ("release", "echo '{'")]);
    let (error, _) = failure(&shop, &FILES).await;
    assert!(error.to_string().contains("no valid YAML"), "{error}");
    shop.pack("mine", &[YES, ("compile", "true"), ("release", "")]);
    let hooks = [("Procfile", "web: x\n"), ("bin/post-compile", "#!/bin/sh\nexit 5\n")];
    let (error, _) = failure(&shop, &hooks).await;
    assert!(error.to_string().contains("bin/post-compile failed with exit code 5"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_cannot_be_run_is_named_with_what_mends_it() {
    let shop = Workshop::new().await;
    let none = "it has no first line such as \"#!/usr/bin/env bash\"";
    for (script, text, words) in [
        ("bin/pre-compile", "echo hello\n", none),
        ("bin/post-compile", "echo hello\n", none),
        ("bin/post-compile", "", none),
        (
            "bin/post-compile",
            "#!/no/such/shell -e\n",
            "\"/no/such/shell -e\" in its first line is not on this machine",
        ),
        ("bin/post-compile", "#!/bin/sh\r\necho hello\r\n", "save it with the line ends of Unix"),
    ] {
        let (error, _) = failure(&shop, &[FILES[0], (script, text)]).await;
        let error = error.to_string();
        assert!(error.starts_with(&format!("{script} cannot be run: ")) && error.contains(words), "{error}");
    }
    let pack = shop.path("packs/mine");
    for script in ["compile", "release"] {
        shop.pack("mine", &[YES, ("compile", "true"), ("release", "")]);
        crate::workshop::write(&pack, &format!("bin/{script}"), "echo hello\n");
        let (error, _) = failure(&shop, &FILES).await;
        assert!(error.to_string().contains(&format!("bin/{script} cannot be run: {none}")), "{error}");
    }
    shop.pack("mine", &[YES, ("compile", "true"), ("release", "")]);
    // One that is a file like any other runs no more than it did, but is named.
    let stage = |shop: &Workshop| drop(shop.git(&["update-index", "--chmod=-x", "bin/post-compile"]));
    let built = shop.build_with(&[FILES[0], ("bin/post-compile", "#!/bin/sh\nexit 5\n")], stage).await;
    let built = built.map_err(|(e, s)| format!("{e}: {s}")).unwrap();
    assert!(built.said.contains("bin/post-compile is left out, for it is not executable"), "{}", built.said);
    shop.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn modes_that_a_slug_does_not_keep_are_said() {
    let shop = Workshop::new().await;
    let compile =
        "cd $1; touch a b c; chmod 4755 a b; chmod 2644 c; mkdir d; chmod 0 d; mkdir t; chmod 1777 t";
    shop.pack("mine", &[YES, ("compile", compile)]);
    let built = shop.build(&FILES).await.map_err(|(e, s)| format!("{e}: {s}")).unwrap();
    for words in [" !     a and 3 more: a slug keeps no set-user-id", " !     d: its owner could not read it"]
    {
        assert!(built.said.contains(words), "{}", built.said);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_ends_at_its_limit_with_everything_it_started() {
    let shop = Workshop::with(|o| o.limit = Duration::from_secs(2)).await;
    let mark = format!("9{}.25", std::process::id());
    let hang = format!("setsid sleep {mark} & sleep {mark}");
    shop.pack("mine", &[YES, ("compile", &hang)]);
    let (error, _) = failure(&shop, &FILES).await;
    assert!(matches!(error, BuildError::TooLong(2)), "{error:?}");
    assert!(error.hint().is_some());
    assert_eq!(processes_with(&format!("sleep {mark}")), Vec::<String>::new());
    shop.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_background_process_does_not_hold_a_build_up() {
    let shop = Workshop::new().await;
    let mark = format!("8{}.25", std::process::id());
    shop.pack("mine", &[YES, ("compile", &format!("sleep {mark} > /dev/null 2>&1 &"))]);
    shop.build(&FILES).await.map_err(|(e, _)| e).unwrap();
    assert_eq!(processes_with(&format!("sleep {mark}")), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_step_leaves_running_ends_with_it_though_it_holds_the_output() {
    let shop = Workshop::new().await;
    let mark = format!("7{}.25", std::process::id());
    let linger = format!("setsid sleep {mark} & sleep {mark} & echo started");
    // The next step looks: nothing runs any more when it starts.
    let look = format!("#!/bin/sh\n! grep -aqs 's[l]eep.{mark}' /proc/[0-9]*/cmdline\n");
    for scripts in [
        &[YES, ("compile", linger.as_str())][..],
        &[YES, ("compile", "true"), ("release", &format!("{linger} >&2"))],
        &[("detect", &format!("{linger}; echo Mine")), ("compile", "true")],
    ] {
        shop.pack("mine", scripts);
        let files =
            [FILES[0], ("bin/post-compile", look.as_str()), ("script", &scripts[1].1.len().to_string())];
        shop.build(&files).await.map_err(|(e, s)| format!("{e}: {s}")).unwrap();
        let _ = fs::remove_dir_all(shop.path("packs/mine"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_line_is_passed_on_in_pieces() {
    let shop = Workshop::new().await;
    shop.pack("mine", &[YES, ("compile", "head -c 300000 /dev/zero | tr '\\0' x")]);
    let built = shop.build(&FILES).await.map_err(|(e, _)| e).unwrap();
    assert_eq!(built.said.matches('x').count(), 300_000);
    let longest = built.said.lines().map(str::len).max().unwrap();
    assert!(longest < 65_536, "{longest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn control_files_are_never_read_or_written_through_a_link() {
    let shop = Workshop::new().await;
    fs::write(shop.path("host-file"), "secret: of the host\n").unwrap();
    let outside = shop.path("");
    for (compile, words) in [
        (format!("ln -sf {}host-file \"$1/Procfile\"", outside.display()), "Procfile must be a file"),
        (format!("ln -s {}host-file \"$1/.release\"", outside.display()), ".release must be a file"),
        (format!("ln -s {} \"$1/.profile.d\"", outside.display()), ".profile.d must be a folder"),
    ] {
        let release = ("release", "printf 'config_vars:\\n  LEVEL: 3\\n'");
        shop.pack("mine", &[YES, ("compile", &compile), release]);
        let (error, said) = failure(&shop, &FILES).await;
        assert!(error.to_string().contains(words), "{error}");
        assert!(!format!("{error}{said}").contains("secret"), "{said}");
    }
    assert_eq!(fs::read_to_string(shop.path("host-file")).unwrap(), "secret: of the host\n");
    assert!(!shop.path("config_vars.sh").exists());
    shop.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_build_left_is_put_aside_at_a_start() {
    let uid = uuid::Uuid::new_v4();
    let shop = Workshop::with(|options| {
        fs::create_dir_all(options.folder.join(format!("depots/{uid}/9/source/deep"))).unwrap();
        for (attempt, text) in [(9, "newer"), (10, "newest")] {
            let cache = options.folder.join(format!("depots/{uid}/{attempt}/cache"));
            fs::create_dir_all(&cache).unwrap();
            fs::write(cache.join("kept"), text).unwrap();
        }
    })
    .await;
    // No kill costs an app what its builds keep.
    assert_eq!(fs::read_to_string(shop.path(&format!("build/cache/{uid}/kept"))).unwrap(), "newest");
    shop.is_clean().await;
    until_gone(&shop.path("build"), ".old-work-").await;
}

async fn until_gone(folder: &std::path::Path, prefix: &str) {
    let left = || {
        let names = fs::read_dir(folder).unwrap().flatten().map(|e| e.file_name());
        names.filter(|n| n.to_string_lossy().starts_with(prefix)).count()
    };
    for _ in 0..500 {
        if left() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{prefix} is left in {}", folder.display());
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_that_cannot_run_are_refused() {
    let shop = Workshop::new().await;
    let (error, _) = failure(&shop, &[("readme", "x")]).await;
    let BuildError::NoMatch(tried) = &error else { panic!("{error:?}") };
    let names: Vec<&str> = tried.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["python", "nodejs", "static", "procfile"]);
    assert!(tried.iter().all(|(_, why)| why.starts_with("there is no")), "{tried:?}");
    for (files, words) in [
        (&[("app.py", "x")][..], "no process type"),
        (&[("Procfile", "web: x\n???\n")], "line 2"),
        (&[("Procfile", "run: x\n")], "reserved"),
        (&[("Dockerfile", "FROM x"), ("Procfile", "web: x\n")], "builds no Dockerfiles yet"),
    ] {
        let (error, _) = failure(&shop, files).await;
        assert!(error.to_string().contains(words), "{error}");
    }
    shop.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_goes_away_does_not_end_a_build() {
    let shop = Workshop::new().await;
    shop.pack("mine", &[YES, ("compile", "yes | head -20000; echo done > \"$1/done\"")]);
    let built = shop.build(&FILES).await.map_err(|(e, _)| e).unwrap();
    assert_eq!(built.read("done"), "done\n");
    assert!(built.said.lines().count() > 20_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_uses_up_too_much_is_ended_and_says_what() {
    let shop = Workshop::with(|options| {
        (options.max_build_bytes, options.max_build_entries) = (64 << 20, 5_000);
        (options.max_output_bytes, options.max_app_bytes, options.max_slug_bytes) =
            (1 << 20, 8 << 20, 2 << 20);
    })
    .await;
    let mark = format!("6{}.25", std::process::id());
    let forever = |what: &str| format!("(while :; do {what}; done) & sleep {mark}");
    for (compile, words) in [
        (forever("head -c 1000000 /dev/zero >> \"$1/big\""), "used more than 64 MiB of disk"),
        (forever("head -c 1000000 /dev/zero >> \"$2/big\""), "used more than 64 MiB of disk"),
        (forever("head -c 1000000 /dev/zero >> \"$TMPDIR/big\""), "used more than 64 MiB of disk"),
        (forever("mktemp -p \"$HOME\" > /dev/null"), "made more than 5000 files and folders"),
        ("head -c 99000000 /dev/zero > \"$1/big\"".to_owned(), "used more than 64 MiB of disk"),
        (forever("echo once more and once more"), "printed more than 1 MiB"),
        (forever("echo once more and once more >&2"), "printed more than 1 MiB"),
        ("head -c 9000000 /dev/zero > \"$1/big\"".to_owned(), "the built app is larger than 8 MiB"),
        ("truncate -s 1T \"$1/sparse\"".to_owned(), "the built app is larger than 8 MiB"),
        ("head -c 3000000 /dev/urandom > \"$1/big\"".to_owned(), "the slug is larger than 2 MiB"),
    ] {
        shop.pack("mine", &[YES, ("compile", &compile)]);
        let (error, said) = failure(&shop, &FILES).await;
        assert!(
            matches!(&error, BuildError::Refused(reason) if reason.contains(words)),
            "{compile}: {error:?}"
        );
        assert!(said.len() < 2 << 20);
        assert_eq!(processes_with(&format!("sleep {mark}")), Vec::<String>::new());
    }
    shop.pipeline.forget(shop.app.uid).unwrap();
    shop.pack("mine", &[YES, ("compile", "true")]);
    shop.build(&FILES).await.map_err(|(e, s)| format!("{e}: {s}")).unwrap();
    shop.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_buildpack_says_is_data_and_has_bounds() {
    let shop = Workshop::new().await;
    let printed = |name: &str, text: &str| {
        fs::write(shop.path(name), text).unwrap();
        format!("cat {}", shop.path(name).display())
    };
    let levels = (1..12).map(|n| {
        let before = ["*l"; 10].map(|l| format!("{l}{}", n - 1)).join(", ");
        format!("l{n}: &l{n} [{before}]\n")
    });
    let bomb =
        printed("bomb", &format!("l0: &l0 [x]\n{}default_process_types: {{}}\n", levels.collect::<String>()));
    let deep = printed("deep", &format!("default_process_types: {}", "[".repeat(100_000)));
    let many = (0..101).map(|n| format!("  type{n}: run\n")).collect::<Vec<_>>().concat();
    let many = printed("many", &format!("default_process_types:\n{many}"));
    let long = "head -c 3000000 /dev/zero | tr '\\0' x".to_owned();
    for (release, words) in [
        (bomb, "no valid YAML"),
        (deep, "no valid YAML"),
        (many, "more than 100 process types"),
        (long, "no valid YAML"),
        ("echo 'default_process_types: {\"web$(id)\": x}'".to_owned(), "bin/release"),
        ("echo 'config_vars: {\"A;id\": x}'".to_owned(), "no name of a variable"),
    ] {
        shop.pack("mine", &[YES, ("compile", "true"), ("release", &release)]);
        let (error, _) = failure(&shop, &FILES).await;
        assert!(error.to_string().contains(words), "{release}: {error}");
    }
    fs::remove_dir_all(shop.path("packs/mine")).unwrap();
    for (compile, words) in [
        ("head -c 2000000 /dev/zero > \"$1/Procfile\"", "Procfile is larger than"),
        ("printf 'w\\0e\\0b\\0' > \"$1/Procfile\"", "line 1"),
        ("printf '\\xff\\xfew\\0' > \"$1/Procfile\"", "Procfile"),
        ("rm \"$1/Procfile\"; mkdir \"$1/Procfile\"", "Procfile must be a file"),
        ("rm \"$1/Procfile\"; mkfifo \"$1/Procfile\"", "Procfile must be a file"),
        ("mkfifo \"$1/.slugignore\"", ".slugignore must be a file"),
        ("rm -rf \"$1\"", "no process type to run"),
        ("rm -rf \"$2\"; ln -s / \"$2\"; exit 3", "compile failed with exit code 3"),
    ] {
        shop.pack("mine", &[YES, ("compile", compile)]);
        let (error, _) = failure(&shop, &FILES).await;
        assert!(error.to_string().contains(words), "{compile}: {error}");
    }
    // Scripts that cannot be run are passed over, and named.
    for (name, first) in [("10-none", "#!/no/such/interpreter\n"), ("20-empty", "")] {
        crate::workshop::write(&shop.path("packs").join(name), "bin/detect", first);
    }
    shop.pack("mine", &[("detect", "exit 1"), ("compile", "true")]);
    let (error, _) = failure(&shop, &[("readme", "x")]).await;
    let BuildError::NoMatch(tried) = &error else { panic!("{error:?}") };
    assert!(tried[0].0 == "10-none" && tried[0].1.contains("cannot be run"), "{tried:?}");
    shop.is_clean().await;
    // What a variable holds is never a command.
    let vars = printed("vars", "config_vars:\n  A: \"x'; touch owned; '\"\n  B: \"$(touch owned)\"\n");
    shop.pack("mine", &[YES, ("compile", "true"), ("release", &vars)]);
    let built = shop.build(&FILES).await.map_err(|(e, s)| format!("{e}: {s}")).unwrap();
    let run = std::process::Command::new("bash")
        .args(["-c", ". .profile.d/config_vars.sh; echo \"$A|$B\""])
        .current_dir(&built.slug)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(run.stdout).unwrap(), "x'; touch owned; '|$(touch owned)\n");
    assert!(!built.slug.join("owned").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_nobody_waits_for_any_more_is_stopped_before_its_files_go() {
    let shop = Workshop::new().await;
    let mark = format!("5{}.25", std::process::id());
    let words = format!("sleep {mark}");
    // What it keeps for the next build is kept all the same.
    shop.pack("mine", &[YES, ("compile", &format!("echo kept > \"$2/file\"; {words}"))]);
    {
        let mut build = std::pin::pin!(shop.build(&FILES));
        let runs = async {
            while processes_with(&words).is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            ended = &mut build => panic!("it ended: {:?}", ended.err()),
            () = runs => {}
        }
    }
    shop.is_clean().await;
    assert_eq!(processes_with(&words), Vec::<String>::new());
    shop.pack("mine", &[YES, ("compile", "cat \"$2/file\"")]);
    let built = shop.build(&[FILES[0], ("other", "")]).await.map_err(|(e, s)| format!("{e}: {s}")).unwrap();
    assert!(built.said.contains("kept"), "{}", built.said);
}
