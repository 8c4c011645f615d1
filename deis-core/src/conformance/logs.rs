//! What every log store must do.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use tokio::time::timeout;
use uuid::Uuid;

use crate::{
    model::{
        AppName, AppRef, AppUid, InstanceName, LineId, LogLevel, LogLine, LogQuery, LogSource, ProcessType,
        ReleaseVersion, Timestamp,
    },
    port::{LogStore, LogStream},
};

/// An empty log store.
pub type LogSubject = Arc<dyn LogStore>;

/// How long a line may take to a reader.
const PATIENCE: Duration = Duration::from_secs(10);

fn app() -> AppRef {
    AppRef { name: AppName::new("blog").expect("it is a valid name"), uid: AppUid(Uuid::new_v4()) }
}

fn line(at: i64, process: Option<&str>, text: impl Into<String>) -> LogLine {
    let source =
        process.map_or(LogSource::Platform { level: LogLevel::Info }, |process| LogSource::Process {
            process: ProcessType::new(process).expect("the cases name valid types"),
            release: ReleaseVersion(2),
            instance: InstanceName::new(format!("blog-{process}-2-abcde")).expect("it is valid"),
        });
    LogLine::new(Timestamp(at), source, text)
}

async fn append(s: &LogSubject, app: &AppRef, lines: Vec<LogLine>) {
    s.append(app, lines).await.expect("the store takes lines");
}

async fn open(s: &LogSubject, app: &AppRef, query: &LogQuery) -> LogStream {
    s.tail(app, query).await.expect("the store can be read")
}

async fn tail(s: &LogSubject, app: &AppRef, query: &LogQuery) -> Vec<LogLine> {
    open(s, app, query).await.map(|line| line.expect("the line can be read")).collect().await
}

async fn next(stream: &mut LogStream) -> Option<String> {
    let next = timeout(PATIENCE, stream.next()).await.expect("the stream goes on or ends");
    next.map(|line| line.expect("the line can be read").text)
}

/// The newest lines come, oldest first, as they were.
pub async fn the_newest_lines_come_in_order(s: LogSubject) {
    let app = app();
    let lines: Vec<LogLine> =
        (0..20).map(|n| line(n, (n % 2 == 1).then_some("web"), format!("{n} äö"))).collect();
    append(&s, &app, lines.clone()).await;
    assert_eq!(tail(&s, &app, &LogQuery::default()).await, lines);
    let some = LogQuery { lines: 3, ..LogQuery::default() };
    assert_eq!(tail(&s, &app, &some).await, lines[17..]);
}

/// A query for a process type gets its lines only, and so many of them.
pub async fn a_process_type_is_selected(s: LogSubject) {
    let app = app();
    let kind = |n| ["web", "worker"].get(usize::try_from(n % 3).unwrap_or_default()).copied();
    append(&s, &app, (0..30).map(|n| line(n, kind(n), n.to_string())).collect()).await;
    let query = LogQuery { lines: 4, process: ProcessType::new("worker").ok(), follow: false };
    let texts: Vec<String> = tail(&s, &app, &query).await.into_iter().map(|l| l.text).collect();
    assert_eq!(texts, ["19", "22", "25", "28"]);
}

/// A line whose id the app's newest lines have is dropped, whichever append it comes in; a line without one never is.
pub async fn a_line_with_an_id_is_kept_once(s: LogSubject) {
    let (app, other) = (app(), app());
    let event = Uuid::new_v4();
    let told = |n: u32| {
        let id = Some(LineId { event, line: n });
        LogLine { id, ..line(i64::from(n), None, n.to_string()) }
    };
    let mut stream = open(&s, &app, &LogQuery { follow: true, ..LogQuery::default() }).await;
    append(&s, &app, vec![told(0), told(1), told(1)]).await;
    append(&s, &app, vec![told(0), told(1), told(2)]).await;
    append(&s, &app, vec![told(2)]).await;
    append(&s, &app, vec![line(3, None, "again"), line(3, None, "again")]).await;
    append(&s, &other, vec![told(0)]).await;
    let expected = ["0", "1", "2", "again", "again"];
    let texts: Vec<String> = tail(&s, &app, &LogQuery::default()).await.into_iter().map(|l| l.text).collect();
    assert_eq!(texts, expected);
    for text in expected {
        assert_eq!(next(&mut stream).await.as_deref(), Some(text), "whoever follows gets each once");
    }
    assert_eq!(tail(&s, &other, &LogQuery::default()).await.len(), 1, "apps do not share ids");
}

/// Whoever follows gets what is there, then what comes, each line once.
pub async fn following_goes_on(s: LogSubject) {
    let app = app();
    append(&s, &app, vec![line(1, None, "before")]).await;
    let query = LogQuery { follow: true, process: None, lines: 10 };
    let mut stream = open(&s, &app, &query).await;
    assert_eq!(next(&mut stream).await.as_deref(), Some("before"));
    for n in 0..5 {
        append(&s, &app, vec![line(2 + n, Some("web"), format!("later {n}"))]).await;
        assert_eq!(next(&mut stream).await, Some(format!("later {n}")));
    }
}

/// Following may begin before there is any line, and leaves other types out.
pub async fn following_selects(s: LogSubject) {
    let app = app();
    let query = LogQuery { follow: true, process: Some(ProcessType::web()), lines: 10 };
    let mut stream = open(&s, &app, &query).await;
    append(&s, &app, vec![line(1, Some("worker"), "no"), line(2, None, "no"), line(3, Some("web"), "yes")])
        .await;
    assert_eq!(next(&mut stream).await.as_deref(), Some("yes"));
}

/// An app without lines gives an empty stream.
pub async fn an_unknown_app_has_no_lines(s: LogSubject) {
    assert!(tail(&s, &app(), &LogQuery::default()).await.is_empty());
    s.forget(&app()).await.expect("nothing is forgotten");
}

/// Forgetting removes all lines of that life of the app and ends whoever follows; others keep theirs.
pub async fn forgetting_is_complete(s: LogSubject) {
    let (gone, kept) = (app(), app());
    append(&s, &gone, vec![line(1, None, "gone")]).await;
    append(&s, &kept, vec![line(1, None, "kept")]).await;
    let mut stream = open(&s, &gone, &LogQuery { follow: true, ..LogQuery::default() }).await;
    assert_eq!(next(&mut stream).await.as_deref(), Some("gone"));
    s.forget(&gone).await.expect("it is forgotten");
    assert_eq!(next(&mut stream).await, None);
    assert!(tail(&s, &gone, &LogQuery::default()).await.is_empty());
    assert_eq!(tail(&s, &kept, &LogQuery::default()).await.len(), 1);
}

/// A reader that stalls holds up nobody, and goes on with newer lines when it wakes up.
pub async fn a_slow_reader_holds_up_nobody(s: LogSubject) {
    let app = app();
    let mut stream = open(&s, &app, &LogQuery { follow: true, ..LogQuery::default() }).await;
    for n in 0..100 {
        let batch = (0..200).map(|m| line(n, Some("web"), format!("{n}.{m} {}", "x".repeat(100)))).collect();
        timeout(PATIENCE, s.append(&app, batch)).await.expect("no reader holds it up").expect("it is taken");
    }
    append(&s, &app, vec![line(1000, Some("web"), "the last")]).await;
    while let Some(text) = next(&mut stream).await {
        if text == "the last" {
            return;
        }
    }
    panic!("the stream ended before the last line");
}

/// What is kept is bounded, and the newest is kept.
pub async fn what_is_kept_is_bounded(s: LogSubject) {
    let app = app();
    let written = 60_000;
    for n in 0..60 {
        let batch = (0..1000).map(|m| line(n, Some("web"), format!("{n}.{m} {}", "y".repeat(100)))).collect();
        append(&s, &app, batch).await;
    }
    let all = tail(&s, &app, &LogQuery { lines: usize::MAX, ..LogQuery::default() }).await;
    assert!(!all.is_empty() && all.len() < written, "{} of {written} lines are kept", all.len());
    assert!(all.last().is_some_and(|line| line.text.starts_with("59.999 ")));
}

/// Hands the names of all cases of [`conformance::logs`](crate::conformance::logs) to a macro of yours, after
/// whatever else it shall get: what a new log store forgets to run does not compile out of sight.
///
/// ```
/// macro_rules! count {
///     ($($case:ident)*) => { [$(stringify!($case)),*].len() };
/// }
/// assert_eq!(deis_core::log_cases!(count;), 9);
/// ```
#[macro_export]
macro_rules! log_cases {
    ($with:ident; $($own:tt)*) => {
        $with! { $($own)*
            the_newest_lines_come_in_order
            a_process_type_is_selected
            a_line_with_an_id_is_kept_once
            following_goes_on
            following_selects
            an_unknown_app_has_no_lines
            forgetting_is_complete
            a_slow_reader_holds_up_nobody
            what_is_kept_is_bounded
        }
    };
}
