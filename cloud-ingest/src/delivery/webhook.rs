//! One attempt at a webhook, as Standard Webhooks has it: any 2xx is success, 410 means never again, all else is tried again.
//! A redirect is not followed: it would lead the alarm, and our signature, to somebody who was not named.

use hyper::StatusCode;

use super::{
    Failure, FailureKind, WebhookTarget,
    compose::Composed,
    http::{Answer, Limits},
    signature::sign,
};

/// `now_unix_ms` is the attempt's: whoever checks signatures refuses old ones.
pub async fn send(
    target: &WebhookTarget,
    message: &Composed,
    now_unix_ms: i64,
    limits: Limits,
) -> Result<(), Failure> {
    let timestamp_s = now_unix_ms.div_euclid(1_000);
    let headers = [
        ("webhook-id", message.id.clone()),
        ("webhook-timestamp", timestamp_s.to_string()),
        ("webhook-signature", sign(&target.secrets, &message.id, timestamp_s, &message.json)),
    ];
    match target.place.post(&headers, &message.json, limits).await {
        Ok(answer) => judge(&answer, now_unix_ms),
        Err(error) => Err(Failure::temporary(error.to_string())),
    }
}

fn judge(answer: &Answer, now_unix_ms: i64) -> Result<(), Failure> {
    let Answer { status, shown, .. } = answer;
    if status.is_success() {
        return Ok(());
    }
    let said = if shown.is_empty() { String::new() } else { format!(": {shown}") };
    let why = if status.is_redirection() {
        format!("it answered {status}, and redirects are not followed: name the right address")
    } else {
        format!("it answered {status}{said}")
    };
    let kind = if *status == StatusCode::GONE {
        FailureKind::Gone
    } else {
        let wish = answer.retry_after.as_deref();
        FailureKind::Temporary { retry_after_ms: wish.and_then(|wish| retry_after_ms(wish, now_unix_ms)) }
    };
    Err(Failure { kind, why })
}

/// Seconds, or a date (RFC 9110 §10.2.3).
fn retry_after_ms(value: &str, now_unix_ms: i64) -> Option<i64> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000));
    }
    let date = jiff::fmt::rfc2822::parse(value).ok()?;
    Some(date.timestamp().as_millisecond().saturating_sub(now_unix_ms).max(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_to_wait_is_read_as_seconds_or_as_a_date() {
        let noon = 784_111_777_000;
        assert_eq!(retry_after_ms("120", 0), Some(120_000));
        assert_eq!(retry_after_ms(" 0 ", 0), Some(0));
        assert_eq!(retry_after_ms("99999999999999999999", 0), None);
        assert_eq!(retry_after_ms("9223372036854775807", 0), Some(i64::MAX));
        assert_eq!(retry_after_ms("Sun, 06 Nov 1994 08:49:37 GMT", noon - 5_000), Some(5_000));
        assert_eq!(retry_after_ms("Sun, 06 Nov 1994 08:49:37 GMT", noon + 5_000), Some(0));
        assert_eq!(retry_after_ms("soon", 0), None);
        assert_eq!(retry_after_ms("-3", 0), None);
    }
}
