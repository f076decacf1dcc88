//! JSON web tokens, signed and checked with one key (ES256: RFC 7515, RFC 7518 section 3.4).
//!
//! Only what this key has signed is read: no other algorithm, and none at all, is ever a choice.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{KeyPair, PublicKeyData};
use ring::digest;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use serde_json::{Value, json};

use crate::object::Json;

const ALGORITHM: &str = "ES256";
/// An uncompressed point begins with this octet.
const UNCOMPRESSED: u8 = 4;
const COORDINATE: usize = 32;

pub(super) struct Signer {
    key: EcdsaKeyPair,
    /// Made from the public key, so that whoever has several knows which to check with.
    id: String,
    random: SystemRandom,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Signer {
    /// A signer with a P-256 key; the error says why it is none.
    pub(super) fn new(key: &KeyPair) -> Result<Self, String> {
        let random = SystemRandom::new();
        let id = digest::digest(&digest::SHA256, &key.subject_public_key_info());
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.serialized_der(), &random)
            .map_err(|rejected| rejected.to_string())?;
        Ok(Self { key, id: URL_SAFE_NO_PAD.encode(id), random })
    }

    /// A token with these claims. It fails only where the system has no randomness to give.
    pub(super) fn sign(&self, claims: &Value) -> Result<String, ring::error::Unspecified> {
        let header = json!({ "alg": ALGORITHM, "kid": self.id });
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", encode(&header), encode(claims));
        let signature = self.key.sign(&self.random, signed.as_bytes())?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref())))
    }

    /// The claims of a token that this key has signed.
    pub(super) fn verify(&self, token: &str) -> Option<Json> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let header: Json = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
        if header.get("alg").and_then(Value::as_str) != Some(ALGORITHM) {
            return None;
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.key.public_key().as_ref());
        public.verify(signed.as_bytes(), &signature).ok()?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
    }

    /// The public key as a set of JSON web keys (RFC 7517), for others to check tokens with.
    pub(super) fn key_set(&self) -> Value {
        let point = self.key.public_key().as_ref().strip_prefix(&[UNCOMPRESSED]).unwrap_or_default();
        let (x, y) = point.split_at_checked(COORDINATE).unwrap_or_default();
        json!({ "keys": [{ "use": "sig", "kty": "EC", "kid": self.id, "crv": "P-256", "alg": ALGORITHM,
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y) }] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer() -> Signer {
        Signer::new(&KeyPair::generate().unwrap()).unwrap()
    }

    fn encode(part: &Value) -> String {
        URL_SAFE_NO_PAD.encode(part.to_string())
    }

    #[test]
    fn a_token_is_read_by_whose_key_signed_it_and_by_no_other() {
        let signer = signer();
        let token = signer.sign(&json!({ "sub": "a" })).unwrap();
        assert_eq!(signer.verify(&token).unwrap().get("sub"), Some(&json!("a")));
        assert!(super::tests::signer().verify(&token).is_none());
    }

    #[test]
    fn whatever_is_changed_in_a_token_spoils_it() {
        let signer = signer();
        let token = signer.sign(&json!({ "sub": "a" })).unwrap();
        let parts: Vec<&str> = token.split('.').collect();
        let (header, claims, signature) = (parts[0], parts[1], parts[2]);
        let other = encode(&json!({ "sub": "system:serviceaccount:kube-system:default" }));
        let none = encode(&json!({ "alg": "none" }));
        let hmac = encode(&json!({ "alg": "HS256", "kid": signer.id }));
        for bad in [
            format!("{header}.{other}.{signature}"),
            format!("{none}.{claims}."),
            format!("{none}.{claims}.{signature}"),
            format!("{hmac}.{claims}.{signature}"),
            format!("{header}.{claims}."),
            format!("{header}.{claims}"),
            format!("{header}.{claims}.{signature}="),
            format!("{header}.{claims}.{signature}.{signature}"),
            format!(".{header}.{claims}.{signature}"),
            format!("{header}.{claims}.{}", URL_SAFE_NO_PAD.encode([0_u8; 64])),
            String::new(),
            "..".to_owned(),
        ] {
            assert!(signer.verify(&bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_key_set_has_the_point_that_tokens_are_checked_with() {
        let signer = signer();
        let set = signer.key_set();
        let part = |name: &str| URL_SAFE_NO_PAD.decode(set["keys"][0][name].as_str().unwrap()).unwrap();
        let point = [vec![UNCOMPRESSED], part("x"), part("y")].concat();
        let token = signer.sign(&json!({})).unwrap();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .verify(signed.as_bytes(), &signature)
            .unwrap();
    }
}
