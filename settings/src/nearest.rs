//! What somebody may have meant.

/// The candidate that `word` is most likely a slip of, where there is one near enough to name.
///
/// Case and the difference between `-` and `_` count for nothing.
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let word = plain(word);
    candidates
        .into_iter()
        .filter_map(|candidate| distance(&word, &plain(candidate)).map(|distance| (distance, candidate)))
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many slips apart two words are; `None` where they are too many for a slip: one in three characters is.
fn distance(word: &str, candidate: &str) -> Option<usize> {
    let length = word.chars().count().max(candidate.chars().count());
    let bound = (length / 3).max(1);
    // The length alone tells of words that differ too much, which spares the quadratic comparison of long ones.
    let difference = word.chars().count().abs_diff(candidate.chars().count());
    if difference > bound || length > LENGTH_MAX {
        return None;
    }
    Some(strsim::damerau_levenshtein(word, candidate))
        .filter(|&distance| distance <= bound && distance < length)
}

/// No key or name is longer; the comparison takes time in proportion to the square.
const LENGTH_MAX: usize = 64;

fn plain(word: &str) -> String {
    word.to_lowercase().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(word: &str, expected: Option<&str>) {
        assert_eq!(nearest(word, ["hostname", "listen", "max_bytes", "for", "file"]), expected);
    }

    #[test]
    fn a_slip_finds_its_word_and_a_stranger_finds_none() {
        check("hostnmae", Some("hostname"));
        check("Listen", Some("listen"));
        check("max-bytes", Some("max_bytes"));
        check("fro", Some("for"));
        check("flie", Some("file"));
        check("threshold", None);
        check("x", None);
        check("", None);
    }
}
