//! Which crate of the workspace may use which.

use std::{fs, path::Path};

use toml::Table;

/// Folder, and what its crate may depend on. Nothing depends on examples and benches.
const CRATES: [(&str, &[&str]); 7] = [
    ("deis-core", &[]),
    ("deis-k8s", &["deis-core"]),
    ("deis-build", &["deis-core"]),
    // Compiles where the engine does not, so it depends on nothing of it.
    ("daemon/client", &[]),
    ("daemon", &["deis-core", "deis-k8s", "deis-build", "deis-client"]),
    ("examples", &["deis-core", "deis-k8s", "deis-build", "deis-daemon"]),
    ("benches", &["deis-core", "deis-k8s", "deis-build", "deis-daemon"]),
];

/// What of another area must never reach a crate, be it for one target or one feature only.
const FOREIGN: [(&str, &[&str]); 2] = [
    ("deis-core", &["kube", "k8s-openapi", "hyper", "gix", "object_store", "axum"]),
    ("deis-client", &["rusqlite", "russh", "gix", "object_store", "axum", "close_fds"]),
];

/// The dependencies of a manifest, those of single targets, builds and tests included.
fn dependencies(manifest: &Table) -> Vec<String> {
    let sections = ["dependencies", "dev-dependencies", "build-dependencies"];
    let own = sections.iter().filter_map(|section| manifest.get(*section)?.as_table());
    let mut names: Vec<String> = own
        .flat_map(|table| table.iter())
        .map(|(name, value)| value.get("package").and_then(|p| p.as_str()).unwrap_or(name).to_owned())
        .collect();
    let targets = manifest.get("target").and_then(|target| target.as_table());
    names.extend(
        targets.into_iter().flat_map(Table::values).filter_map(|t| t.as_table()).flat_map(dependencies),
    );
    names
}

fn wrong_dependencies(folder: &str, manifest: &str) -> Vec<String> {
    let manifest: Table = manifest.parse().expect("the manifest is TOML");
    let own = manifest["package"]["name"].as_str().expect("a crate has a name").to_owned();
    let (_, allowed) = CRATES.iter().find(|(name, _)| *name == folder).expect("every crate has its place");
    let wrong = |name: &String| {
        let ours = name.starts_with("deis-") && *name != own && !allowed.contains(&name.as_str());
        let foreign = FOREIGN.iter().find(|(name, _)| *name == own).map_or(&[][..], |(_, names)| names);
        ours || foreign.contains(&name.as_str())
    };
    dependencies(&manifest)
        .into_iter()
        .filter(wrong)
        .map(|name| format!("{own} must not use {name}"))
        .collect()
}

#[test]
fn every_crate_depends_downwards() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let root: Table = fs::read_to_string(workspace.join("Cargo.toml")).unwrap().parse().unwrap();
    let members = root["workspace"]["members"].as_array().unwrap();
    assert_eq!(members.len(), CRATES.len(), "every crate has its place");
    for member in members {
        let folder = member.as_str().unwrap();
        let manifest = fs::read_to_string(workspace.join(folder).join("Cargo.toml")).unwrap();
        assert_eq!(wrong_dependencies(folder, &manifest), Vec::<String>::new());
    }
}

#[test]
fn a_dependency_that_is_turned_round_is_found() {
    let manifest = |name: &str, rest: &str| format!("[package]\nname = \"{name}\"\n{rest}");
    for (folder, name, rest, found) in [
        ("deis-build", "deis-build", "[dependencies]\ndeis-k8s = \"1\"", "deis-k8s"),
        ("deis-core", "deis-core", "[dev-dependencies.deis-build]\nworkspace = true", "deis-build"),
        ("deis-k8s", "deis-k8s", "[target.'cfg(unix)'.dependencies]\ndeis-daemon = \"1\"", "deis-daemon"),
        ("deis-core", "deis-core", "[dependencies]\nweb = { package = \"hyper\", version = \"1\" }", "hyper"),
        ("daemon/client", "deis-client", "[dependencies]\ndeis-core.workspace = true", "deis-core"),
        ("daemon/client", "deis-client", "[dependencies]\nrusqlite.workspace = true", "rusqlite"),
    ] {
        assert_eq!(
            wrong_dependencies(folder, &manifest(name, rest)),
            [format!("{name} must not use {found}")]
        );
    }
    let own = manifest("deis-core", "[dev-dependencies]\ndeis-core = { path = \".\" }");
    assert_eq!(wrong_dependencies("deis-core", &own), Vec::<String>::new());
}

/// Named without a call, each for a reason that stands in its manifest.
const SWITCHES: [(&str, &str); 1] = [("deis-build", "reqwest")];

/// The dependencies of a crate that its sources never name.
fn unused(folder: &str, manifest: &str, sources: &str) -> Vec<String> {
    let manifest: Table = manifest.parse().expect("the manifest is TOML");
    let written = |name: &str| {
        sources.match_indices(name).any(|(at, _)| {
            let before = sources[..at].chars().next_back();
            let after = &sources[at + name.len()..];
            before.is_none_or(|c| !c.is_alphanumeric() && c != '_')
                && (after.starts_with("::") || after.starts_with('!') || after.starts_with(';'))
        })
    };
    // A few libraries drop the hyphen of their package.
    let is_called = |name: &str| written(&name.replace('-', "_")) || written(&name.replace('-', ""));
    let dependencies = manifest.get("dependencies").and_then(|d| d.as_table());
    let names = dependencies.into_iter().flat_map(Table::keys);
    names.filter(|name| !is_called(name) && !SWITCHES.contains(&(folder, name))).cloned().collect()
}

#[test]
fn every_dependency_is_used() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for (folder, _) in CRATES {
        let root = workspace.join(folder);
        let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
        let mut sources = String::new();
        super::visit(&root, &mut |path| {
            let inside = path.strip_prefix(&root).unwrap();
            // The client has a crate of its own below the daemon's.
            let of_another = folder == "daemon" && inside.starts_with("client");
            if !of_another && !inside.components().any(|part| part.as_os_str() == "tests") {
                sources.push_str(&fs::read_to_string(path).unwrap());
            }
        });
        assert_eq!(unused(folder, &manifest, &sources), Vec::<String>::new(), "{folder}");
    }
    assert_eq!(unused("x", "[dependencies]\na-b = '1'\nc = '1'", "use a_bc::x; abc::d; c::e"), ["a-b"]);
}
