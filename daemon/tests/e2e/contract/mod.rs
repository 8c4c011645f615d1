//! The API's contract, one request at a time: status, members and the texts that clients compare.

mod accounts;
mod apps;
mod config;
mod domains;
mod errors;
mod keys;
mod releases;
mod scale;

use serde_json::Value;

use super::{test_platform::TestPlatform, web::ask};

/// Somebody who calls the API of a platform.
pub(super) struct Caller<'a> {
    rig: &'a TestPlatform,
    token: String,
}

impl<'a> Caller<'a> {
    /// The administrator.
    pub(super) fn ann(rig: &'a TestPlatform) -> Self {
        Self::login(rig, "ann", "secret")
    }

    /// Nobody.
    pub(super) fn anonymous(rig: &'a TestPlatform) -> Self {
        Self { rig, token: String::new() }
    }

    pub(super) fn login(rig: &'a TestPlatform, username: &str, password: &str) -> Self {
        let body = serde_json::json!({"username": username, "password": password}).to_string();
        let (status, answer) = Self::anonymous(rig).post("/v2/auth/login/", &body);
        assert_eq!(status, 200, "{answer}");
        Self { rig, token: answer["token"].as_str().unwrap().to_owned() }
    }

    /// A new user, registered by this one.
    pub(super) fn registers(&self, username: &str) -> Self {
        let body = serde_json::json!({"username": username, "password": "secret"}).to_string();
        let (status, answer) = self.post("/v2/auth/register/", &body);
        assert_eq!(status, 201, "{answer}");
        Self::login(self.rig, username, "secret")
    }

    pub(super) fn get(&self, path: &str) -> (u16, Value) {
        self.call("GET", path, None)
    }

    pub(super) fn post(&self, path: &str, body: &str) -> (u16, Value) {
        self.call("POST", path, Some(body))
    }

    pub(super) fn delete(&self, path: &str) -> (u16, Value) {
        self.call("DELETE", path, None)
    }

    /// Status and body; a body that is no JSON comes as a string.
    pub(super) fn call(&self, method: &str, path: &str, body: Option<&str>) -> (u16, Value) {
        let authorization = format!("token {}", self.token);
        let mut headers = Vec::new();
        if !self.token.is_empty() {
            headers.push(("Authorization", authorization.as_str()));
        }
        if body.is_some() {
            headers.push(("Content-Type", "application/json"));
        }
        let answer = ask(self.rig.http, method, path, &headers, body);
        assert_eq!(code(&answer.head).is_some(), answer.status >= 400, "{method} {path}: {}", answer.head);
        let body = serde_json::from_str(&answer.body).unwrap_or(Value::String(answer.body));
        (answer.status, body)
    }

    /// The code of an answer; empty for a success.
    pub(super) fn code(&self, method: &str, path: &str, body: Option<&str>) -> String {
        let authorization = format!("token {}", self.token);
        let headers = [("Authorization", authorization.as_str()), ("Content-Type", "application/json")];
        let answer = ask(self.rig.http, method, path, &headers, body);
        code(&answer.head).unwrap_or_default()
    }

    /// Posts each body and expects each status, and each text somewhere in the answer.
    pub(super) fn posts(&self, path: &str, table: &[(&str, u16, &str)]) {
        for (body, status, text) in table {
            let (got, answer) = self.post(path, body);
            assert_eq!(got, *status, "POST {path} {body}: {answer}");
            assert!(answer.to_string().contains(text), "POST {path} {body}: {text:?} is missing in {answer}");
        }
    }
}

/// The code of an error, by which programs know it.
fn code(head: &str) -> Option<String> {
    head.lines().find_map(|line| line.strip_prefix("deis_error_code: ")).map(str::to_owned)
}
