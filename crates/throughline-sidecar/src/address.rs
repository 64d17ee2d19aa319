//! Addresses, without what is secret in them.

/// What ends the part of an address that says who is asked.
const AFTER_HOST: [char; 3] = ['/', '?', '#'];

/// An address without what may be secret in it: user, password and query.
///
/// A password may contain characters that would end it, if they were not escaped as they should be. So all that precedes the last
/// `@` is left out, though that may be more than a password.
pub(crate) fn without_secrets(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    let rest = rest.rsplit('@').next().unwrap_or_default();
    let shown = rest.split(['?', '#']).next().unwrap_or_default();
    if scheme.is_empty() { shown.to_owned() } else { format!("{scheme}://{shown}") }
}

/// The beginning of an address, up to what is asked for there; `None` if it has no scheme.
pub(crate) fn origin(url: &str) -> Option<&str> {
    let start = url.find("://")? + 3;
    Some(&url[..url[start..].find(AFTER_HOST).map_or(url.len(), |at| start + at)])
}

/// Why an address was not reached, without the address.
pub(crate) fn reason(error: &ureq::Error) -> String {
    match error {
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
            "that is no address; in a password, write / as %2F, ? as %3F, # as %23 and @ as %40".to_owned()
        }
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_password_is_shown_whatever_is_in_it() {
        for password in
            ["secret", "sec/ret", "sec?ret", "sec#ret", "sec@ret", "12/34", "s:e/c?r#e@t", "%2Fret"]
        {
            let url = format!("http://user:{password}@app:8080/metrics?token=ret");
            assert_eq!(without_secrets(&url), "http://app:8080/metrics", "{password}");
        }
        assert_eq!(without_secrets("http://app:8080/metrics?token=ret#x"), "http://app:8080/metrics");
        assert_eq!(without_secrets("http://app?token=ret"), "http://app");
        assert_eq!(without_secrets("user:sec/ret@app/metrics"), "app/metrics");
    }

    #[test]
    fn an_origin_ends_where_a_path_a_query_or_a_fragment_begins() {
        for url in
            ["http://app:1", "http://app:1/", "http://app:1/a?b", "http://app:1?a=/b", "http://app:1#/a"]
        {
            assert_eq!(origin(url), Some("http://app:1"), "{url}");
        }
        assert_eq!(origin("app:1/metrics"), None);
    }
}
