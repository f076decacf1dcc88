//! The message of requests for certificates, as in `generated.proto`. Their status is data: `kubectl certificate` writes
//! the conditions.

use super::messages::Type::{Bytes, Int, List, Message, Text, Time};
use super::messages::{Field, META};

pub(super) const SIGNING_REQUEST: &[Field] = &[
    META,
    (
        2,
        "spec",
        Message(&[
            (1, "request", Bytes),
            (2, "username", Text),
            (3, "uid", Text),
            (4, "groups", List(&Text)),
            (5, "usages", List(&Text)),
            (7, "signerName", Text),
            (8, "expirationSeconds", Int),
        ]),
    ),
    (3, "status", Message(&[(1, "conditions", List(&Message(CONDITION))), (2, "certificate", Bytes)])),
];

const CONDITION: &[Field] = &[
    (1, "type", Text),
    (2, "reason", Text),
    (3, "message", Text),
    (4, "lastUpdateTime", Time),
    (5, "lastTransitionTime", Time),
    (6, "status", Text),
];
