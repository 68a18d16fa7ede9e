//! Tiles: 256 neighbouring hashes of every eighth level of the tree, and what their addresses look like.

use std::fmt;

/// Levels of the tree that a tile spans.
pub const TILE_LEVELS: u32 = 8;
/// Hashes in a full tile, and records in a full bundle.
pub const TILE_WIDTH: u64 = 1 << TILE_LEVELS;
/// The highest level that has a name.
const LEVEL_MAX: u8 = 63;

/// What is cut into tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tiled {
    /// The hashes of a level: 0 are the leaves, and each next one the roots over 256 of those before.
    Hashes(u8),
    /// The canonical records themselves.
    Entries,
}

/// The address of a tile, as `0/x001/x234/067.p/12`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TilePath {
    /// What is in it.
    pub of: Tiled,
    /// Its place in its row, from 0.
    pub index: u64,
    /// How many hashes or records of it are meant, from 1 to [`TILE_WIDTH`].
    pub width: u64,
}

impl TilePath {
    /// The tile with this index in a tree of `size` entries, as wide as it is there; none if it is empty.
    #[must_use]
    pub fn within(of: Tiled, index: u64, size: u64) -> Option<TilePath> {
        let level = match of {
            Tiled::Hashes(level) => u32::from(level),
            Tiled::Entries => 0,
        };
        let count = size.checked_shr(TILE_LEVELS * level).unwrap_or(0);
        let width = count.saturating_sub(index.checked_mul(TILE_WIDTH)?).min(TILE_WIDTH);
        (width > 0).then_some(TilePath { of, index, width })
    }

    /// Reads an address; there is one way to write each.
    #[must_use]
    pub fn parse(path: &str) -> Option<TilePath> {
        let (of, rest) = path.split_once('/')?;
        let of = match of {
            "entries" => Tiled::Entries,
            level => Tiled::Hashes(number(level)?.try_into().ok().filter(|level| *level <= LEVEL_MAX)?),
        };
        let (rest, width) = match rest.split_once(".p/") {
            Some((rest, width)) => (rest, number(width).filter(|width| (1..TILE_WIDTH).contains(width))?),
            None => (rest, TILE_WIDTH),
        };
        let groups: Vec<&str> = rest.split('/').collect();
        let last = groups.len() - 1;
        let mut index: u64 = 0;
        for (at, group) in groups.iter().enumerate() {
            let digits = if at == last { group } else { group.strip_prefix('x')? };
            let plain = digits.len() == 3 && digits.bytes().all(|byte| byte.is_ascii_digit());
            if !plain || (at == 0 && last > 0 && digits == "000") {
                return None;
            }
            index = index.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
        }
        Some(TilePath { of, index, width })
    }
}

/// A decimal number without leading zeros.
pub(crate) fn number(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let leading = text.len() > 1 && text.starts_with('0');
    if plain && !leading { text.parse().ok() } else { None }
}

impl fmt::Display for TilePath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.of {
            Tiled::Hashes(level) => write!(out, "{level}")?,
            Tiled::Entries => out.write_str("entries")?,
        }
        let mut groups = vec![self.index % 1000];
        let mut rest = self.index / 1000;
        while rest > 0 {
            groups.push(rest % 1000);
            rest /= 1000;
        }
        for (left, group) in (0..groups.len()).rev().zip(groups.iter().rev()) {
            write!(out, "/{}{group:03}", if left > 0 { "x" } else { "" })?;
        }
        if self.width < TILE_WIDTH {
            write!(out, ".p/{}", self.width)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_has_one_name_in_groups_of_three_digits() {
        for (text, of, index, width) in [
            ("0/000", Tiled::Hashes(0), 0, 256),
            ("1/x001/x234/067", Tiled::Hashes(1), 1_234_067, 256),
            ("63/999", Tiled::Hashes(63), 999, 256),
            ("entries/x001/000.p/17", Tiled::Entries, 1_000, 17),
            ("2/000.p/255", Tiled::Hashes(2), 0, 255),
        ] {
            let tile = TilePath { of, index, width };
            assert_eq!(TilePath::parse(text), Some(tile), "{text}");
            assert_eq!(tile.to_string(), text);
        }
        for bad in [
            "",
            "0",
            "0/",
            "00/000",
            "64/000",
            "-1/000",
            "x/000",
            "entries",
            "entries/",
            "entries/0",
            "0/x000/001",
            "0/001/002",
            "0/x001",
            "0/067.p/0",
            "0/067.p/256",
            "0/067.p/01",
            "0/067.p/",
            "0/06a",
            "0/067/",
            "0/+67",
            "0/067.p/+1",
        ] {
            assert_eq!(TilePath::parse(bad), None, "{bad}");
        }
        let far = format!("0/{}", "x999/".repeat(7) + "999");
        assert_eq!(TilePath::parse(&far), None, "more than 64 bits");
    }

    #[test]
    fn a_tree_has_the_tiles_that_its_size_fills() {
        let width =
            |level, index| TilePath::within(Tiled::Hashes(level), index, 70_000).map(|tile| tile.width);
        assert_eq!([width(0, 272), width(0, 273), width(0, 274)], [Some(256), Some(112), None]);
        assert_eq!([width(1, 0), width(1, 1), width(1, 2)], [Some(256), Some(17), None]);
        assert_eq!([width(2, 0), width(2, 1), width(3, 0), width(63, 0)], [Some(1), None, None, None]);
        assert_eq!(TilePath::within(Tiled::Entries, 0, 0), None);
        assert_eq!(TilePath::within(Tiled::Entries, u64::MAX, u64::MAX), None);
    }
}
