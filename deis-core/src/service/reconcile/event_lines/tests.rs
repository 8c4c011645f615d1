//! Each event as people read it in the log of its app.

use uuid::Uuid;

use super::*;
use crate::model::{
    AppName, AppStatus, AppSummary, AppUid, BuildId, Cause, ConfigId, DomainName, Formation, ProcessType,
    PushOutcome, ReleaseRef, ReleaseVersion, Timestamp, Username,
};

fn blog() -> App {
    let live = ReleaseRef {
        version: ReleaseVersion(1),
        config: ConfigId(Uuid::nil()),
        build: None,
        processes: [].into(),
        types: [].into(),
    };
    App {
        name: AppName::new("blog").unwrap(),
        uid: AppUid(Uuid::from_u128(0x1234_5678_9abc_def0_1234_5678_9abc_def0)),
        owner: Username::new("ann").unwrap(),
        created: Timestamp(0),
        updated: Timestamp(0),
        summary: AppSummary { state: AppStatus::Active, structure: [].into(), live, next: None },
    }
}

fn said(by: Option<&str>, kind: EventKind) -> (LogLevel, String) {
    let by = by.map(|name| Username::new(name).unwrap());
    text_of(&Event { at: Timestamp(0), by, app: Some(blog().name), kind }, &blog())
}

#[test]
fn every_event_has_its_line() {
    let id = Uuid::from_u128(0xfedc_ba98_7654_3210_0000_0000_0000_0000);
    let (two, three) = (ReleaseVersion(2), ReleaseVersion(3));
    let domain = || DomainName::new("www.example.com").unwrap();
    let scales = [(ProcessType::cmd(), 0), (ProcessType::web(), 2)].into();
    let formation = Formation { scales, ..Formation::default() };
    let refs = || vec!["refs/tags/v1".to_owned()];
    for (kind, expected) in [
        (EventKind::AppCreated, "appsettings blog-1234567 updated"),
        (EventKind::BuildCreated { build: BuildId(id) }, "build blog-fedcba9 created"),
        (EventKind::ConfigUpdated { config: ConfigId(id) }, "config blog-fedcba9 updated"),
        (EventKind::ReleaseCreated { version: two, summary: "ann added A".to_owned() }, "ann added A"),
        (EventKind::RolloutPhase { version: two, phase: "rolling".to_owned() }, "v2 rolling"),
        (EventKind::ReleaseLive { version: two }, "v2 is live"),
        (EventKind::ReleaseSuperseded { version: two, by: three }, "v2 gave way to v3"),
        (EventKind::Scaled { formation }, "ann scaled pods cmd=0 web=2"),
        (EventKind::Restarted { what: "web".to_owned() }, "ann restarted web"),
        (EventKind::DomainAdded { domain: domain() }, "domain www.example.com added"),
        (EventKind::DomainRemoved { domain: domain() }, "domain www.example.com removed"),
        (EventKind::Push { outcome: PushOutcome::Stored { refs: refs() } }, "ann stored refs/tags/v1"),
        (EventKind::AppDestroying { app: blog().name }, ""),
        (EventKind::UserRegistered, ""),
    ] {
        assert_eq!(said(Some("ann"), kind), (LogLevel::Info, expected.to_owned()));
    }
    assert_eq!(said(None, EventKind::Restarted { what: "web".to_owned() }).1, "deis restarted web");
}

#[test]
fn what_went_wrong_is_said_with_its_level_and_a_hint() {
    let cause = Cause::Quota { reason: "full".to_owned() };
    let failed = |what: &str| (LogLevel::Error, format!("{what} failed: {cause}\n{}", cause.hint()));
    let version = ReleaseVersion(2);
    assert_eq!(said(None, EventKind::ReleaseFailed { version, cause: cause.clone() }), failed("v2"));
    assert_eq!(said(None, EventKind::ScaleFailed { cause: cause.clone() }), failed("scale or restart"));
    let (level, text) = said(None, EventKind::WorkloadRefused { reason: "no".to_owned() });
    assert_eq!(level, LogLevel::Error);
    assert!(text.ends_with("cannot be started again: no"), "{text}");
    let domain = DomainName::new("www.example.com").unwrap();
    let (level, text) = said(None, EventKind::DomainRefused { domain, reason: "taken".to_owned() });
    assert_eq!((level, text.as_str()), (LogLevel::Warning, "domain www.example.com cannot be routed: taken"));
}
