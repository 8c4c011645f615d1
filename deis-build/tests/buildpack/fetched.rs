//! Buildpacks that the app names by URL.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    thread,
};

use deis_build::git::{Repository, Service};

use crate::workshop::{Workshop, git, write};

/// A repository with a buildpack, at two versions.
fn repository(folder: &Path) -> String {
    fs::create_dir(folder).unwrap();
    git(folder, &["init", "--quiet", "--initial-branch=trunk"]);
    for version in ["one", "two"] {
        write(folder, "bin/detect", "#!/bin/sh\necho Theirs; exit 1\n");
        write(folder, "bin/compile", &format!("#!/bin/sh\necho {version} > $1/version\n"));
        git(folder, &["add", "."]);
        git(folder, &["commit", "--quiet", "--message", version]);
        git(folder, &["tag", version]);
    }
    git(folder, &["rev-parse", "one"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_buildpack_is_fetched_at_its_reference() {
    let mut shop = Workshop::with(|o| o.schemes.push("file".to_owned())).await;
    let first = repository(&shop.path("theirs"));
    let url = format!("file://{}", shop.path("theirs").display());
    for (reference, version) in [
        ("", "two"),
        ("#trunk", "two"),
        ("#one", "one"),
        (&*format!("#{first}"), "one"),
        (&*format!("#{}", &first[..9]), "one"),
    ] {
        shop.config.insert("BUILDPACK_URL".to_owned(), format!("{url}{reference}"));
        let built =
            shop.build(&[("Procfile", "web: x\n")]).await.map_err(|(e, s)| format!("{e}: {s}")).unwrap();
        assert_eq!(built.read("version").trim(), version, "{reference}");
        // It is asked for its name only: who names a buildpack wants it.
        assert!(
            built.said.contains("-----> Fetching custom buildpack\n-----> Theirs app detected"),
            "{}",
            built.said
        );
    }
    // Only a whole commit id names something that cannot move.
    shop.config.insert("BUILDPACK_URL".to_owned(), format!("{url}#{first}"));
    let built = shop.build(&[("Procfile", "web: x\n")]).await.map_err(|(e, _)| e).unwrap();
    assert!(built.said.contains("was built before"), "{}", built.said);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_url_over_an_allowed_scheme_is_never_fetched() {
    let mut shop = Workshop::new().await;
    let owned = shop.path("owned");
    for url in [
        format!("ext::sh -c touch% {}", owned.display()),
        format!("--upload-pack=touch {}", owned.display()),
        "-uhttps://localhost/pack.git".to_owned(),
        "file:///etc".to_owned(),
        "file:/etc".to_owned(),
        "/etc".to_owned(),
        "git@localhost:pack.git".to_owned(),
        "ssh://localhost/pack.git".to_owned(),
        "git://localhost/pack.git".to_owned(),
        "ext::https://localhost/pack.git".to_owned(),
    ] {
        shop.config.insert("BUILDPACK_URL".to_owned(), url.clone());
        let Err((error, said)) = shop.build(&[("Procfile", "web: x\n")]).await else {
            panic!("{url} is taken");
        };
        let error = error.to_string();
        assert!(
            error.contains("BUILDPACK_URL") && error.contains("use a git URL over https"),
            "{url}: {error}"
        );
        assert!(!said.contains("Fetching"), "{said}");
    }
    assert!(!owned.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_fetched_is_said() {
    let mut shop = Workshop::with(|o| o.schemes.push("file".to_owned())).await;
    fs::create_dir(shop.path("plain")).unwrap();
    git(&shop.path("plain"), &["init", "--quiet"]);
    write(&shop.path("plain"), "readme", "x");
    git(&shop.path("plain"), &["add", "."]);
    git(&shop.path("plain"), &["commit", "--quiet", "--message", "x"]);
    let here = shop.path("").display().to_string();
    for (url, words) in [
        ("http://127.0.0.1/x.git".to_owned(), "not allowed here: use a git URL over https, file"),
        ("ext::sh -c true".to_owned(), "not allowed here"),
        ("/etc".to_owned(), "not allowed here"),
        // Nobody listens there, and nothing speaks TLS: an answer for people, not the end of the build's process.
        ("https://127.0.0.1:1/x.git".to_owned(), "refused"),
        (format!("file://{here}nowhere"), "nowhere"),
        (format!("file://{here}plain"), "no buildpack: it has no executable bin/compile"),
        (format!("file://{here}plain#v9"), "v9"),
    ] {
        shop.config.insert("BUILDPACK_URL".to_owned(), url.clone());
        let (error, _) = shop.build(&[("Procfile", "web: x\n")]).await.err().expect("it fails");
        assert!(error.to_string().contains(words), "{url}: {error}");
    }
    shop.is_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buildpack_can_be_fetched_over_http() {
    let mut shop = Workshop::with(|o| o.schemes.push("http".to_owned())).await;
    repository(&shop.path("theirs"));
    let server = Repository::open_or_create(shop.path("theirs.git")).unwrap();
    git(&shop.path("theirs"), &["push", "--quiet", server.path().to_str().unwrap(), "trunk"]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || listener.incoming().flatten().for_each(|socket| answer(&server, socket)));
    shop.config.insert("BUILDPACK_URL".to_owned(), format!("http://127.0.0.1:{port}/theirs.git#trunk"));
    let built = shop.build(&[("Procfile", "web: x\n")]).await.map_err(|(e, s)| format!("{e}: {s}")).unwrap();
    assert_eq!(built.read("version").trim(), "two");
}

/// One request of smart HTTP.
fn answer(repository: &Repository, mut socket: TcpStream) {
    let mut reader = BufReader::new(socket.try_clone().unwrap());
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
    let head = head.to_ascii_lowercase();
    let mut out = Vec::new();
    if head.starts_with("get ") {
        repository.advertise(Service::UploadPack, true, &mut out).unwrap();
    } else {
        let mut body = Vec::new();
        if let Some((_, rest)) = head.split_once("content-length: ") {
            body = vec![0; rest.lines().next().unwrap().trim().parse().unwrap()];
            reader.read_exact(&mut body).unwrap();
        } else {
            loop {
                let mut size = String::new();
                reader.read_line(&mut size).unwrap();
                let mut chunk = vec![0; usize::from_str_radix(size.trim(), 16).unwrap() + 2];
                reader.read_exact(&mut chunk).unwrap();
                if chunk.len() == 2 {
                    break;
                }
                body.extend(&chunk[..chunk.len() - 2]);
            }
        }
        repository.upload(&body[..], &mut out, true).unwrap();
    }
    let kind = if head.starts_with("get ") { "advertisement" } else { "result" };
    let length = out.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-{kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    socket.write_all(&[head.into_bytes(), out].concat()).unwrap();
}
