//! Who sends a report: whose page, and whether a robot.

use http::header::{HOST, ORIGIN, USER_AGENT};
use http::{HeaderMap, Uri};

use super::BrowserError;

/// What user agents say of themselves that no person looks at.
const ROBOTS: [&str; 8] =
    ["bot", "crawl", "spider", "slurp", "headless", "lighthouse", "pingdom", "facebookexternalhit"];

/// As much of a user agent as is looked at, in bytes.
const LONGEST_AGENT: usize = 512;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    /// A page that may report here, or no page at all: only browsers say where a request comes from.
    Known,
    /// A page of somebody else.
    Foreign,
}

/// The origins whose pages may report.
#[derive(Debug)]
pub(super) struct Origins(Vec<String>);

impl Origins {
    pub(super) fn of(origins: Vec<String>) -> Result<Self, BrowserError> {
        match origins.iter().find(|origin| !is_origin(origin)) {
            Some(origin) => Err(BrowserError::Origin { origin: origin.clone() }),
            None => Ok(Self(origins)),
        }
    }

    pub(super) fn caller(&self, headers: &HeaderMap) -> Caller {
        let Some(origin) = headers.get(ORIGIN) else { return Caller::Known };
        let Ok(origin) = origin.to_str() else { return Caller::Foreign };
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        let is_own = origin.split_once("://").is_some_and(|(_, authority)| host == Some(authority));
        if is_own || self.0.iter().any(|known| known == origin) { Caller::Known } else { Caller::Foreign }
    }
}

/// Whether this is what browsers send as an origin: scheme and authority, and no path.
fn is_origin(text: &str) -> bool {
    let is_lower = !text.contains(|c: char| c.is_ascii_uppercase() || c == '@');
    let uri = text.parse::<Uri>().ok().filter(|_| is_lower && !text.ends_with('/'));
    uri.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.path() == "/" && uri.query().is_none()
    })
}

pub(super) fn is_robot(headers: &HeaderMap) -> bool {
    let agent = agent(headers).to_ascii_lowercase();
    ROBOTS.iter().any(|robot| agent.contains(robot))
}

/// What the user agent calls itself, cut.
pub(super) fn agent(headers: &HeaderMap) -> &str {
    let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    // What can be read as text here is ASCII.
    agent.get(..LONGEST_AGENT).unwrap_or(agent)
}

#[cfg(test)]
mod tests {
    use http::header::{HOST, ORIGIN, USER_AGENT};
    use http::{HeaderMap, HeaderValue};

    use super::{Caller, Origins, is_robot};

    fn from(origin: &'static str) -> HeaderMap {
        HeaderMap::from_iter([
            (HOST, HeaderValue::from_static("shop.example.org")),
            (ORIGIN, HeaderValue::from_static(origin)),
        ])
    }

    #[test]
    fn only_the_own_host_and_listed_origins_may_report() {
        let origins = Origins::of(vec!["https://www.example.org:8443".to_owned()]).unwrap();
        for known in ["https://shop.example.org", "http://shop.example.org", "https://www.example.org:8443"] {
            assert_eq!(origins.caller(&from(known)), Caller::Known, "{known}");
        }
        let foreign =
            ["https://www.example.org", "https://shop.example.org.evil.test", "null", "https://evil.test"];
        for foreign in foreign {
            assert_eq!(origins.caller(&from(foreign)), Caller::Foreign, "{foreign}");
        }
        assert_eq!(origins.caller(&HeaderMap::new()), Caller::Known);
    }

    #[test]
    fn what_is_no_origin_is_refused_and_named() {
        let wrong =
            ["shop.example.org", "https://", "https://a.test/", "https://a.test/x", "ftp://a.test", "*"];
        for wrong in wrong {
            let said = Origins::of(vec![wrong.to_owned()]).unwrap_err().to_string();
            assert!(said.starts_with(&format!("`{wrong}` is not an origin")), "{said}");
        }
    }

    #[test]
    fn a_robot_is_what_says_so() {
        let agent = |text| HeaderMap::from_iter([(USER_AGENT, HeaderValue::from_static(text))]);
        assert!(is_robot(&agent("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)")));
        assert!(is_robot(&agent("Mozilla/5.0 (X11; Linux x86_64) HeadlessChrome/139.0.0.0 Safari/537.36")));
        assert!(!is_robot(&agent("Mozilla/5.0 (X11; Linux x86_64; rv:141.0) Gecko/20100101 Firefox/141.0")));
        assert!(!is_robot(&HeaderMap::new()));
    }
}
