//! The nearest known name to one that is not known.

/// The name that a text most likely meant: at most a third of its letters differ.
pub(crate) fn of<'a>(text: &str, names: &[&'a str]) -> Option<&'a str> {
    let text: Vec<char> = text.chars().take(64).flat_map(char::to_lowercase).collect();
    let limit = text.len().div_ceil(3);
    names
        .iter()
        .map(|name| (distance(&text, &name.chars().collect::<Vec<_>>()), *name))
        .min()
        .filter(|(distance, _)| *distance <= limit)
        .map(|(_, name)| name)
}

/// The names that a text most likely meant, the likeliest first: at most a third of its letters differ.
pub(crate) fn several<'a>(text: &str, names: impl Iterator<Item = &'a str>, count: usize) -> Vec<&'a str> {
    let text: Vec<char> = text.chars().take(64).flat_map(char::to_lowercase).collect();
    let limit = text.len().div_ceil(3);
    let mut near: Vec<(usize, &str)> = names
        .filter_map(|name| {
            let letters: Vec<char> = name.chars().flat_map(char::to_lowercase).collect();
            // So many letters more or less are so many differences at least.
            if letters.len().abs_diff(text.len()) > limit {
                return None;
            }
            Some((distance(&text, &letters), name)).filter(|(distance, _)| *distance <= limit)
        })
        .collect();
    near.sort_unstable();
    near.dedup();
    near.into_iter().take(count).map(|(_, name)| name).collect()
}

/// Insertions, deletions, replacements and swaps of neighbours that lead from one text to the other.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for (x, letter) in a.iter().enumerate() {
        let above = &rows[x];
        let mut row = vec![x + 1];
        for (y, other) in b.iter().enumerate() {
            let mut least = (above[y] + usize::from(letter != other)).min(above[y + 1] + 1).min(row[y] + 1);
            if x > 0 && y > 0 && *letter == b[y - 1] && a[x - 1] == *other {
                least = least.min(rows[x - 1][y - 1] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_of_many_come_first_and_far_ones_not_at_all() {
        let names = ["AAPL", "APPL", "AAP", "MSFT", "APLE", "GOOG"];
        assert_eq!(several("aapl", names.into_iter(), 2), ["AAPL", "AAP"]);
        assert_eq!(several("APPL", names.into_iter(), 9), ["APPL", "AAPL", "AAP", "APLE"]);
        assert!(several("TSLA", names.into_iter(), 9).is_empty());
        assert!(several("", names.into_iter(), 9).is_empty());
    }

    #[test]
    fn a_slip_of_the_pen_finds_its_name_and_another_word_finds_none() {
        let names = ["quantity", "price", "amount"];
        assert_eq!(of("qty", &names), None);
        assert_eq!(of("quantty", &names), Some("quantity"));
        assert_eq!(of("Prices", &names), Some("price"));
        assert_eq!(of("pirce", &names), Some("price"));
        assert_eq!(of("tpye", &["time", "type"]), Some("type"));
        assert_eq!(of("colour", &names), None);
        assert_eq!(of("", &names), None);
    }
}
