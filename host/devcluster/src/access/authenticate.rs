//! Who sends a request: the bearer tokens of users and of ServiceAccounts, and nobody in particular.

use http::HeaderMap;
use http::header::AUTHORIZATION;
use subtle::ConstantTimeEq;

use super::user::{AUTHENTICATED, User};
use super::{AccessMode, State, TokenUser, proof, tokens};
use crate::error::ApiError;
use crate::store::Store;

/// A user, and what the token with which they proved it is good for.
#[derive(Debug)]
pub(super) struct Authenticated {
    pub(super) user: User,
    pub(super) audiences: Vec<String>,
}

impl State {
    /// Who sends a request with these headers. A wrong token is refused; none at all is somebody without a
    /// name, where such are let in.
    pub(super) fn authenticate(&self, store: &Store, headers: &HeaderMap) -> Result<User, ApiError> {
        let token = match headers.get(AUTHORIZATION) {
            None => None,
            Some(value) => bearer(value.to_str().map_err(|_| ApiError::unauthorized())?),
        };
        match token {
            Some(token) => {
                let known = self.authenticate_token(store, token, &[tokens::ISSUER.to_owned()]);
                known.map(|known| known.user).map_err(|_| ApiError::unauthorized())
            }
            None if self.mode == AccessMode::Rbac => Ok(User::anonymous()),
            None => Err(ApiError::unauthorized()),
        }
    }

    /// Whose a token is that is good for one of these audiences; if nobody's, then why.
    pub(super) fn authenticate_token(
        &self,
        store: &Store,
        token: &str,
        audiences: &[String],
    ) -> Result<Authenticated, String> {
        if let Some(user) = user_with(&self.users, token) {
            let mut user = User { name: user.name.clone(), groups: user.groups.clone(), ..User::default() };
            user.join(AUTHENTICATED);
            // As in the real server, a user's token knows nothing of audiences: it is for this server.
            let audiences: Vec<String> =
                audiences.iter().filter(|audience| *audience == tokens::ISSUER).cloned().collect();
            return match audiences.is_empty() {
                true => Err(proof::UNKNOWN.to_owned()),
                false => Ok(Authenticated { user, audiences }),
            };
        }
        proof::authenticate(&self.signer, store, token, audiences)
    }
}

/// The token of a header, if it is of that scheme.
fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.trim().split_once(' ')?;
    let token = token.split(' ').next().unwrap_or_default();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The user who has a token. How long it takes tells nothing about any token but its length.
fn user_with<'a>(users: &'a [TokenUser], token: &str) -> Option<&'a TokenUser> {
    let mut found = None;
    for user in users {
        if bool::from(user.token.as_bytes().ct_eq(token.as_bytes())) {
            found = Some(user);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_is_read_and_another_scheme_is_none() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer(" bearer abc "), Some("abc"));
        for none in ["", "Bearer", "Bearer ", "Basic abc", "abc", "Bearer  abc"] {
            assert_eq!(bearer(none), None, "{none:?}");
        }
    }

    #[test]
    fn only_the_whole_token_is_its_users() {
        let users = [TokenUser::new("a", "first"), TokenUser::new("b", "second")];
        assert_eq!(user_with(&users, "second").map(|user| user.name.as_str()), Some("b"));
        for wrong in ["", "secon", "second2", "Second", "third"] {
            assert!(user_with(&users, wrong).is_none(), "{wrong:?}");
        }
    }
}
