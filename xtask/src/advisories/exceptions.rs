//! The known vulnerabilities that deny.toml excepts. Each says why it does no harm, and until when: cargo-deny reads neither.

use anyhow::{Result, bail};
use jiff::civil::Date;

/// Their ids. An error names the first exception that has ended, or that says too little.
pub fn read(rules: &str, today: Date) -> Result<Vec<String>> {
    let rules: toml::Table = toml::from_str(rules)?;
    let ignored = rules.get("advisories").and_then(|advisories| advisories.get("ignore"));
    let exceptions = ignored.and_then(toml::Value::as_array).into_iter().flatten();
    exceptions.map(|exception| id(exception, today)).collect()
}

fn id(exception: &toml::Value, today: Date) -> Result<String> {
    let text = |key| exception.get(key).and_then(toml::Value::as_str).unwrap_or_default();
    let (id, reason) = (text("id"), text("reason"));
    let until = reason.strip_prefix("until ").and_then(|rest| rest.split_once(": "));
    match until.map(|(date, why)| (date.parse::<Date>(), why)) {
        Some((Ok(date), why)) if !id.is_empty() && !why.is_empty() => {
            if date < today {
                bail!("the exception for {id} ended on {date}; look again whether it still does no harm");
            }
            Ok(id.to_owned())
        }
        _ => bail!("the exception {exception} has no reason like \"until 2027-01-31: why it does no harm\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn read_one(entry: &str, today: Date) -> Result<Vec<String>> {
        read(&format!("[advisories]\nignore = [{entry}]\n"), today)
    }

    #[test]
    fn an_exception_ends_on_its_date_and_has_a_reason() {
        let dated = r#"{ id = "RUSTSEC-1", reason = "until 2027-05-31: never called" }"#;
        assert_eq!(read_one(dated, date(2027, 5, 31)).unwrap(), ["RUSTSEC-1"]);
        let ended = read_one(dated, date(2027, 6, 1)).unwrap_err().to_string();
        assert!(ended.contains("RUSTSEC-1 ended on 2027-05-31"), "{ended}");
        for wrong in [
            r#""RUSTSEC-1""#,
            r#"{ id = "RUSTSEC-1" }"#,
            r#"{ reason = "until 2027-05-31: never called" }"#,
            r#"{ id = "RUSTSEC-1", reason = "never called" }"#,
            r#"{ id = "RUSTSEC-1", reason = "until 2027-5-31: never called" }"#,
            r#"{ id = "RUSTSEC-1", reason = "until 2027-02-30: never called" }"#,
            r#"{ id = "RUSTSEC-1", reason = "until 2027-05-31: " }"#,
        ] {
            let error = read_one(wrong, date(2026, 1, 1)).unwrap_err().to_string();
            assert!(error.contains("has no reason"), "{wrong}: {error}");
        }
        assert!(read("[licenses]", date(2026, 1, 1)).unwrap().is_empty());
    }
}
