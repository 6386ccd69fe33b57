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
