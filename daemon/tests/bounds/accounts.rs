//! What anybody can do to accounts without one, and what one account can have.

use std::thread;

use crate::{
    attacker::{ATTACKER, call_from, sent, until_ended},
    scenario::Scenario,
    test_platform::free_port,
    web::{Answer, ask},
};

fn log_in(name: &str, password: &str) -> String {
    format!(r#"{{"username":"{name}","password":"{password}"}}"#)
}

/// The seconds after which an answer says to come again.
fn retry_after(answer: &Answer) -> u64 {
    let line = answer.head.lines().find_map(|line| line.strip_prefix("retry-after: "));
    line.unwrap_or_else(|| panic!("{answer:?}")).parse().unwrap()
}

#[test]
fn wrong_passwords() {
    let scenario = Scenario::new();
    let http = scenario.platform.http;
    let login = "/v2/auth/login/";
    let cost = scenario.attack("400 wrong passwords, 40 at a time", || {
        for name in ["ann", "nobody", "ann", "bob"] {
            let asking: Vec<_> = (0..40)
                .map(|n| {
                    thread::spawn(move || {
                        let tries = (0..10).map(|_| {
                            call_from(ATTACKER, http, "POST", login, &log_in(name, &format!("guess {n}")))
                        });
                        tries.collect::<Vec<_>>()
                    })
                })
                .collect();
            for answer in asking.into_iter().flat_map(|one| one.join().unwrap()) {
                match answer.status {
                    400 => assert!(answer.body.contains("Unable to log in"), "{answer:?}"),
                    429 => {
                        assert!(answer.body.contains("Too many attempts to log in failed"), "{answer:?}");
                        assert!(answer.head.contains("deis_error_code: throttled"), "{answer:?}");
                        assert!((1..=60).contains(&retry_after(&answer)), "{answer:?}");
                    }
                    503 => assert!(answer.body.contains("from this address at once"), "{answer:?}"),
                    _ => panic!("{answer:?}"),
                }
            }
        }
        // The account is everybody's guess, and its owner logs in all the same.
        assert_eq!(
            ask(http, "POST", login, &[("Content-Type", "application/json")], Some(&log_in("ann", "secret")))
                .status,
            200
        );
        // Whether there is such a user makes no difference.
        let refused =
            ["ann", "nobody"].map(|name| call_from(ATTACKER, http, "POST", login, &log_in(name, "secret")));
        assert!(refused.iter().all(|answer| answer.status == 429), "{refused:?}");
    });
    // Two hashes of 19 MiB at a time, and what the allocator keeps of them.
    cost.is_at_most(96, 16, 400);
}

#[test]
fn registrations_and_apps() {
    let scenario =
        Scenario::with(&["--registration", "enabled", "--user-apps", "5", "--address-registrations", "4"]);
    let http = scenario.platform.http;
    scenario.attack("30 registrations of one address, 30 apps of one user", || {
        let register = |n: usize| {
            call_from(ATTACKER, http, "POST", "/v2/auth/register/", &log_in(&format!("user{n}"), "secret"))
        };
        let answers: Vec<_> = (0..30).map(register).collect();
        assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 4, "{answers:?}");
        for answer in answers.iter().filter(|answer| answer.status != 201) {
            assert!(
                answer.status == 429 && answer.body.contains("Too many users were registered"),
                "{answer:?}"
            );
        }
        let create = |n: usize| scenario.call("POST", "/v2/apps/", Some(&format!(r#"{{"id":"app{n}"}}"#)));
        let answers: Vec<_> = (0..30).map(create).collect();
        // One is there already.
        assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 4, "{answers:?}");
        for answer in answers.iter().filter(|answer| answer.status != 201) {
            assert!(answer.status == 400 && answer.body.contains("as many as a user may have"), "{answer:?}");
        }
    });
    // Administrators have as many as they like, and one that goes makes room.
    for n in 0..6 {
        scenario.platform.deis(&["create", &format!("own{n}"), "--no-remote"]);
    }
    assert_eq!(scenario.call("DELETE", "/v2/apps/idle/", None).status, 204);
    assert_eq!(scenario.call("POST", "/v2/apps/", Some(r#"{"id":"again"}"#)).status, 201);
}

#[test]
fn connections_to_the_metrics() {
    let port = free_port();
    let scenario = Scenario::with(&["--metrics-listen", &format!("127.0.0.1:{port}")]);
    let cost = scenario.attack("100 connections to the metrics that ask for nothing", || {
        let mut held: Vec<_> = (0..100).map(|_| sent(port, b"GET /metrics HTT")).collect();
        // Whoever reads them comes from elsewhere, and gets them.
        let metrics = ask(port, "GET", "/metrics", &[], None);
        assert!(metrics.status == 200 && metrics.body.contains("deis_up 1"), "{metrics:?}");
        held.iter_mut().for_each(until_ended);
    });
    cost.is_at_most(24, 0, 16);
}
