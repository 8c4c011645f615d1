//! What people and scripts read: data on standard output, progress on standard error.

use std::{
    future::Future,
    io::{IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::error::{ClientError, Result};

/// Runs `work` under an action line (`Scaling processes... done in 3s`), with a sign of life while it takes long.
///
/// Ctrl-C detaches: `detached` says what goes on without us.
pub(super) async fn action<T>(
    title: &str,
    detached: &str,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let started = Instant::now();
    let mut interrupts = interrupts()?;
    let dots = if title.ends_with('!') { "" } else { "..." };
    eprint!("{title}{dots} ");
    let _ = std::io::stderr().flush();
    let mut tick = tokio::time::interval(Duration::from_secs(5));
    tick.tick().await;
    tokio::pin!(work);
    loop {
        tokio::select! {
            result = &mut work => {
                match &result {
                    Ok(_) if started.elapsed() >= Duration::from_secs(1) => {
                        eprintln!("done in {}s", started.elapsed().as_secs());
                    }
                    Ok(_) => eprintln!("done"),
                    Err(_) => eprintln!("failed"),
                }
                return result;
            }
            _ = tick.tick() => {
                if std::io::stderr().is_terminal() {
                    eprint!(".");
                } else {
                    eprintln!("still at it after {}s", started.elapsed().as_secs());
                }
                let _ = std::io::stderr().flush();
            }
            _ = interrupts.recv() => return Err(ClientError::Interrupted(detached.to_owned())),
        }
    }
}

/// Ctrl-C from now on. Every one arrives, also one that comes while nobody waits for it.
pub(super) fn interrupts() -> Result<Signal> {
    signal(SignalKind::interrupt()).map_err(ClientError::Start)
}

/// Prints a value as JSON for scripts.
pub(super) fn json(value: &Value) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|e| ClientError::Other(e.to_string()))?;
    line(&text);
    Ok(())
}

/// Prints a line of data; a closed pipe ends the program silently, as it ends `head`'s other end.
pub(super) fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{text}").is_err() {
        std::process::exit(0);
    }
}

/// Prints `=== title`.
pub(super) fn heading(title: &str) {
    line(&format!("=== {title}"));
}

/// Prints a list heading that says how much of it is shown.
pub(super) fn list_heading(title: &str, shown: usize, total: u64) {
    if u64::try_from(shown).is_ok_and(|s| s == total) {
        heading(title);
    } else {
        heading(&format!("{title} ({shown} of {total})"));
    }
}

/// Prints rows with aligned columns.
pub(super) fn table(rows: &[Vec<String>]) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        line(&aligned(row, &widths));
    }
}

/// A row with its cells at their columns. Further lines of the last cell stay below it.
fn aligned(row: &[String], widths: &[usize]) -> String {
    let Some((last, cells)) = row.split_last() else { return String::new() };
    let padded: Vec<String> =
        cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}   ")).collect();
    let mut text = padded.concat();
    let below = format!("\n{}", " ".repeat(text.chars().count()));
    text.push_str(&last.replace('\n', &below));
    text.trim_end().to_owned()
}

/// How long ago a time was; the text itself if it is no time.
pub(super) fn ago(time: &str) -> String {
    time.parse().map_or_else(
        |_| time.to_owned(),
        |then: jiff::Timestamp| since(jiff::Timestamp::now().as_second() - then.as_second()),
    )
}

fn since(seconds: i64) -> String {
    const UNITS: [(i64, &str); 6] = [
        (365 * 86_400, "year"),
        (30 * 86_400, "month"),
        (86_400, "day"),
        (3600, "hour"),
        (60, "minute"),
        (1, "second"),
    ];
    UNITS.iter().find(|(size, _)| seconds >= *size).map_or_else(
        || "just now".to_owned(),
        |(size, unit)| {
            let count = seconds / size;
            format!("{count} {unit}{} ago", if count == 1 { "" } else { "s" })
        },
    )
}

/// Prints a warning on standard error.
pub(super) fn warn(text: &str) {
    for part in text.lines() {
        eprintln!(" !    {part}");
    }
}

/// A text field of a JSON object; empty if it is missing or null.
pub(super) fn text(value: &Value, field: &str) -> String {
    match value.get(field) {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => String::new(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_relative() {
        for (seconds, text) in [
            (-5, "just now"),
            (1, "1 second ago"),
            (59, "59 seconds ago"),
            (3599, "59 minutes ago"),
            (86_400, "1 day ago"),
            (400 * 86_400, "1 year ago"),
        ] {
            assert_eq!(since(seconds), text);
        }
        assert!(ago("2020-01-01T00:00:00Z").ends_with("years ago"));
        assert_eq!(ago("yesterday"), "yesterday");
    }

    #[test]
    fn further_lines_of_a_value_are_no_rows() {
        let row = ["KEY".to_owned(), "one\ntwo  ".to_owned()];
        assert_eq!(aligned(&row, &[5, 3]), "KEY     one\n        two");
    }
}
