//! What a development cluster is told about access when it is started.

use std::fmt;

/// Whether a development cluster asks who somebody is, and what they may do. By default it does neither.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// How much of it there is.
    pub mode: AccessMode,
    /// Who has a token, beside the administrator `wheelhouse-dev`, whose token is made by the server.
    pub users: Vec<TokenUser>,
}

/// How much access control there is: each mode has what the one before has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum AccessMode {
    /// Plain HTTP. Nobody is authenticated, and everybody may do everything.
    #[default]
    Open,
    /// TLS, and tokens that tell who asks; whoever has one may do everything. As kube-apiserver with
    /// `--authorization-mode=AlwaysAllow`, which lets nobody in without a token.
    Tls,
    /// Roles and bindings decide who may do what. Who has no token is `system:anonymous`.
    Rbac,
}

/// A user who proves with a token who they are, as one line of kube-apiserver's `--token-auth-file`.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenUser {
    /// The user's name, such as `jane`.
    pub name: String,
    /// The groups beside `system:authenticated`, in which everybody is who has a token.
    pub groups: Vec<String>,
    /// The bearer token: visible ASCII characters.
    pub token: String,
}

impl Access {
    /// TLS, and whoever has a token may do everything.
    #[must_use]
    pub fn tls() -> Self {
        Self { mode: AccessMode::Tls, users: Vec::new() }
    }

    /// TLS, and roles and bindings decide who may do what.
    #[must_use]
    pub fn rbac() -> Self {
        Self { mode: AccessMode::Rbac, users: Vec::new() }
    }

    /// With one more user.
    #[must_use]
    pub fn user(mut self, user: TokenUser) -> Self {
        self.users.push(user);
        self
    }

    /// What is wrong with the users, if anything.
    pub(super) fn problem(&self) -> Option<String> {
        self.users.iter().enumerate().find_map(|(index, user)| {
            let others = self.users.get(..index).unwrap_or_default();
            if user.name.is_empty() {
                return Some("a user has no name".to_owned());
            }
            if user.token.is_empty() || !user.token.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Some(format!("the token of {:?} must be of visible ASCII characters", user.name));
            }
            let same = others.iter().find(|other| other.token == user.token)?;
            Some(format!("{:?} and {:?} have the same token", same.name, user.name))
        })
    }
}

impl TokenUser {
    /// A user with a token and without groups.
    #[must_use]
    pub fn new(name: &str, token: &str) -> Self {
        Self { name: name.to_owned(), groups: Vec::new(), token: token.to_owned() }
    }

    /// In one more group.
    #[must_use]
    pub fn group(mut self, group: &str) -> Self {
        self.groups.push(group.to_owned());
        self
    }
}

impl fmt::Debug for TokenUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenUser")
            .field("name", &self.name)
            .field("groups", &self.groups)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_not_shown() {
        let access = Access::rbac().user(TokenUser::new("jane", "secret-of-jane").group("team"));
        let shown = format!("{access:?}");
        assert!(shown.contains("jane") && shown.contains("team") && !shown.contains("secret"), "{shown}");
    }

    #[test]
    fn tokens_that_nobody_could_send_or_two_share_are_refused() {
        let problem = |users: &[(&str, &str)]| {
            let add = |access: Access, (name, token): &(&str, &str)| access.user(TokenUser::new(name, token));
            users.iter().fold(Access::rbac(), add).problem().unwrap_or_default()
        };
        assert_eq!(problem(&[("a", "1"), ("b", "2")]), "");
        assert!(problem(&[("a", "1"), ("b", "1")]).contains("the same token"));
        for token in ["", "a b", "a\n", "ä"] {
            assert!(problem(&[("a", token)]).contains("visible ASCII"), "{token:?}");
        }
        assert!(problem(&[("", "1")]).contains("no name"));
    }
}
