//! Kubeconfigs: with what a client needs to trust the server, and to be known to it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::user::service_account_of;
use super::{ADMIN, State, tokens};
use crate::cluster::Cluster;
use crate::store::{Key, Store};

/// For how long the token in a ServiceAccount's kubeconfig is good, in seconds.
const LASTING: i64 = 24 * 3600;

/// A kubeconfig of a user who has a token, or of a ServiceAccount by its user name: as YAML, with the only context
/// `wheelhouse-dev`. None of somebody who is not there.
pub(crate) fn kubeconfig(cluster: &Cluster, url: &str, user: &str) -> Option<String> {
    let (state, store) = (&cluster.access, &cluster.store);
    let token = match (state.is_open(), user) {
        (true, ADMIN) => None,
        (true, _) => return None,
        (false, user) => Some(token_of(state, store, user)?),
    };
    // JSON is YAML, whatever is in a name.
    let quoted = |text: &str| match text {
        ADMIN => text.to_owned(),
        text => Value::from(text).to_string(),
    };
    let credentials = token.map_or_else(String::new, |token| format!("token: {}", quoted(&token)));
    let authority = state.tls.as_ref().map_or_else(String::new, |tls| {
        format!("\n    certificate-authority-data: {}", STANDARD.encode(&tls.authority))
    });
    let user = quoted(user);
    Some(format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: wheelhouse-dev\nclusters:\n- name: wheelhouse-dev\n  \
         cluster:\n    server: {url}{authority}\ncontexts:\n- name: wheelhouse-dev\n  context:\n    cluster: \
         wheelhouse-dev\n    namespace: default\n    user: {user}\nusers:\n- name: {user}\n  user: \
         {{{credentials}}}\n"
    ))
}

fn token_of(state: &State, store: &Store, user: &str) -> Option<String> {
    if let Some(known) = state.users.iter().find(|known| known.name == user) {
        return Some(known.token.clone());
    }
    let (namespace, name) = service_account_of(user)?;
    let account = store.get(tokens::SERVICE_ACCOUNTS, &Key::new(namespace, name))?;
    tokens::mint(&state.signer, &account.json, &tokens::Wanted::plain(LASTING)).ok()
}
