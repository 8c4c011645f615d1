//! Every case of a public suite stands in the list that back ends run.

use std::{fs, path::Path};

#[test]
fn no_case_is_left_out() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/conformance");
    for suite in ["scheduler", "leases.rs", "runner.rs", "router.rs", "logs.rs", "store"] {
        let mut text = String::new();
        let path = folder.join(suite);
        if path.is_dir() {
            super::visit(&path, &mut |file| text.push_str(&fs::read_to_string(file).unwrap()));
        } else {
            text = fs::read_to_string(&path).unwrap();
        }
        let lists: Vec<&str> = text.lines().map(str::trim).collect();
        let names: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("pub async fn ")?.split(['(', '<']).next())
            .collect();
        assert!(names.len() > 3, "{suite}: only {names:?} were found");
        for name in names {
            assert!(lists.contains(&name), "{suite}: no back end runs {name}");
        }
    }
}
