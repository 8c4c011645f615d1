//! What cannot work says why, changes nothing and loses nothing.

use super::test_platform::{STATIC, TestPlatform, Work, free_port};

/// A push that must be refused with these words, leaving the app as it was.
fn refused(rig: &TestPlatform, work: &Work, app: &str, words: &[&str]) {
    let before = rig.get(&format!("{app}.localhost"));
    let releases = rig.releases(app).iter().filter(|r| r["failed"] == false).count();
    let (ok, said) = work.try_git(&["push", "deis", "main"]);
    assert!(!ok, "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is missing in {said}");
    }
    assert_eq!(rig.get(&format!("{app}.localhost")), before);
    assert_eq!(rig.releases(app).iter().filter(|r| r["failed"] == false).count(), releases);
    assert!(rig.leftovers().is_empty(), "{:?}", rig.leftovers());
}

#[test]
fn sources_that_cannot_be_built() {
    let rig = TestPlatform::new();
    let work = rig.app("odd", &[("readme.txt", "nothing to run")]);
    refused(
        &rig,
        &work,
        "odd",
        &["no buildpack matches", "python (", "static (", "procfile (", "BUILDPACK_URL"],
    );
    work.commit(&[("Procfile", "web: ok\nthis is no entry\n")]);
    refused(&rig, &work, "odd", &["Procfile line 2 is not valid"]);
    work.commit(&[("Procfile", "web: ok\n"), ("Dockerfile", "FROM scratch\n")]);
    refused(&rig, &work, "odd", &["builds no Dockerfiles yet", "HEPHY_BUILDER=procfile"]);
    work.git(&["rm", "--quiet", "Dockerfile"]);
    work.commit(&[("bin/pre-compile", "#!/bin/sh\necho looking for trouble\nexit 3\n")]);
    refused(&rig, &work, "odd", &["looking for trouble", "exited with code 3, stopping build"]);
    rig.deis(&["config:set", "BUILDPACK_URL=http://127.0.0.1:9/x.git", "-a", "odd"]);
    refused(&rig, &work, "odd", &["not allowed here", "https"]);
}

#[test]
fn processes_that_do_not_work_leave_the_old_release_serving() {
    let rig = TestPlatform::with(&["--deploy-timeout", "25"]);
    let work = rig.app("shop", STATIC);
    work.git(&["push", "deis", "main"]);
    assert_eq!(rig.get("shop.localhost").0, 200);
    work.commit(&[("Procfile", "web: echo no database >&2; exit 4\n")]);
    refused(&rig, &work, "shop", &["keeps ending with exit code 4", "no database", "v2 goes on serving"]);
    let elsewhere = free_port();
    work.commit(&[("Procfile", &format!("web: exec python3 -m http.server {elsewhere}\n"))]);
    refused(&rig, &work, "shop", &[&format!("listens on {elsewhere} instead of $PORT")]);
    work.commit(&[("Procfile", "web: exec sleep 1000\n")]);
    refused(&rig, &work, "shop", &["v2 goes on serving"]);
    let releases = rig.releases("shop");
    assert!(
        releases[0]["failed"] == true && releases[0]["exception"].as_str().unwrap().contains("(app::deploy)")
    );
    // The next good push needs nothing mended by hand.
    work.commit(&[("Procfile", "")]);
    work.git(&["push", "deis", "main"]);
    assert_eq!(rig.get("shop.localhost").0, 200);
}

#[test]
fn a_config_change_that_breaks_the_app_goes_back() {
    let rig = TestPlatform::new();
    let work = rig.app(
        "breaks",
        &[("Procfile", "web: test -z \"$BREAK\" && exec deis-static .\n"), ("index.html", "fine")],
    );
    work.git(&["push", "deis", "main"]);
    let (code, said) = rig.try_deis(&["config:set", "BREAK=1", "-a", "breaks"]);
    assert_eq!(code, 1);
    assert!(said.contains("Rolling back process types to release v2"), "{said}");
    assert_eq!(rig.get("breaks.localhost"), (200, "fine".to_owned()));
    assert!(!rig.deis(&["config", "-a", "breaks"]).contains("BREAK"));
}

#[test]
fn refusals_of_the_api_name_the_field() {
    let rig = TestPlatform::new();
    rig.app("real", STATIC).git(&["push", "deis", "main"]);
    for (args, words) in [
        (&["create", "Bad_Name", "--no-remote"][..], "App name"),
        (&["create", "real", "--no-remote"], "already exists"),
        (&["create", "deis", "--no-remote"], "reserved"),
        (&["scale", "nope=1", "-a", "real"], "Container type nope does not exist"),
        (&["rollback", "v99", "-a", "real"], "there is no release v99"),
        (&["rollback", "v1", "-a", "real"], "initial release"),
        (&["config:unset", "NOPE", "-a", "real"], "NOPE does not exist under values"),
        (&["config:set", "PORT=dog", "-a", "real"], "PORT can only be a numeric value"),
        (&["domains:add", "under_score.com", "-a", "real"], "Hostname does not look valid"),
        (&["domains:remove", "nope.example.com", "-a", "real"], "No Domain matches"),
        (&["pull", "some/image", "-a", "real"], "runs no images yet"),
        (&["info", "-a", "nosuch"], "\"No App matches the given query.\""),
    ] {
        let (code, said) = rig.try_deis(args);
        assert!(code == 1 && said.contains(words), "deis {args:?} ended with {code}: {said}");
    }
    assert_eq!(rig.releases("real").len(), 2);
    assert_eq!(rig.get("nobody.localhost").0, 404);
    rig.deis(&["scale", "web=0", "-a", "real"]);
    assert_eq!(rig.get("real.localhost").0, 503);
}
