//! Acting as somebody else: the headers `Impersonate-User`, `-Group`, `-Uid` and `-Extra-…`.
//!
//! Whoever sends them must be allowed to `impersonate` each thing that they claim. Follows "User
//! impersonation" in the Kubernetes documentation.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderValue};
use percent_encoding::percent_decode_str;

use super::State;
use super::attributes::{Attributes, ResourceAttributes};
use super::user::{
    ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED, User, service_account_groups, service_account_of,
};
use crate::error::ApiError;
use crate::store::Store;

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA: &str = "impersonate-extra-";

/// Who a request wants to be, if not who sent it.
#[derive(Debug, Default)]
struct Wanted {
    name: String,
    uid: String,
    groups: Vec<String>,
    /// Keys and values, in the order in which they were sent.
    extra: Vec<(String, String)>,
}

impl Wanted {
    fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        let mut wanted = Self::default();
        for (header, value) in headers {
            match header.as_str() {
                // As of every header that should be there once, the first counts.
                USER if wanted.name.is_empty() => wanted.name = text(value)?,
                UID if wanted.uid.is_empty() => wanted.uid = text(value)?,
                GROUP => wanted.groups.push(text(value)?),
                other => {
                    if let Some(key) = other.strip_prefix(EXTRA) {
                        let key = percent_decode_str(key).decode_utf8_lossy().to_lowercase();
                        wanted.extra.push((key, text(value)?));
                    }
                }
            }
        }
        Ok(wanted)
    }

    fn is_nobody(&self) -> bool {
        self.name.is_empty() && self.uid.is_empty() && self.groups.is_empty() && self.extra.is_empty()
    }

    /// As Go prints it.
    fn shown(&self) -> String {
        let list = |items: &[&str]| match items {
            [] => "[]string(nil)".to_owned(),
            items => format!(
                "[]string{{{}}}",
                items.iter().map(|item| format!("{item:?}")).collect::<Vec<_>>().join(", ")
            ),
        };
        let mut extra: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (key, value) in &self.extra {
            extra.entry(key).or_default().push(value);
        }
        let extra = match extra.is_empty() {
            true => "(nil)".to_owned(),
            false => {
                let keys = extra.iter().map(|(key, values)| format!("{key:?}:{}", list(values)));
                format!("{{{}}}", keys.collect::<Vec<_>>().join(", "))
            }
        };
        let groups: Vec<&str> = self.groups.iter().map(String::as_str).collect();
        format!(
            "&user.DefaultInfo{{Name:{:?}, UID:{:?}, Groups:{}, Extra:map[string][]string{extra}}}",
            self.name,
            self.uid,
            list(&groups)
        )
    }

    /// What its sender must be allowed to impersonate.
    fn needs(&self) -> Vec<ResourceAttributes> {
        let one = |group: &str, resource: &str, subresource: &str, namespace: &str, name: &str| {
            ResourceAttributes {
                verb: "impersonate".to_owned(),
                group: group.to_owned(),
                resource: resource.to_owned(),
                subresource: subresource.to_owned(),
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            }
        };
        let authentication = "authentication.k8s.io";
        let mut needs = match service_account_of(&self.name) {
            Some((namespace, name)) => vec![one("", "serviceaccounts", "", namespace, name)],
            None => vec![one("", "users", "", "", &self.name)],
        };
        needs.extend(self.groups.iter().map(|group| one("", "groups", "", "", group)));
        needs.extend(self.extra.iter().map(|(key, value)| one(authentication, "userextras", key, "", value)));
        if !self.uid.is_empty() {
            needs.push(one(authentication, "uids", "", "", &self.uid));
        }
        needs
    }

    fn user(self) -> User {
        let mut user = User { name: self.name, uid: self.uid, groups: self.groups, ..User::default() };
        if let (true, Some((namespace, _))) = (user.groups.is_empty(), service_account_of(&user.name)) {
            user.groups = service_account_groups(namespace);
        }
        for (key, value) in self.extra {
            user.extra.entry(key).or_default().push(value);
        }
        let has = |group: &str| user.groups.iter().any(|other| other == group);
        match (user.name == ANONYMOUS, has(AUTHENTICATED), has(UNAUTHENTICATED)) {
            (true, _, false) => user.join(UNAUTHENTICATED),
            (false, false, false) => user.join(AUTHENTICATED),
            _ => {}
        }
        user
    }
}

/// A value that cannot be read must not be left out: who it claims to be would then be somebody else.
fn text(value: &HeaderValue) -> Result<String, ApiError> {
    let unreadable = |_| ApiError::bad_request("an impersonation header is not UTF-8");
    String::from_utf8(value.as_bytes().to_vec()).map_err(unreadable)
}

impl State {
    /// Who a request is to be judged as.
    pub(super) fn impersonate(
        &self,
        store: &Store,
        sender: User,
        headers: &HeaderMap,
    ) -> Result<User, ApiError> {
        let wanted = Wanted::of(headers)?;
        if wanted.is_nobody() {
            return Ok(sender);
        }
        if wanted.name.is_empty() {
            let why = format!("requested {} without impersonating a user name", wanted.shown());
            return Err(ApiError::bad_request(why));
        }
        for needed in wanted.needs() {
            self.require(store, &sender, &Attributes::Resource(needed))?;
        }
        Ok(wanted.user())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(headers: &[(&'static str, &'static str)]) -> Wanted {
        let pairs = headers
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)));
        let mut map = HeaderMap::new();
        pairs.for_each(|(name, value)| {
            map.append(name, value);
        });
        Wanted::of(&map).unwrap()
    }

    #[test]
    fn each_thing_that_is_claimed_must_be_allowed() {
        let wanted = wanted(&[
            (USER, "jane"),
            (GROUP, "a"),
            (GROUP, "system:masters"),
            (UID, "7"),
            ("impersonate-extra-example.com%2fproject", "x"),
        ]);
        let needs: Vec<String> =
            wanted.needs().iter().map(|of| format!("{}/{} {}", of.group, of.combined(), of.name)).collect();
        let expected = [
            "/users jane",
            "/groups a",
            "/groups system:masters",
            "authentication.k8s.io/userextras/example.com/project x",
            "authentication.k8s.io/uids 7",
        ];
        assert_eq!(needs, expected);
        assert_eq!(wanted.user().extra.get("example.com/project").unwrap(), &["x"]);
    }

    #[test]
    fn a_service_account_has_its_groups_unless_others_are_claimed() {
        let name = "system:serviceaccount:team:robot";
        let robot = wanted(&[(USER, name)]);
        assert_eq!(robot.needs().first().unwrap().combined(), "serviceaccounts");
        let groups = ["system:serviceaccounts", "system:serviceaccounts:team", AUTHENTICATED];
        assert_eq!(robot.user().groups, groups);
        assert_eq!(wanted(&[(USER, name), (GROUP, "g")]).user().groups, ["g", AUTHENTICATED]);
        assert_eq!(wanted(&[(USER, ANONYMOUS)]).user().groups, [UNAUTHENTICATED]);
    }

    #[test]
    fn a_value_that_is_no_text_is_refused_rather_than_left_out() {
        let mut headers = HeaderMap::new();
        headers.append(USER, HeaderValue::from_bytes(b"j\xff").unwrap());
        assert_eq!(Wanted::of(&headers).unwrap_err().code, 400);
    }
}
