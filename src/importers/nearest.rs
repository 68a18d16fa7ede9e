//! The nearest known name to one that is not known.

/// The name that a text most likely meant: at most a third of its letters differ.
pub(super) fn of<'a>(text: &str, names: &[&'a str]) -> Option<&'a str> {
    let text: Vec<char> = text.chars().take(64).flat_map(char::to_lowercase).collect();
    let limit = text.len().div_ceil(3);
    names
        .iter()
        .map(|name| (distance(&text, &name.chars().collect::<Vec<_>>()), *name))
        .min()
        .filter(|(distance, _)| *distance <= limit)
        .map(|(_, name)| name)
}

/// Insertions, deletions and replacements that lead from one text to the other.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (at, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = at + 1;
        for (column, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_finds_its_name_and_another_word_finds_none() {
        let names = ["quantity", "price", "amount"];
        assert_eq!(of("qty", &names), None);
        assert_eq!(of("quantty", &names), Some("quantity"));
        assert_eq!(of("Prices", &names), Some("price"));
        assert_eq!(of("colour", &names), None);
        assert_eq!(of("", &names), None);
    }
}
