//! Words as a POSIX shell reads them.

/// The word so that a shell takes it as one word and as it is.
pub(super) fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-=./:@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// The text that a shell runs: one word is such a text already, several are a program and its arguments.
pub(super) fn command(words: &[String]) -> String {
    match words {
        [text] => text.clone(),
        _ => words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_back_the_same_words() {
        let words = ["sh", "-c", "exit 3", "it's", "", "$HOME", "*.rb", "a\nb"];
        let text = command(&words.map(str::to_owned));
        let script = format!("for word in {text}; do printf '%s|' \"$word\"; done");
        let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), words.map(|w| format!("{w}|")).concat());
    }

    #[test]
    fn one_word_is_a_text_for_the_shell() {
        assert_eq!(command(&["echo $A; exit 7".to_owned()]), "echo $A; exit 7");
    }
}
