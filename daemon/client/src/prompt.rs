//! Questions to the person at the terminal.

use std::io::IsTerminal as _;

use super::error::{ClientError, Result};

/// Reads an answer; `instead` says what to give where nobody answers.
pub(super) fn ask(question: &str, instead: &str) -> Result<String> {
    eprint!("{question}");
    let mut line = String::new();
    if std::io::stdin().read_line(&mut line).map_err(|e| unreadable(question, e))? == 0 {
        eprintln!();
        return Err(unanswered(question, instead));
    }
    Ok(line.trim().to_owned())
}

/// Reads an answer without showing it, from a terminal only.
pub(super) fn ask_secret(question: &str, instead: &str) -> Result<String> {
    if !std::io::stdin().is_terminal() {
        return Err(unanswered(question, instead));
    }
    rpassword::prompt_password(question).map_err(|e| unreadable(question, e))
}

fn unanswered(question: &str, instead: &str) -> ClientError {
    let question = question.lines().last().unwrap_or_default().trim_end_matches([':', '>', ' ']);
    ClientError::Usage(if question.is_empty() {
        format!("nobody answers here: {instead}")
    } else {
        format!("nobody answers {question:?} here: {instead}")
    })
}

fn unreadable(question: &str, source: std::io::Error) -> ClientError {
    ClientError::File { what: format!("cannot read the answer to {:?}", question.trim_end()), source }
}
