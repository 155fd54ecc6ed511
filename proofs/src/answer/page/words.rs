//! Names of programs, in words.

/// A name such as `FundsHeld` or `effective_date` reads `Funds held` and `effective date`. Any other is left as it is.
pub(super) fn words(name: &str) -> String {
    let is_camel = name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.chars().all(|c| c.is_ascii_alphanumeric());
    let is_snake = !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if is_snake {
        return name.replace('_', " ");
    }
    if !is_camel {
        return name.to_owned();
    }
    let mut words = String::with_capacity(name.len() + 4);
    let mut before = None;
    for c in name.chars() {
        let begins = c.is_ascii_uppercase()
            && before.is_some_and(|before: char| !before.is_ascii_uppercase());
        if begins {
            words.push(' ');
            words.push(c.to_ascii_lowercase());
        } else {
            words.push(c);
        }
        before = Some(c);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_programs_read_as_words_and_others_are_left() {
        for (name, expected) in [
            ("FundsHeld", "Funds held"),
            ("AccountUnfrozen", "Account unfrozen"),
            ("IBANChanged", "IBANChanged"),
            ("effective_date", "effective date"),
            ("reason", "reason"),
            ("Tax number", "Tax number"),
            ("<b>", "<b>"),
            ("", ""),
        ] {
            assert_eq!(words(name), expected);
        }
    }
}
