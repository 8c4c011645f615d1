//! The Procfile: one process type and its command a line.

use std::collections::BTreeMap;

use super::ProcessType;

/// A Procfile that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Procfile line {line} is not valid: {reason}: {text:?}")]
pub struct ProcfileError {
    /// Line number, from 1.
    pub line: usize,
    /// The line as it stands.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Parses `name: command` lines; blank lines and lines that start with `#` are skipped.
///
/// ```
/// let processes = deis_core::parse_procfile("web: python server.py\n# comment\n").unwrap();
/// assert_eq!(processes.len(), 1);
/// ```
pub fn parse_procfile(text: &str) -> Result<BTreeMap<ProcessType, String>, ProcfileError> {
    let mut processes = BTreeMap::new();
    for (index, raw) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = raw.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let error = |reason: String| ProcfileError { line: index + 1, text: shorten(line), reason };
        let (name, command) =
            line.split_once(':').ok_or_else(|| error("it must read `name: command`".to_owned()))?;
        let name = ProcessType::new(name.trim()).map_err(|e| error(e.to_string()))?;
        let command = command.trim();
        if command.is_empty() {
            return Err(error(format!("process type {name} has no command")));
        }
        if command.contains('\0') {
            return Err(error("a command must not contain a NUL byte".to_owned()));
        }
        if processes.insert(name.clone(), command.to_owned()).is_some() {
            return Err(error(format!("process type {name} is named twice")));
        }
    }
    Ok(processes)
}

fn shorten(line: &str) -> String {
    line.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_types_and_commands() {
        let parsed = parse_procfile("web: python app.py --port $PORT\r\n\n# x\nworker:  run: it\n").unwrap();
        assert_eq!(parsed["web"], "python app.py --port $PORT");
        assert_eq!(parsed["worker"], "run: it");
    }

    #[test]
    fn names_the_bad_line() {
        let error = parse_procfile("web: x\nthis is no entry\n").unwrap_err();
        assert_eq!(error.line, 2);
        assert!(parse_procfile("web:\n").unwrap_err().to_string().contains("has no command"));
        assert!(parse_procfile("web: a\nweb: b\n").unwrap_err().to_string().contains("twice"));
        assert!(parse_procfile("We_b: a\n").unwrap_err().to_string().contains("process type"));
    }
}
