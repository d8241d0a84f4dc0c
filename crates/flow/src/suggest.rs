//! The name that was meant.

/// Longer texts are not compared, in bytes.
const MAX_TYPED: usize = 200;

/// The candidate that a typing mistake most likely stood for, if one is near enough.
pub fn nearest<'c>(typed: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    // Comparing costs the product of both lengths, and nobody mistypes that much.
    if typed.len() > MAX_TYPED {
        return None;
    }
    let lower = typed.to_lowercase();
    let length = lower.chars().count();
    candidates
        .filter(|candidate| *candidate != typed)
        .filter_map(|candidate| {
            let other = candidate.chars().count();
            let most = other.max(length).div_ceil(3);
            // Each character more or less is a mistake, and seen for less than a comparison.
            let distance = (other.abs_diff(length) <= most)
                .then(|| strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()))?;
            (distance <= most).then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_only() {
        let names = || ["fetch_text", "classify", "llm"].into_iter();
        assert_eq!(nearest("fetch_txt", names()), Some("fetch_text"));
        assert_eq!(nearest("Classify", names()), Some("classify"));
        assert_eq!(nearest("summary", names()), None);
        assert_eq!(nearest("llm", names()), None);
    }
}
