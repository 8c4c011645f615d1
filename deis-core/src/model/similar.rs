//! Which of some words was probably meant.

use super::ProcessType;

/// So many letters may differ between a word and the one that was probably meant.
const MAX_DISTANCE: usize = 2;

/// The process type that was probably meant to be `word`: the one that differs from it in the fewest letters, and in no
/// more than two.
pub fn probably_meant<'a>(
    word: &str,
    among: impl Iterator<Item = &'a ProcessType>,
) -> Option<&'a ProcessType> {
    let near = among.map(|process| (distance(process.as_str(), word), process));
    near.filter(|(far, _)| *far <= MAX_DISTANCE).min().map(|(_, process)| process)
}

/// How many letters must be put in, left out or replaced to make one word of the other.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.chars().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_letters() {
        for (word, far) in
            [("web", 0), ("wbe", 2), ("we", 1), ("webs", 1), ("xweb", 1), ("", 3), ("worker", 4)]
        {
            assert_eq!(distance(word, "web"), far, "{word}");
        }
    }
}
