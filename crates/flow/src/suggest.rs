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
    let letters = Letters::of(&lower);
    candidates
        .filter(|candidate| *candidate != typed)
        .filter_map(|candidate| {
            let other = candidate.chars().count();
            let most = other.max(length).div_ceil(3);
            // Each character more or less is a mistake, and seen for less than a comparison; so is each that the
            // other does not have.
            if other.abs_diff(length) > most {
                return None;
            }
            let candidate_lower = candidate.to_lowercase();
            if letters.mistakes(&Letters::of(&candidate_lower)) > most {
                return None;
            }
            let distance = strsim::damerau_levenshtein(&lower, &candidate_lower);
            (distance <= most).then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How often each character stands in a text, wherever; some share a place.
struct Letters([u8; Letters::PLACES]);

impl Letters {
    const PLACES: usize = 32;

    fn of(text: &str) -> Self {
        let mut letters = Self([0; Self::PLACES]);
        for c in text.chars() {
            if let Some(count) = letters.0.get_mut(c as usize % Self::PLACES) {
                *count = count.saturating_add(1);
            }
        }
        letters
    }

    /// At least so many characters are mistaken between the two texts.
    fn mistakes(&self, other: &Self) -> usize {
        let sum = |one: &Self, other: &Self| {
            one.0.iter().zip(other.0).map(|(one, other)| usize::from(one.saturating_sub(other))).sum::<usize>()
        };
        sum(self, other).max(sum(other, self))
    }
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
