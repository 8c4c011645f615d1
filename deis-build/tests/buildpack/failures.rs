//! Builds that end badly say why and leave nothing.

use std::time::Duration;

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
        shop.is_clean();
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
async fn a_build_ends_at_its_limit_with_everything_it_started() {
    let shop = Workshop::with(|o| o.limit = Duration::from_secs(2)).await;
    let mark = format!("9{}.25", std::process::id());
    let hang = format!("setsid sleep {mark} & sleep {mark}");
    shop.pack("mine", &[YES, ("compile", &hang)]);
    let (error, _) = failure(&shop, &FILES).await;
    assert!(matches!(error, BuildError::TooLong(2)), "{error:?}");
    assert!(error.hint().is_some());
    assert_eq!(processes_with(&format!("sleep {mark}")), Vec::<String>::new());
    shop.is_clean();
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
        (&[("Dockerfile", "FROM x"), ("Procfile", "web: x\n")], "builds no Dockerfiles yet"),
    ] {
        let (error, _) = failure(&shop, files).await;
        assert!(error.to_string().contains(words), "{error}");
    }
    shop.is_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_goes_away_does_not_end_a_build() {
    let shop = Workshop::new().await;
    shop.pack("mine", &[YES, ("compile", "yes | head -20000; echo done > \"$1/done\"")]);
    let built = shop.build(&FILES).await.map_err(|(e, _)| e).unwrap();
    assert_eq!(built.read("done"), "done\n");
    assert!(built.said.lines().count() > 20_000);
}
