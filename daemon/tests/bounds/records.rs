//! Records that are large, and the database that they are in.

use std::fs;

use crate::{scenario::Scenario, test_platform::until};

/// Bytes of the database.
fn database(scenario: &Scenario) -> u64 {
    let size =
        |name: &str| fs::metadata(scenario.platform.path("data").join(name)).map_or(0, |found| found.len());
    size("deis.db") + size("deis.db-wal")
}

fn hooks(bytes: usize) -> String {
    let hooks: serde_json::Map<String, serde_json::Value> =
        (0..5).map(|n| (format!("type{n}"), serde_json::json!("x".repeat(bytes)))).collect();
    serde_json::json!({"lifecycle_post_start": hooks}).to_string()
}

#[test]
fn hooks_and_configs() {
    let scenario = Scenario::new();
    let config = "/v2/apps/idle/config/";
    let before = database(&scenario);
    let mut during = 0;
    let cost = scenario.attack("5 hooks of 7.9 MB, and 30 configs of 700 KB", || {
        let large = scenario.call("POST", config, Some(&hooks(7_900_000)));
        assert_eq!(large.status, 413, "{large:?}");
        let long = scenario.call("POST", config, Some(&hooks(150_000)));
        assert!(long.status == 400 && long.body.contains("a hook has at most 16384 bytes"), "{long:?}");
        for number in 0..30 {
            let values: serde_json::Map<String, serde_json::Value> =
                (0..7).map(|n| (format!("V{n}"), format!("{number}").repeat(50_000).into())).collect();
            let set =
                scenario.call("POST", config, Some(&serde_json::json!({ "values": values }).to_string()));
            assert_eq!(set.status, 201, "{set:?}");
        }
        during = database(&scenario);
        let gone = scenario.call("DELETE", "/v2/apps/idle/", None);
        assert_eq!(gone.status, 204, "{gone:?}");
    });
    cost.is_at_most(64, 16, 16);
    until("the database is small again", || database(&scenario) < before + (8 << 20));
    println!("  bytes of the database: {before} before, {during} during, {} after", database(&scenario));
    assert!(during > before + (8 << 20), "the configs were large");
}
