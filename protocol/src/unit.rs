//! SenML units (RFC 8428 §12.1 and RFC 8798). An unknown unit is worth a warning, never a refusal: a new sensor
//! must not be kept out by an old list.

/// The longest unit a declaration may carry, in bytes.
pub const MAX_UNIT: usize = 16;

/// The units registered by RFC 8428, then the secondary ones of RFC 8798.
const KNOWN: &[&str] = &[
    "m", "kg", "g", "s", "A", "K", "cd", "mol", "Hz", "rad", "sr", "N", "Pa", "J", "W", "C", "V", "F", "Ohm",
    "S", "Wb", "T", "H", "Cel", "lm", "lx", "Bq", "Gy", "Sv", "kat", "m2", "m3", "l", "m/s", "m/s2", "m3/s",
    "l/s", "W/m2", "cd/m2", "bit", "bit/s", "lat", "lon", "pH", "dB", "dBW", "Bspl", "count", "/", "%",
    "%RH", "%EL", "EL", "1/s", "1/min", "beat/min", "beats", "S/m", "B", "VA", "VAs", "var", "vars", "J/m",
    "kg/m3", "deg", "NTU", "ms", "min", "h", "MHz", "kW", "kVA", "kvar", "Ah", "Wh", "kWh", "varh", "kvarh",
    "kVAh", "Wh/km", "KiB", "GB", "Mbit/s", "B/s", "MB/s", "mV", "mA", "dBm", "ug/m3", "mm/h", "m/h", "ppm",
    "/100", "/1000", "hPa", "mm", "cm", "km", "km/h", "gravity", "dBm", "ppb", "dBi",
];

/// Whether `unit` is registered. The empty unit (no unit said) is known.
pub fn is_known(unit: &str) -> bool {
    unit.is_empty() || KNOWN.contains(&unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registered_units_are_known_and_others_are_not() {
        for unit in ["Cel", "%RH", "Pa", "m/s2", "hPa", ""] {
            assert!(is_known(unit), "{unit}");
        }
        assert!(!is_known("degC") && !is_known("celsius"));
        assert!(KNOWN.iter().all(|unit| unit.len() <= MAX_UNIT));
    }
}
