//! The messages of reviews of access and of requests for tokens, as in `generated.proto`.

use super::messages::Type::{Ignored, Int, List, Message, Text};
use super::messages::{Field, META};

pub(super) const TOKEN_SPEC: &[Field] =
    &[(1, "audiences", List(&Text)), (3, "boundObjectRef", Message(BOUND)), (4, "expirationSeconds", Int)];

const BOUND: &[Field] = &[(1, "kind", Text), (2, "apiVersion", Text), (3, "name", Text), (4, "uid", Text)];

pub(super) const ACCESS_SPEC: &[Field] = &[ACCESS_RESOURCE, ACCESS_PATH];

pub(super) const SUBJECT_REVIEW: &[Field] = &[
    META,
    (
        2,
        "spec",
        Message(&[
            ACCESS_RESOURCE,
            ACCESS_PATH,
            (3, "user", Text),
            (4, "groups", List(&Text)),
            (6, "uid", Text),
        ]),
    ),
    (3, "status", Ignored),
];

const ACCESS_RESOURCE: Field = (
    1,
    "resourceAttributes",
    Message(&[
        (1, "namespace", Text),
        (2, "verb", Text),
        (3, "group", Text),
        (4, "version", Text),
        (5, "resource", Text),
        (6, "subresource", Text),
        (7, "name", Text),
    ]),
);

const ACCESS_PATH: Field = (2, "nonResourceAttributes", Message(&[(1, "path", Text), (2, "verb", Text)]));
