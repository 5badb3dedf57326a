//! `If-Match` (RFC 9110, 13.1.1): the tags of which one must be the present one.

use std::str::FromStr;

use axum::http::{HeaderMap, StatusCode, header};

use super::problem::Problem;

/// None where it is absent, or any will do. A weak tag matches nothing, nor does what is no tag that was given out.
pub(super) fn expected<T: FromStr>(headers: &HeaderMap) -> Result<Option<Vec<T>>, Problem> {
    let mut tags = Vec::new();
    for value in headers.get_all(header::IF_MATCH) {
        let unreadable = || {
            let detail = "If-Match: give the ETag of what you saw, in its quotes".to_owned();
            Problem::new(StatusCode::BAD_REQUEST, detail)
        };
        for tag in value.to_str().map_err(|_| unreadable())?.split(',').map(str::trim) {
            if tag == "*" {
                return Ok(None);
            }
            if tag.starts_with("W/\"") {
                continue;
            }
            let opaque =
                tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).ok_or_else(unreadable)?;
            tags.extend(opaque.parse::<T>());
        }
    }
    Ok(headers.contains_key(header::IF_MATCH).then_some(tags))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn if_match_names_tags() {
        for (values, wanted) in [
            (&[][..], Some(None)),
            (&["\"3\""], Some(Some(vec![3]))),
            (&["\"3\", \"4\"", "\"7\""], Some(Some(vec![3, 4, 7]))),
            (&["*"], Some(None)),
            (&["W/\"3\""], Some(Some(vec![]))),
            (&["\"x\""], Some(Some(vec![]))),
            (&["3"], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::IF_MATCH, HeaderValue::from_static(value));
            }
            assert_eq!(expected::<u32>(&headers).ok(), wanted, "{values:?}");
        }
    }
}
