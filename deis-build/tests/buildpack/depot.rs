//! A builder needs its depot and its input, and nothing else of the platform.

use std::{fs, path::Path, process::Command};

use crate::workshop::{Workshop, write};

#[tokio::test(flavor = "multi_thread")]
async fn the_same_job_gives_the_same_digest_with_its_depot_elsewhere_and_no_data_folder() {
    // The builder is a script that keeps its input and its depot before it becomes the real one.
    let instead = |folder: &Path, real: &Path| {
        let (real, kept) = (real.display(), folder.join("kept"));
        fs::create_dir(&kept).unwrap();
        let script = format!(
            "#!/bin/bash\ncd {kept} && cat > input && cp -a \"$DEIS_DEPOT\" depot && cd - > /dev/null\n\
             exec -a deis-builder {real} < {kept}/input\n",
            kept = kept.display()
        );
        write(folder, "bin/builder", &script);
        folder.join("bin/builder")
    };
    let shop = Workshop::with_builder(|_| (), instead).await;
    let make = "umask 077; echo \"$SOURCE_DATE_EPOCH\" > \"$1/epoch\"; cp \"$2/../source/a\" \"$1/b\"; touch -r \"$1/a\" \"$1/b\" \"$1/epoch\"";
    shop.pack("mine", &[("detect", "echo Mine"), ("compile", make)]);
    let files = [("Procfile", "web: x\n"), ("a", "1"), ("bin/tool", "")];
    let built = shop.build(&files).await.map_err(|(e, s)| format!("{e}: {s}")).unwrap();

    let elsewhere = tempfile::tempdir().unwrap();
    let input = fs::read_to_string(shop.path("kept/input")).unwrap();
    assert!(!input.contains(shop.path("").to_str().unwrap()), "no path of the platform: {input}");
    let depot = elsewhere.path().join("depot");
    fs::rename(shop.path("kept/depot"), &depot).unwrap();
    let mut names: Vec<_> = fs::read_dir(&depot).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["buildpacks", "cache", "source"]);
    let operators = fs::read_link(depot.join("buildpacks")).unwrap();
    fs::remove_file(depot.join("buildpacks")).unwrap();
    fs::rename(operators, depot.join("buildpacks")).unwrap();
    for name in ["build", "slugs", "unpacked", "server.git", "run"] {
        fs::remove_dir_all(shop.path(name)).unwrap();
    }
    let work = elsewhere.path().join("work");
    fs::create_dir(&work).unwrap();
    fs::write(work.join("../input"), input).unwrap();
    // Another umask, too.
    let run = format!("umask 077; exec -a deis-builder {}", env!("CARGO_BIN_EXE_deis-builder"));
    let output = Command::new("bash")
        .args(["-c", &run])
        .current_dir(&work)
        .env("DEIS_DEPOT", &depot)
        .env("SOURCE_DATE_EPOCH", "946684800")
        .stdin(fs::File::open(work.join("../input")).unwrap())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    let result: serde_json::Value =
        serde_json::from_slice(&fs::read(depot.join("result.json")).unwrap()).unwrap();
    assert_eq!(result["Built"]["digest"], built.spec.artifact.digest().to_string(), "{said}");
    assert!(depot.join("slug").is_file());
}
