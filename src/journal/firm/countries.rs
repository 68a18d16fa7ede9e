//! Countries by their codes in ISO 3166-1, two letters each.

const CODES: &str = "\
AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ \
CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO \
FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE \
JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO \
MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW \
PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM \
TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW";

/// A country's code, in capitals.
///
/// # Errors
/// A sentence that says what to write instead.
pub(crate) fn country(text: &str) -> Result<Box<str>, String> {
    let code = text.trim().to_ascii_uppercase();
    if CODES.split(' ').any(|known| known == code) {
        return Ok(code.into());
    }
    let shown: String = text.chars().take(40).collect();
    let hint = if code == "UK" { " (the United Kingdom is GB)" } else { "" };
    Err(format!("`{shown}` is no country of ISO 3166: write its two letters, such as US or DE{hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_two_capitals_and_they_are_in_order() {
        let codes: Vec<&str> = CODES.split(' ').collect();
        assert_eq!(codes.len(), 249);
        assert!(codes.is_sorted_by(|a, b| a < b));
        assert!(codes.iter().all(|code| code.len() == 2 && code.bytes().all(|b| b.is_ascii_uppercase())));
    }

    #[test]
    fn a_country_is_known_by_its_two_letters_alone() {
        assert_eq!(country(" us ").as_deref(), Ok("US"));
        assert!(country("UK").unwrap_err().contains("GB"));
        for wrong in ["", "USA", "ZZ", "A D", "AD AE", "Germany"] {
            assert!(country(wrong).is_err(), "{wrong}");
        }
    }
}
