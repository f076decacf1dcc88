//! Names and addresses that the server gives: as random as a uid, and written as a cluster writes them.

/// What generated names are written in: no vowels, so that no words come out.
pub(crate) const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Five random characters.
pub(crate) fn suffix() -> String {
    let mut random = uuid::Uuid::new_v4().as_u128();
    let base = u128::try_from(ALPHABET.len()).unwrap_or(1);
    let characters = (0..5).filter_map(|_| {
        let index = usize::try_from(random % base).ok()?;
        random /= base;
        ALPHABET.get(index).map(|&byte| char::from(byte))
    });
    characters.collect()
}

/// An address within a network of which the first half is given, such as `10.244`, for who has this uid.
pub(crate) fn address(network: &str, uid: &str) -> String {
    let id = uuid::Uuid::parse_str(uid).unwrap_or_default().as_u128();
    let (high, low) = ((id >> 8) & 0xff, (id & 0xff).clamp(1, 254));
    format!("{network}.{high}.{low}")
}
