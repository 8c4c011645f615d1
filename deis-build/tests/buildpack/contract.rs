//! What a buildpack may rely on.

use std::fs;

use crate::workshop::Workshop;

const YES: (&str, &str) = ("detect", "echo Mine");

#[tokio::test(flavor = "multi_thread")]
async fn scripts_get_their_folders_and_only_the_declared_environment() {
    let mut shop = Workshop::new().await;
    shop.config.insert("SECRET".to_owned(), "of the app\nin two lines".to_owned());
    shop.pack(
        "mine",
        &[
            ("detect", "[ -f \"$1/app.txt\" ] && echo 'My Language 1.2'"),
            (
                "compile",
                "env | cut -d= -f1 | sort > \"$1/names\"; cp \"$3/SECRET\" \"$1/secret\"; echo \"$1|$2|$3|$PWD|$APP_DIR\" > \"$1/args\"
                 echo kept >> \"$2/count\"; cp \"$2/count\" \"$1/count\"; echo plain; echo '-----> Heading'; echo oops >&2",
            ),
            ("release", "printf 'default_process_types:\\n  web: serve it\\n  worker: work\\nconfig_vars:\\n  LEVEL: 3\\n'"),
        ],
    );
    let files = [
        ("app.txt", "x"),
        ("Procfile", "worker: my own\n"),
        ("bin/pre-compile", "#!/bin/sh\n[ ! -e names ] && echo before > pre\n"),
        ("bin/post-compile", "#!/bin/sh\n[ -e names ] && echo after > post\n"),
    ];
    let built = shop.build(&files).await.map_err(|(e, said)| format!("{e}: {said}")).unwrap();
    for line in [
        "-----> My Language 1.2 app detected",
        "       plain\n",
        "\n-----> Heading",
        "       oops",
        "-----> Discovering process types",
        "       Default process types for My Language 1.2 -> web, worker",
        "       Procfile declares types -> worker",
        "-----> Compiled slug size is ",
    ] {
        assert!(built.said.contains(line), "{line:?} is missing in {}", built.said);
    }
    assert_eq!((built.command("web"), built.command("worker")), (Some("serve it"), Some("my own")));
    assert!(built.spec.has_procfile);
    assert_eq!(built.read("secret"), "of the app\nin two lines");
    let args: Vec<String> = built.read("args").trim().split('|').map(str::to_owned).collect();
    assert!(args.iter().all(|a| a.starts_with('/')) && args[0] == args[3] && args[0] == args[4], "{args:?}");
    assert_eq!((built.read("pre").trim(), built.read("post").trim()), ("before", "after"));
    assert!(built.read(".profile.d/config_vars.sh").contains("export LEVEL='3'"));
    // The daemon's own environment, this test's among it, is no business of a build.
    let names = built.read("names");
    let foreign: Vec<&str> = names.lines().filter(|n| n.starts_with("CARGO") || *n == "SECRET").collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    for name in
        ["APP_DIR", "HOME", "LANG", "PATH", "REQUEST_ID", "SOURCE_DATE_EPOCH", "SOURCE_VERSION", "STACK"]
    {
        assert!(names.lines().any(|n| n == name), "{name} is missing in {names}");
    }
    // The cache is kept from build to build.
    let again = shop.build(&[("app.txt", "y")]).await.map_err(|(e, _)| e).unwrap();
    assert_eq!(again.read("count"), "kept\nkept\n");
    shop.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_that_detects_is_taken_and_the_operators_come_first() {
    let shop = Workshop::new().await;
    shop.pack("20-second", &[("detect", "echo Second"), ("compile", "true")]);
    shop.pack("10-first", &[("detect", "echo First"), ("compile", "true")]);
    shop.pack("05-never", &[("detect", "exit 1"), ("compile", "false")]);
    let built =
        shop.build(&[("requirements.txt", ""), ("Procfile", "web: x\n")]).await.map_err(|(e, _)| e).unwrap();
    assert!(built.said.contains("First app detected"), "{}", built.said);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_source_is_built_once() {
    let mut shop = Workshop::new().await;
    shop.pack("mine", &[YES, ("compile", "date +%N > \"$1/when\"")]);
    let files = [("Procfile", "web: x\n")];
    let first = shop.build(&files).await.map_err(|(e, _)| e).unwrap();
    let second = shop.build(&files).await.map_err(|(e, _)| e).unwrap();
    assert_eq!(first.spec.artifact, second.spec.artifact);
    assert!(second.said.contains("was built before") && second.spec.processes == first.spec.processes);
    // Another config, or another version of the buildpack, may build something else.
    shop.config.insert("A".to_owned(), "1".to_owned());
    let third = shop.build(&files).await.map_err(|(e, _)| e).unwrap();
    assert_ne!(first.spec.artifact, third.spec.artifact);
    shop.pack("mine", &[YES, ("compile", "date +%N > \"$1/when\" # longer")]);
    let fourth = shop.build(&files).await.map_err(|(e, _)| e).unwrap();
    assert_ne!(third.spec.artifact, fourth.spec.artifact);
}

#[tokio::test(flavor = "multi_thread")]
async fn slugs_are_the_same_for_the_same_files_and_leave_out_what_is_ignored() {
    // The times of the files differ from round to round, which a slug must not show.
    let make =
        "ln -s app.txt \"$1/link\"; mkdir -p \"$1/deep/er\" \"$1/node_modules\"; echo x > \"$1/deep/er/run\"
                chmod +x \"$1/deep/er/run\"; echo junk > \"$1/junk.tmp\"; mkfifo \"$1/pipe\"";
    let mut specs = Vec::new();
    for day in [1, 2] {
        let shop = Workshop::new().await;
        let make = format!("{make}; find \"$1\" -exec touch -h -d '2020-01-0{day}' {{}} +");
        shop.pack("mine", &[YES, ("compile", &make)]);
        let files = [
            ("app.txt", "x"),
            ("Procfile", "web: x\n"),
            (".slugignore", "# no\n*.tmp\n/docs\n"),
            ("docs/a", "b"),
        ];
        let built = shop.build(&files).await.map_err(|(e, _)| e).unwrap();
        assert_eq!(fs::read_link(built.slug.join("link")).unwrap().to_str(), Some("app.txt"));
        for gone in ["junk.tmp", "docs", "pipe", ".git"] {
            assert!(!built.slug.join(gone).exists(), "{gone}");
        }
        assert_eq!(built.read("deep/er/run"), "x\n");
        specs.push(built.spec);
    }
    assert_eq!(specs[0].artifact, specs[1].artifact);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_buildpack_exports_stays_within_its_build() {
    let shop = Workshop::new().await;
    let compile = "[ ! -e \"$(dirname \"$0\")/../export\" ] || exit 9
        echo 'export LEAK=\"of this build\"' > \"$(dirname \"$0\")/../export\"";
    shop.pack("mine", &[YES, ("compile", compile)]);
    let hooks = [("Procfile", "web: x\n"), ("bin/post-compile", "#!/bin/sh\necho \"$LEAK\" > leak\n")];
    let first = shop.build(&hooks).await.map_err(|(e, s)| format!("{e}: {s}")).unwrap();
    assert_eq!(first.read("leak"), "of this build\n");
    assert!(!shop.path("packs/mine/export").exists());
    // One that an older version left there counts for nothing: not for a build, nor for its key.
    fs::write(shop.path("packs/mine/export"), "export LEAK=old\n").unwrap();
    let again = shop.build(&hooks).await.map_err(|(e, s)| format!("{e}: {s}")).unwrap();
    assert!(again.said.contains("was built before"), "{}", again.said);
    let other = [hooks[0], hooks[1], ("a", "b")];
    shop.build(&other).await.map_err(|(e, s)| format!("{e}: {s}")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn temporary_files_go_with_the_build() {
    let shop = Workshop::new().await;
    shop.pack(
        "mine",
        &[YES, ("compile", "mktemp > \"$1/where\"; echo \"$SOURCE_VERSION\" > \"$1/version\"")],
    );
    let built = shop.build(&[("Procfile", "web: x\n")]).await.map_err(|(e, _)| e).unwrap();
    let place = built.read("where");
    assert!(place.starts_with(shop.path("run/tasks").to_str().unwrap()), "{place}");
    assert_eq!(built.read("version").trim(), &built.spec.commit().unwrap()[..8]);
    shop.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cache_of_an_app_that_is_gone_can_be_removed() {
    let shop = Workshop::new().await;
    shop.pack("mine", &[("detect", "echo Mine"), ("compile", "echo kept > \"$2/kept\"")]);
    shop.build(&[("Procfile", "web: x\n")]).await.map_err(|(e, s)| format!("{e}: {s}")).unwrap();
    assert_eq!(shop.pipeline.cached().unwrap(), [shop.app.uid].into());
    shop.pipeline.forget(shop.app.uid).unwrap();
    shop.pipeline.forget(shop.app.uid).unwrap();
    assert!(shop.pipeline.cached().unwrap().is_empty());
}

/// Type, mode, number of names, link target and path of all that is in a folder.
const LIST: &str = "find . -mindepth 1 -printf '%y %m %n %l %p\\n' | sort";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_build_left_is_what_its_slug_holds() {
    let shop = Workshop::new().await;
    let make = "cd \"$1\"; umask 0; mkdir -p empty deep/er; echo s > secret; chmod 600 secret; echo r > deep/run
        chmod 750 deep/run; ln -s ../secret deep/er/link; ln -s nowhere dangling; ln secret twin; chmod 555 empty
        echo w > wide; touch -d '2001-02-03' old; touch -h -d '2002-02-03' dangling; echo new > new";
    let list = format!("{LIST} | sed 's/^/LIST /'; sleep 0.02; touch last");
    shop.pack("mine", &[YES, ("compile", &format!("{make}; {list}"))]);
    let files = [("Procfile", "web: x\n"), ("bin/tool", "#!/bin/sh\n"), ("src/a", "1")];
    let built = shop.build(&files).await.map_err(|(e, s)| format!("{e}: {s}")).unwrap();
    let left: Vec<&str> = built.said.lines().filter_map(|l| l.trim().strip_prefix("LIST ")).collect();
    let _ = fs::remove_file(built.slug.join("last"));
    let found =
        std::process::Command::new("sh").args(["-c", LIST]).current_dir(&built.slug).output().unwrap();
    let found = String::from_utf8(found.stdout).unwrap();
    assert_eq!(left, found.lines().collect::<Vec<_>>());
    assert!(left.contains(&"f 600 2  ./secret") && left.contains(&"d 555 2  ./empty"), "{left:?}");
    assert!(left.contains(&"f 755 1  ./bin/tool") && left.contains(&"f 644 1  ./src/a"), "{left:?}");
    let time = |name: &str| fs::symlink_metadata(built.slug.join(name)).unwrap().modified().unwrap();
    assert!(
        time("old") < time("dangling") && time("dangling") < time("src/a") && time("src/a") < time("new")
    );
    assert_eq!(time("src/a"), time("Procfile"), "no file of the source is newer than another");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_reads_what_a_buildpack_exports() {
    let shop = Workshop::new().await;
    let export = r#"dir="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
export PATH="$dir/tools:$PATH"   # a comment
for n in 1 2; do export "NUMBER_$n=$n"; done
export TEXT='two
lines' QUOTED="it's \"so\""
plain=stays
unset STACK
echo noise; echo loud >&2
[ -n "" ] && export NEVER=x"#;
    let compile = format!("cat > \"$(dirname \"$0\")/../export\" <<'END'\n{export}\nEND");
    shop.pack("mine", &[YES, ("compile", &compile)]);
    let look =
        "#!/bin/sh\necho \"$NUMBER_1$NUMBER_2|$TEXT|$QUOTED|$plain|$STACK|$NEVER|$APP_DIR|$PATH\" > seen\n";
    let files = [("Procfile", "web: x\n"), ("bin/post-compile", look)];
    let built = shop.build(&files).await.map_err(|(e, s)| format!("{e}: {s}")).unwrap();
    let seen = built.read("seen");
    assert!(seen.starts_with("12|two\nlines|it's \"so\"||||/"), "{seen}");
    assert!(seen.trim().rsplit('|').next().unwrap().split(':').next().unwrap().ends_with("/tools"), "{seen}");
    assert!(built.said.contains("       loud"), "{}", built.said);
    let failing = "echo 'exit 4' > \"$(dirname \"$0\")/../export\"";
    shop.pack("mine", &[YES, ("compile", failing)]);
    let (error, _) = shop.build(&files).await.err().expect("it fails");
    assert_eq!(error.to_string(), "export failed with exit code 4");
}
