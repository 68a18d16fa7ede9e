//! Characters that nobody sees, or that change how those around them are seen, and what they are called.

/// Each range of such characters with what one of them is called, by the first of each in order. They are Unicode's
/// controls and format characters, its separators but the space, and the letters and marks that leave no trace.
const RANGES: &[(char, char, &str)] = &[
    ('\u{0}', '\u{1f}', "control character"),
    ('\u{7f}', '\u{9f}', "control character"),
    ('\u{a0}', '\u{a0}', "no-break space"),
    ('\u{ad}', '\u{ad}', "soft hyphen"),
    ('\u{34f}', '\u{34f}', "combining grapheme joiner"),
    ('\u{600}', '\u{605}', "Arabic number sign"),
    ('\u{61c}', '\u{61c}', "Arabic letter mark"),
    ('\u{6dd}', '\u{6dd}', "Arabic end of ayah"),
    ('\u{70f}', '\u{70f}', "Syriac abbreviation mark"),
    ('\u{890}', '\u{891}', "Arabic currency mark above"),
    ('\u{8e2}', '\u{8e2}', "Arabic disputed end of ayah"),
    ('\u{115f}', '\u{1160}', "Hangul filler"),
    ('\u{1680}', '\u{1680}', "Ogham space mark"),
    ('\u{17b4}', '\u{17b5}', "Khmer inherent vowel"),
    ('\u{180b}', '\u{180f}', "Mongolian variation selector"),
    ('\u{2000}', '\u{200a}', "space of another width"),
    ('\u{200b}', '\u{200b}', "zero width space"),
    ('\u{200c}', '\u{200c}', "zero width non-joiner"),
    ('\u{200d}', '\u{200d}', "zero width joiner"),
    ('\u{200e}', '\u{200e}', "left-to-right mark"),
    ('\u{200f}', '\u{200f}', "right-to-left mark"),
    ('\u{2028}', '\u{2028}', "line separator"),
    ('\u{2029}', '\u{2029}', "paragraph separator"),
    ('\u{202a}', '\u{202a}', "left-to-right embedding"),
    ('\u{202b}', '\u{202b}', "right-to-left embedding"),
    ('\u{202c}', '\u{202c}', "pop directional formatting"),
    ('\u{202d}', '\u{202d}', "left-to-right override"),
    ('\u{202e}', '\u{202e}', "right-to-left override"),
    ('\u{202f}', '\u{202f}', "narrow no-break space"),
    ('\u{205f}', '\u{205f}', "mathematical space"),
    ('\u{2060}', '\u{2060}', "word joiner"),
    ('\u{2061}', '\u{2064}', "invisible operator"),
    ('\u{2065}', '\u{2065}', "ignorable character"),
    ('\u{2066}', '\u{2069}', "directional isolate"),
    ('\u{206a}', '\u{206f}', "deprecated format character"),
    ('\u{2800}', '\u{2800}', "blank Braille pattern"),
    ('\u{3000}', '\u{3000}', "ideographic space"),
    ('\u{3164}', '\u{3164}', "Hangul filler"),
    ('\u{fe00}', '\u{fe0f}', "variation selector"),
    ('\u{feff}', '\u{feff}', "zero width no-break space"),
    ('\u{ffa0}', '\u{ffa0}', "halfwidth Hangul filler"),
    ('\u{fff0}', '\u{fff8}', "ignorable character"),
    ('\u{fff9}', '\u{fffb}', "interlinear annotation mark"),
    ('\u{110bd}', '\u{110bd}', "Kaithi number sign"),
    ('\u{110cd}', '\u{110cd}', "Kaithi number sign above"),
    ('\u{13430}', '\u{1343f}', "Egyptian hieroglyph format character"),
    ('\u{1bca0}', '\u{1bca3}', "shorthand format character"),
    ('\u{1d159}', '\u{1d159}', "null notehead"),
    ('\u{1d173}', '\u{1d17a}', "musical format character"),
    ('\u{e0000}', '\u{e0fff}', "tag or variation selector"),
];

/// What a character is called that is not seen; nothing of one that is, nor of the space.
pub(super) fn name(character: char) -> Option<&'static str> {
    let at = RANGES.partition_point(|(first, _, _)| *first <= character);
    let (_, last, name) = RANGES.get(at.checked_sub(1)?)?;
    (character <= *last).then_some(name)
}

/// Whether a character is not seen.
pub(crate) fn is(character: char) -> bool {
    name(character).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ranges_follow_each_other() {
        assert!(RANGES.iter().all(|(first, last, _)| first <= last));
        assert!(RANGES.windows(2).all(|pair| pair[0].1 < pair[1].0));
    }

    #[test]
    fn what_is_seen_has_no_such_name_and_every_control_and_odd_space_has_one() {
        for character in " AZaz09.-/^&+_éÑΑЯ株🙂".chars() {
            assert_eq!(name(character), None, "{character:?}");
        }
        for character in (0..=0x10_ffff).filter_map(char::from_u32) {
            let hidden = character.is_control() || character.is_whitespace() && character != ' ';
            assert!(!hidden || is(character), "{character:?}");
        }
        assert_eq!(name('\u{200b}'), Some("zero width space"));
        assert_eq!(name('\u{202e}'), Some("right-to-left override"));
        assert_eq!(name('\u{e0041}'), Some("tag or variation selector"));
    }
}
