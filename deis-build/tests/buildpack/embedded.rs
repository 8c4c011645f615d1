//! The buildpacks inside the program, with this machine's toolchains.

use std::{fs, process::Command};

use crate::workshop::{Built, Workshop, git, write};

/// Runs a command in the unpacked slug as an instance would: with its `.profile.d`, and a `HOME` that the config names.
fn run(built: &Built, command: &str) -> String {
    let script = format!("for f in .profile.d/*.sh; do . \"$f\"; done; {command}");
    let output = Command::new("bash")
        .args(["-c", &script])
        .current_dir(&built.slug)
        .env("HOME", "/nowhere")
        .output()
        .unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn python_installs_beside_the_source() {
    let shop = Workshop::new().await;
    // A dependency of our own, so that no registry is needed.
    let package = shop.path("greeting");
    write(
        &package,
        "pyproject.toml",
        "[project]\nname = 'greeting'\nversion = '1'\n[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n",
    );
    write(&package, "backend.py", BACKEND);
    let requirements = format!("# ours\ngreeting @ file://{}\n", package.display());
    let files = [
        ("requirements.txt", requirements.as_str()),
        ("app.py", "import greeting, own.part\n"),
        ("own/part.py", ""),
        ("broken.py", "this is no Python\n"),
        ("Procfile", "web: python3 app.py\n"),
    ];
    let built = shop.build(&files).await.map_err(|(e, s)| format!("{e}: {s}")).unwrap();
    assert!(built.said.contains("Installing dependencies from requirements.txt"), "{}", built.said);
    assert_eq!(run(&built, "python3 -c 'import greeting; print(greeting.TEXT)'"), "hello\n");
    // Compiled once, and the same whenever it is.
    assert_eq!(run(&built, "ls .deis/python/__pycache__ | grep -c greeting"), "1\n");
    // No start compiles anything again, neither what was installed nor the app's own modules.
    let compiled = run(&built, "python3 -v app.py 2>&1 | grep \"# wrote .*$PWD\" || true");
    assert_eq!(compiled, "");
    let loaded = run(&built, "python3 -v app.py 2>&1 | grep -c \"code object from '$PWD.*pyc'\"");
    assert_eq!(loaded.trim(), "2", "greeting and own.part come from what was compiled");
    let mut other = Workshop::new().await;
    other.config.insert("ANOTHER".to_owned(), "build".to_owned());
    let again = other.build(&files).await.map_err(|(e, s)| format!("{e}: {s}")).unwrap();
    assert_eq!(again.spec.artifact, built.spec.artifact);
}

#[tokio::test(flavor = "multi_thread")]
async fn python_without_dependencies_starts_no_pip() {
    let shop = Workshop::new().await;
    let files = [("requirements.txt", "# none\n\n"), ("Procfile", "web: python3 app.py\n")];
    let built = shop.build(&files).await.map_err(|(e, s)| format!("{e}: {s}")).unwrap();
    assert!(built.said.contains("No dependencies to install"), "{}", built.said);
    assert!(!built.slug.join(".deis").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn node_runs_its_build_and_its_start_script() {
    let shop = Workshop::new().await;
    let package = r#"{"scripts":{"build":"node -e \"require('fs').writeFileSync('made','yes')\"","start":"node server.js"}}"#;
    let files = [("package.json", package), ("server.js", ""), ("tool.py", "print()")];
    let built = shop.build(&files).await.map_err(|(e, s)| format!("{e}: {s}")).unwrap();
    assert!(built.said.contains("Node.js app detected"), "{}", built.said);
    assert_eq!((built.command("web"), built.read("made").as_str()), (Some("node server.js"), "yes"));
    assert_eq!(run(&built, "echo $NODE_ENV"), "production\n");
    assert_eq!(run(&built, "case $PATH in $PWD/node_modules/.bin:*) echo first;; esac"), "first\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn node_installs_what_its_lock_file_says() {
    let shop = Workshop::new().await;
    let package = r#"{"dependencies":{"greeting":"file:./greeting"}}"#;
    let lock = r#"{"lockfileVersion":3,"packages":{"":{"dependencies":{"greeting":"file:./greeting"}},
        "greeting":{"version":"1.0.0"},"node_modules/greeting":{"resolved":"greeting","link":true}}}"#;
    let files = [
        ("package.json", package),
        ("package-lock.json", lock),
        ("greeting/package.json", r#"{"name":"greeting","version":"1.0.0"}"#),
        ("greeting/index.js", "module.exports = 'hello'"),
        ("server.js", ""),
    ];
    let built = shop.build(&files).await.map_err(|(e, s)| format!("{e}: {s}")).unwrap();
    assert_eq!(built.command("web"), Some("node server.js"));
    assert_eq!(run(&built, "node -p \"require('greeting')\""), "hello\n");
    // A lock file that does not fit is a failure, not a surprise.
    let broken = [("package.json", package), ("package-lock.json", "{}"), ("server.js", "")];
    assert!(shop.build(&broken).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn static_sites_and_plain_procfiles_need_no_toolchain() {
    let shop = Workshop::with(|o| {
        let bare = o.folder.join("bare");
        fs::create_dir_all(&bare).unwrap();
        for tool in ["bash", "env"] {
            let path = std::env::var_os("PATH").unwrap();
            let found = std::env::split_paths(&path).map(|folder| folder.join(tool)).find(|f| f.is_file());
            std::os::unix::fs::symlink(found.unwrap(), bare.join(tool)).unwrap();
        }
        o.env.insert("PATH".to_owned(), bare.display().to_string());
    })
    .await;
    let built = shop
        .build(&[("index.html", "x"), ("make.py", "")])
        .await
        .map_err(|(e, s)| format!("{e}: {s}"))
        .unwrap();
    assert_eq!(built.command("web"), Some("exec deis-static ."));
    let built =
        shop.build(&[("Procfile", "web: ./serve\n")]).await.map_err(|(e, s)| format!("{e}: {s}")).unwrap();
    assert!(built.said.contains("Procfile app detected"), "{}", built.said);
    // A toolchain that is missing is named, with what to do.
    for (files, words) in [
        (&[("package.json", "{}")][..], "this machine has no node: install it"),
        (&[("requirements.txt", "x"), ("Procfile", "web: x\n")], "this machine has no python3: install it"),
    ] {
        let (_, said) = shop.build(files).await.err().expect("it fails");
        assert!(said.contains(words), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn submodules_are_left_out_and_named() {
    let shop = Workshop::new().await;
    let other = shop.path("other");
    write(&other, "file", "x");
    git(&other, &["init", "--quiet"]);
    git(&other, &["add", "."]);
    git(&other, &["commit", "--quiet", "--message", "x"]);
    let commit = git(&other, &["rev-parse", "HEAD"]);
    let built = shop.build_with(&[("index.html", "x")], |s| {
        s.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{commit},lib/other")]);
    });
    let built = built.await.map_err(|(e, s)| format!("{e}: {s}")).unwrap();
    assert!(built.said.contains("Submodule lib/other is not fetched"), "{}", built.said);
}

/// The smallest build back end that makes a wheel.
const BACKEND: &str = r#"
import os, zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    name = "greeting-1-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        wheel.writestr("greeting.py", "TEXT = 'hello'\n")
        wheel.writestr("greeting-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: greeting\nVersion: 1\n")
        wheel.writestr("greeting-1.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("greeting-1.dist-info/RECORD", "")
    return name
"#;
