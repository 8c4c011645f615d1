//! Words as a POSIX shell reads them.

use std::fmt::Write as _;

/// The word so that a shell takes it as one word and as it is.
pub(super) fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-=./:@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// The word on one line, whatever is in it, for shells that know `$'…'`.
pub(super) fn quote_on_one_line(word: &str) -> String {
    if !word.contains(char::is_control) {
        return quote(word);
    }
    let mut text = String::from("$'");
    for c in word.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '\'' => text.push_str("\\'"),
            '\n' => text.push_str("\\n"),
            c if c.is_control() => {
                let _ = write!(text, "\\x{:02x}", u32::from(c));
            }
            c => text.push(c),
        }
    }
    text.push('\'');
    text
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
    fn a_word_with_line_breaks_fits_on_one_line() {
        assert_eq!(quote_on_one_line("A=x\ny\\'\t"), r"$'A=x\ny\\\'\x09'");
        assert_eq!(quote_on_one_line("A=x y"), "'A=x y'");
    }

    #[test]
    fn one_word_is_a_text_for_the_shell() {
        assert_eq!(command(&["echo $A; exit 7".to_owned()]), "echo $A; exit 7");
    }
}
