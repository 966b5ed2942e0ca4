//! Abbreviations of time zones, each with the offset that fail2ban takes it for, all year round.

/// Minutes east of UTC, and the abbreviations that mean it. A letter alone is the military zone. (Facts of the zones as
/// fail2ban has them: where an abbreviation has two meanings, the one that is used there.)
const ZONES: &[(i32, &str)] = &[
    (-720, "Y"),
    (-660, "X NUT SST"),
    (-600, "W CKT HAST HST TAHT TKT"),
    (-570, "MART MIT"),
    (-540, "V AKST GAMT GIT HADT HNY"),
    (-480, "U AKDT CIST HAY HNP PST PT"),
    (-420, "T HAP HNR MST PDT"),
    (-360, "S CST EAST GALT HAR HNC MDT"),
    (-300, "R CDT COT EASST ECT EST ET HAC HNE PET"),
    (-270, "HLV VET"),
    (-240, "Q AST BOT CLT COST EDT FKT GYT HAE HNA PYT"),
    (-210, "HNT NST NT"),
    (-180, "P ADT ART BRT CLST FKST GFT HAA PMST PYST SRT UYT WGT"),
    (-150, "HAT NDT"),
    (-120, "O BRST FNT PMDT UYST WGST"),
    (-60, "N AZOT CVT EGT"),
    (0, "Z EGST GMT UTC WET WT"),
    (60, "A CET DFT WAT WEDT WEST"),
    (120, "B CAT CEDT CEST EET SAST WAST"),
    (180, "C EAT EEDT EEST IDT MSK"),
    (210, "IRST"),
    (240, "D AMT AZT GET GST KUYT MSD MUT RET SAMT SCT"),
    (270, "AFT IRDT"),
    (300, "E AMST AQTT AZST HMT MAWT MVT PKT TFT TJT TMT UZT YEKT"),
    (330, "SLT"),
    (345, "NPT"),
    (360, "F ALMT BIOT BTT IOT KGT NOVT OMST YEKST"),
    (390, "CCT MMT"),
    (420, "G CXT DAVT HOVT ICT KRAT NOVST OMSST THA WIB"),
    (480, "H ACT AWST BDT BNT CAST HKT IRKT KRAST MYT PHT SGT ULAT WITA WST"),
    (540, "I AWDT IRKST JST KST PWT TLT WDT WIT YAKT"),
    (570, "ACST"),
    (600, "K AEST ChST PGT VLAT YAKST YAPT"),
    (630, "ACDT LHST"),
    (660, "L AEDT LHDT MAGT NCT PONT SBT VLAST VUT"),
    (690, "NFT"),
    (720, "M ANAST ANAT FJT GILT MAGST MHT NZST PETST PETT TVT WFT"),
    (780, "FJST NZDT"),
];

/// Minutes east of UTC that `CET`, `+0200`, `UTC+02:00` or `Z` mean; none for what is no zone.
pub(super) fn minutes(text: &str) -> Option<i32> {
    let at = text.find(['+', '-']).unwrap_or(text.len());
    let (name, offset) = text.split_at_checked(at)?;
    let named = if name.is_empty() { Some(0) } else { abbreviation(name) };
    if offset.is_empty() {
        return named.filter(|_| !name.is_empty());
    }
    let (sign, digits) = offset.split_at_checked(1)?;
    let hours: i32 = digits.get(..2)?.parse().ok()?;
    let rest = digits.get(2..)?;
    let rest = rest.strip_prefix(':').unwrap_or(rest);
    let minutes: i32 = if rest.is_empty() { 0 } else { rest.parse().ok()? };
    let offset = hours * 60 + minutes;
    Some(named? + if sign == "-" { -offset } else { offset })
}

fn abbreviation(name: &str) -> Option<i32> {
    let is_in = |(_, names): &&(i32, &str)| names.split(' ').any(|known| known == name);
    ZONES.iter().find(is_in).map(|(minutes, _)| *minutes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_names_and_offsets() {
        let zones = ["Z", "CET", "+0200", "-02:30", "UTC+01", "CEST-0100", "+02"];
        assert_eq!(zones.map(minutes), [0, 60, 120, -150, 60, 60, 120].map(Some));
        assert_eq!(["", "nowhere", "+", "+x"].map(minutes), [None; 4]);
    }
}
