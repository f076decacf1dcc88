//! What a server answers to somebody whom it does not know: `WWW-Authenticate`, by RFC 9110.

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// How a registry wants to be told who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// By user and password, in each request.
    Basic,
    /// By a token, which another server gives.
    Bearer {
        /// Of the server that gives it.
        realm: String,
        /// As which the registry is known there.
        service: Option<String>,
    },
}

impl Challenge {
    /// A token, if the server takes one.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let values = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let mut challenges: Vec<_> = values.flat_map(parse).collect();
        let bearer = challenges.iter().position(|challenge| matches!(challenge, Self::Bearer { .. }));
        match bearer {
            Some(bearer) => Some(challenges.swap_remove(bearer)),
            None => challenges.pop(),
        }
    }
}

/// The challenges of one header; there may be several, and those of other schemes are left out.
fn parse(mut text: &str) -> Vec<Challenge> {
    let mut challenges = Vec::new();
    let mut of_bearer = false;
    loop {
        text = text.trim_start_matches([' ', '\t', ',']);
        let end = text.find([' ', '\t', ',', '=']).unwrap_or(text.len());
        let (name, rest) = text.split_at_checked(end).unwrap_or_default();
        if name.is_empty() {
            return challenges;
        }
        let Some(value) = rest.trim_start_matches([' ', '\t']).strip_prefix('=') else {
            of_bearer = name.eq_ignore_ascii_case("bearer");
            if name.eq_ignore_ascii_case("basic") {
                challenges.push(Challenge::Basic);
            }
            if of_bearer {
                challenges.push(Challenge::Bearer { realm: String::new(), service: None });
            }
            text = rest;
            continue;
        };
        let (value, rest) = value_of(value.trim_start_matches([' ', '\t']));
        text = rest;
        if let (true, Some(Challenge::Bearer { realm, service })) = (of_bearer, challenges.last_mut()) {
            match name.to_ascii_lowercase().as_str() {
                "realm" => *realm = value,
                "service" => *service = Some(value),
                _ => {}
            }
        }
    }
}

/// A token or a quoted text, and what stands after it.
fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, rest) =
            text.split_at_checked(text.find([' ', '\t', ',']).unwrap_or(text.len())).unwrap_or_default();
        // What is no parameter at all, such as a token68 with `=` at its end.
        return (value.to_owned(), rest.strip_prefix('=').unwrap_or(rest));
    };
    let mut value = String::new();
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => value.extend(chars.next()),
            c => value.push(c),
        }
    }
    (value, chars.as_str())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[&str]) -> Option<Challenge> {
        Challenge::of(&values.iter().map(|value| (WWW_AUTHENTICATE, value.parse().unwrap())).collect())
    }

    fn bearer(realm: &str, service: Option<&str>) -> Option<Challenge> {
        Some(Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned) })
    }

    #[test]
    fn challenges_of_registries_are_read() {
        let docker = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#;
        assert_eq!(of(&[docker]), bearer("https://auth.docker.io/token", Some("registry.docker.io")));
        assert_eq!(of(&[r#"bearer Service = x , REALM = "a\"b\\c" "#]), bearer("a\"b\\c", Some("x")));
        assert_eq!(of(&[r#"Basic realm="x, y=z", charset="UTF-8""#]), Some(Challenge::Basic));
        assert_eq!(of(&["Basic"]), Some(Challenge::Basic));
        assert_eq!(of(&[]), None);
        assert_eq!(of(&["Negotiate"]), None);
        assert_eq!(of(&[""]), None);
    }

    #[test]
    fn of_several_a_token_is_taken() {
        for values in [
            &["Basic realm=x", "Bearer realm=y"][..],
            &["Bearer realm=y", "Basic realm=x"],
            &["Basic realm=x, Bearer realm=y"],
            &["Negotiate abc==, Bearer realm=y, Basic realm=x"],
        ] {
            assert_eq!(of(values), bearer("y", None), "{values:?}");
        }
    }

    proptest! {
        #[test]
        fn no_header_is_more_than_it_is(text in "((Bearer|Basic|realm|x)?[ =,\"\\\\a]{0,3}){0,12}") {
            let _ = of(&[&text]);
        }
    }
}
