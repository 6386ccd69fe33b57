//! What went wrong, in words for a status or a line of the log.

/// An error with all its causes, on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// What fits a status of a line that the server printed: its end, where the cause of a failed start
/// stands.
pub fn shorten(line: &str) -> String {
    const FITS: usize = 160;
    let skip = line.chars().count().saturating_sub(FITS);
    let end: String = line.chars().skip(skip).collect();
    // what is left of a word or a key that was cut in two says nothing
    end.trim_start_matches([':', ',', ';', ' ', '}', ']', ')', '"'])
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_keeps_its_end_and_begins_with_a_word() {
        assert_eq!(shorten("panic: no such file"), "panic: no such file");
        let end = "x".repeat(158);
        // cut in front of, within and behind what stands between two words
        for between in [": ", ", ", "\": \"", "}]), "] {
            for cut in 0..=between.len() {
                let kept = &between[cut..];
                let end = &end[kept.len()..];
                assert_eq!(
                    shorten(&format!("{}{between}{end}xx", "a".repeat(200))),
                    format!("{end}xx")
                );
            }
        }
        assert_eq!(shorten(&"é".repeat(200)), "é".repeat(160));
    }
}
