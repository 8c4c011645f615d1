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

/// Largest Procfile, in bytes.
const MAX_BYTES: usize = 64 << 10;
/// Most process types.
const MAX_TYPES: usize = 100;

/// Parses `name: command` lines; blank lines and lines that start with `#` are skipped.
///
/// A command may be a quoted YAML scalar (the original reads the file as a YAML map). There is no more of YAML in it: a
/// list, a map, a tag, an anchor or a block is refused, for its author expects something else than a command.
///
/// # Errors
/// [`ProcfileError`] with the line that is wrong.
///
/// ```
/// use deis_core::model::parse_procfile;
///
/// let processes = parse_procfile("web: python server.py\n# comment\nworker: \"work 'it'\"\n").unwrap();
/// assert_eq!(processes["worker"], "work 'it'");
/// ```
pub fn parse_procfile(text: &str) -> Result<BTreeMap<ProcessType, String>, ProcfileError> {
    let mut processes = BTreeMap::new();
    let mut bytes = 0;
    for (index, raw) in text.split_inclusive('\n').enumerate() {
        let line = raw.trim_start_matches('\u{feff}').trim();
        let error = |reason: String| ProcfileError { line: index + 1, text: shorten(line), reason };
        bytes += raw.len();
        if bytes > MAX_BYTES {
            return Err(error(format!("the file is larger than {MAX_BYTES} bytes")));
        }
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, command) =
            line.split_once(':').ok_or_else(|| error("it must read `name: command`".to_owned()))?;
        let name = ProcessType::new(name.trim()).map_err(|e| error(e.to_string()))?;
        if name.as_str() == RESERVED {
            return Err(error(format!("process type {name} is reserved for one-off commands")));
        }
        let command = scalar(command.trim()).map_err(|reason| error(reason.to_owned()))?;
        if command.trim().is_empty() {
            return Err(error(format!("process type {name} has no command")));
        }
        if command.contains('\0') {
            return Err(error("a command must not contain a NUL byte".to_owned()));
        }
        if processes.len() == MAX_TYPES {
            return Err(error(format!("there are more than {MAX_TYPES} process types")));
        }
        if processes.insert(name.clone(), command).is_some() {
            return Err(error(format!("process type {name} is named twice")));
        }
    }
    Ok(processes)
}

/// What `deis run` calls its processes.
const RESERVED: &str = "run";

/// A command as written, or what its quotes hold if they hold all of it.
fn scalar(text: &str) -> Result<String, &'static str> {
    let encloses = |open, close| text.starts_with(open) && text.ends_with(close) && !text.starts_with("[[");
    let block = matches!(text, "|" | ">" | "|-" | ">-" | "|+" | ">+");
    if block
        || encloses('[', ']')
        || encloses('{', '}')
        || text.starts_with("!!")
        || text.starts_with(['&', '*'])
    {
        return Err("a command is one line of text, no other YAML");
    }
    match text.chars().next() {
        Some('"') => double_quoted(&text[1..]).map(|inner| inner.unwrap_or_else(|| text.to_owned())),
        Some('\'') => Ok(single_quoted(&text[1..]).unwrap_or_else(|| text.to_owned())),
        _ => Ok(text.to_owned()),
    }
}

/// The text up to the closing quote; `None` if more than a comment follows it, as in `"$HOME/bin/x" --flag`, where the
/// quotes are the shell's.
fn double_quoted(text: &str) -> Result<Option<String>, &'static str> {
    let mut inner = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return Ok(ends(chars.as_str()).then_some(inner)),
            '\\' => match chars.next() {
                Some(c @ ('"' | '\\' | '/')) => inner.push(c),
                Some('n') => inner.push('\n'),
                Some('t') => inner.push('\t'),
                // The shell's own, as in `"a\$b" c`, or YAML's that no command needs.
                _ if !closes_at_the_end(chars.as_str()) => return Ok(None),
                _ => return Err("its quoted text has an unknown escape"),
            },
            c => inner.push(c),
        }
    }
    Err("its quotes are not closed")
}

fn single_quoted(text: &str) -> Option<String> {
    let mut inner = String::new();
    let mut rest = text;
    loop {
        let (head, tail) = rest.split_once('\'')?;
        inner.push_str(head);
        match tail.strip_prefix('\'') {
            Some(more) => {
                inner.push('\'');
                rest = more;
            }
            None => return ends(tail).then_some(inner),
        }
    }
}

fn closes_at_the_end(rest: &str) -> bool {
    rest.rsplit_once('"').is_some_and(|(inner, tail)| ends(tail) && !inner.contains('"'))
}

/// Whether nothing but a comment follows a closing quote.
fn ends(tail: &str) -> bool {
    let trimmed = tail.trim_start();
    trimmed.is_empty() || trimmed.len() < tail.len() && trimmed.starts_with('#')
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
    #[test]
    fn a_quoted_scalar_is_what_its_quotes_hold() {
        for (line, command) in [
            (r#"web: "python3 -m http.server $PORT""#, "python3 -m http.server $PORT"),
            (r#"web: "say \"it\"\tC:\\x" # now"#, "say \"it\"\tC:\\x"),
            ("web: 'it''s me'", "it's me"),
            (r#"web: "$HOME/bin/x" --flag "y""#, r#""$HOME/bin/x" --flag "y""#),
            (r#"web: "a\$b" c"#, r#""a\$b" c"#),
            ("web: 'a' && 'b'", "'a' && 'b'"),
            ("web: [[ -n $A ]] && x", "[[ -n $A ]] && x"),
            ("web: yes", "yes"),
        ] {
            assert_eq!(parse_procfile(line).map(|all| all["web"].clone()).as_deref(), Ok(command), "{line}");
        }
    }

    #[test]
    fn what_is_no_command_is_refused() {
        for line in [
            "web: [a, b]",
            "web: {a: b}",
            "web: !!python/object x",
            "web: &a x",
            "web: *a",
            "web: |\n",
            "web: \"x",
            r#"web: "\x41""#,
            "web: ''",
            "web: \"\"",
            "web:\n  - a\n",
            "run: x",
        ] {
            assert!(parse_procfile(line).is_err(), "{line}");
        }
    }

    #[test]
    fn size_and_number_are_limited() {
        let long = format!("web: x\n{}", "# a comment\n".repeat(6000));
        assert!(parse_procfile(&long).unwrap_err().reason.contains("larger than 65536 bytes"));
        let many: Vec<String> = (0..101).map(|i| format!("p{i}: x")).collect();
        assert_eq!(parse_procfile(&many.join("\n")).unwrap_err().line, 101);
        assert_eq!(parse_procfile("\u{feff}web: x").unwrap().len(), 1);
    }
}
