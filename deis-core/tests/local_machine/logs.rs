//! The output of real processes, as the file log store shows it.

use std::{fs, time::Duration};

use deis_core::{
    ProcessType, Timestamp,
    logs::FileLogs,
    model::{Instance, LogLevel, LogLine, LogQuery, LogSource},
    port::{LogStore, LogStream},
};
use futures_util::StreamExt as _;

use crate::support::{Machine, eventually, python, serve, web};

async fn tail(machine: &Machine, query: LogQuery) -> LogStream {
    FileLogs::new(machine.run_dir()).tail(&machine.app, &query).await.unwrap()
}

pub(crate) async fn all(machine: &Machine) -> Vec<LogLine> {
    tail(machine, LogQuery { lines: usize::MAX, ..LogQuery::default() })
        .await
        .map(Result::unwrap)
        .collect()
        .await
}

async fn next(stream: &mut LogStream) -> LogLine {
    tokio::time::timeout(Duration::from_secs(20), stream.next()).await.expect("in time").unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn output_is_followed_across_a_rollout_together_with_platform_lines() {
    let mut machine = Machine::new();
    let scheduler = machine.open().await;
    let logs = FileLogs::new(machine.run_dir());
    let mut stream = tail(&machine, LogQuery { follow: true, ..LogQuery::default() }).await;
    machine.apply(&scheduler, 1, web(format!("echo one; {}", serve()))).await;
    let line = next(&mut stream).await;
    let ready = machine.found(&scheduler, "a ready instance", Instance::is_ready).await;
    let source = LogSource::Process {
        process: ProcessType::web(),
        release: ready.release,
        instance: ready.name.clone(),
    };
    assert_eq!((line.source, line.text.as_str()), (source, "one"));
    let line = next(&mut stream).await;
    assert_eq!(line.text, "listening");

    let source = LogSource::Platform { level: LogLevel::Info };
    let said = LogLine::new(Timestamp(line.at.0 + 1), source, "v2 is coming");
    logs.append(&machine.app, vec![said.clone()]).await.unwrap();
    assert_eq!(next(&mut stream).await, said);
    machine.apply(&scheduler, 1, web(format!("echo two; {}", serve()))).await;
    assert_eq!(next(&mut stream).await.text, "two");
    assert_eq!(next(&mut stream).await.text, "listening");
    eventually("one instance", || async { (machine.instances(&scheduler).await.len() == 1).then_some(()) })
        .await;
    let texts: Vec<String> = all(&machine).await.into_iter().map(|l| l.text).collect();
    assert_eq!(texts, ["one", "listening", "v2 is coming", "two", "listening"], "ended ones are kept");
    logs.forget(&machine.app).await.unwrap();
    machine.remove(&scheduler).await;
    assert!(all(&machine).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_of_the_config_is_warned_of_once() {
    let mut machine = Machine::new();
    let scheduler = machine.open().await;
    let mut template = web(serve());
    template.env.insert("PORT".to_owned(), "5000".to_owned());
    machine.apply(&scheduler, 2, template).await;
    eventually("two ready instances", || async {
        (machine.instances(&scheduler).await.iter().filter(|i| i.is_ready()).count() == 2).then_some(())
    })
    .await;
    let warning = LogSource::Platform { level: LogLevel::Warning };
    let warnings: Vec<LogLine> = all(&machine).await.into_iter().filter(|l| l.source == warning).collect();
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].text.starts_with("PORT=5000 "), "{}", warnings[0].text);
    machine.remove(&scheduler).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_bounded_and_holds_up_nobody() {
    let mut machine = Machine::new();
    let scheduler = machine.open().await;
    let mut stalled = tail(&machine, LogQuery { follow: true, ..LogQuery::default() }).await;
    let flood = r#"import os,sys
w=sys.stdout.buffer.write
for n in range(40000): w(b"%d %s\n" % (n, b"z"*200))
w(b"\x1b\xff\x00 binary\n" + b"long"*100000 + b"\nlast\n"); sys.stdout.flush()
os.execv(sys.executable,[sys.executable,"-S","server.py"])"#;
    machine.apply(&scheduler, 1, web(python(flood))).await;
    let ready = machine.found(&scheduler, "a ready instance", Instance::is_ready).await;
    let folder = machine.folder_of(&ready.name);
    let size = |name| fs::metadata(folder.join(name)).map_or(0, |m| m.len());
    assert!(size("out.0") <= 1 << 20 && size("out.1") <= 1 << 20);
    let newest: Vec<LogLine> = tail(&machine, LogQuery { lines: 4, ..LogQuery::default() })
        .await
        .map(Result::unwrap)
        .collect()
        .await;
    assert!(newest.iter().all(|line| line.text.len() <= 64 * 1024));
    eventually("the last line is there", || async {
        all(&machine).await.iter().any(|line| line.text == "last").then_some(())
    })
    .await;
    let text = next(&mut stalled).await.text;
    assert!(text.contains('z'), "whoever stalled goes on with what is there: {text}");
    machine.remove(&scheduler).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn little_output_of_many_ended_instances_is_kept() {
    let mut machine = Machine::new();
    let scheduler = machine.open().await;
    for n in 0..13 {
        machine.apply(&scheduler, 1, web(format!("echo {n}; {}", serve()))).await;
        eventually("the new instance alone", || async {
            let seen = machine.instances(&scheduler).await;
            let printed = all(&machine).await.iter().any(|line| line.text == n.to_string());
            (seen.len() == 1 && seen[0].is_ready() && printed).then_some(())
        })
        .await;
    }
    let texts: Vec<String> = all(&machine).await.into_iter().map(|l| l.text).collect();
    assert!((0..13).all(|n| texts.contains(&n.to_string())), "{texts:?}");
    machine.remove(&scheduler).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_beginning_of_a_line_is_shown_when_its_end_does_not_come() {
    let mut machine = Machine::new();
    let scheduler = machine.open().await;
    machine.apply(&scheduler, 1, web(format!("printf \"half a line\"; {} > /dev/null", serve()))).await;
    eventually("the beginning is shown while it runs", || async {
        all(&machine).await.iter().any(|line| line.text == "half a line").then_some(())
    })
    .await;
    machine.remove(&scheduler).await;
}
