//! Kubernetes' quantities: `100m`, `512Mi`, `10Gi`. Only computes.

/// The units, with what they stand for.
const UNITS: [(&str, f64); 15] = [
    ("", 1.0),
    ("u", 1e-6),
    ("m", 1e-3),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
    ("E", 1e18),
    ("Ki", 1_024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("Pi", 1_125_899_906_842_624.0),
    ("Ei", 1_152_921_504_606_846_976.0),
];

/// Is it one above zero: digits, perhaps with a fraction, and a unit?
pub(super) fn is(text: &str) -> bool {
    number(text).is_some()
}

/// So many bytes, whole ones.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is above zero, and one that is too large becomes the largest"
)]
pub(super) fn bytes(text: &str) -> Option<u64> {
    number(text).map(|number| number as u64)
}

fn number(text: &str) -> Option<f64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text.strip_prefix(digits)?;
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let is_plain = |byte: u8| byte.is_ascii_digit() || byte == b'.';
    let number: f64 = digits
        .parse()
        .ok()
        .filter(|_| digits.bytes().all(is_plain))?;
    (number > 0.0).then_some(number * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_bytes() {
        for (text, wanted) in [
            ("1Gi", Some(1_073_741_824)),
            ("1.5Gi", Some(1_610_612_736)),
            ("512M", Some(512_000_000)),
            ("4096", Some(4096)),
            ("1500m", Some(1)),
            ("0Gi", None),
            ("-1Gi", None),
            ("10GiB", None),
            ("Gi", None),
            ("", None),
        ] {
            assert_eq!(bytes(text), wanted, "{text}");
            assert_eq!(is(text), wanted.is_some(), "{text}");
        }
    }
}
