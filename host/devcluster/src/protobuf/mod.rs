//! Request bodies in Kubernetes' protobuf form, which kubectl's typed commands (`create namespace`,
//! `create deployment`, `auth can-i`, `drain`) insist on sending. Answers are JSON, which they accept.
//!
//! The messages of those commands are known by a table. A body with a field beyond it is refused rather
//! than stored without that field. A zero is no exception: what is `false` on purpose looks like that, too. Of the fields
//! that Go always sends the table has all.

mod certificates;
mod messages;
mod reviews;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::object::Json;

use messages::{Field, Type};

/// What every body begins with.
const MAGIC: &[u8] = b"k8s\0";
/// Deeper than any message of the table.
const MAX_DEPTH: usize = 16;

/// Decodes a body; the error says what is not understood.
pub(crate) fn decode(bytes: &[u8]) -> Result<Json, String> {
    let (api_version, kind, raw) = envelope(bytes)?;
    let mut json = message(fields(&api_version, &kind)?, raw, &kind, 0)?;
    json.insert("apiVersion".to_owned(), api_version.into());
    json.insert("kind".to_owned(), kind.into());
    Ok(json)
}

/// Whether what is decoded of a body has its status. That of most kinds is no part of the table.
pub(crate) fn has_status(bytes: &[u8]) -> Result<bool, String> {
    let (api_version, kind, _) = envelope(bytes)?;
    let is_status = |(_, name, of_type): &Field| *name == "status" && !matches!(of_type, Type::Ignored);
    Ok(fields(&api_version, &kind)?.iter().any(is_status))
}

fn fields(api_version: &str, kind: &str) -> Result<&'static [Field], String> {
    messages::find(api_version, kind)
        .ok_or_else(|| format!("{api_version} {kind} cannot be sent as protobuf: send JSON"))
}

/// The version and kind of a body's object, and its message.
fn envelope(bytes: &[u8]) -> Result<(String, String, &[u8]), String> {
    let envelope =
        bytes.strip_prefix(MAGIC).ok_or("the body does not begin with the protobuf magic number")?;
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    for part in parts(envelope)? {
        match part {
            (1, Wire::Bytes(type_meta)) => {
                for field in parts(type_meta)? {
                    match field {
                        (1, Wire::Bytes(text)) => api_version = string(text)?,
                        (2, Wire::Bytes(text)) => kind = string(text)?,
                        _ => {}
                    }
                }
            }
            (2, Wire::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    Ok((api_version, kind, raw))
}

enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// Splits a message into its fields.
fn parts(mut bytes: &[u8]) -> Result<Vec<(u64, Wire<'_>)>, String> {
    let truncated = || "the protobuf body is truncated".to_owned();
    let mut parts = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes).ok_or_else(truncated)?;
        let mut take = |count: usize| {
            let (head, rest) = bytes.split_at_checked(count)?;
            bytes = rest;
            Some(head)
        };
        let wire = match tag & 7 {
            0 => Wire::Number(varint(&mut bytes).ok_or_else(truncated)?),
            1 => Wire::Bytes(take(8).ok_or_else(truncated)?),
            2 => {
                let length = varint(&mut bytes).and_then(|length| usize::try_from(length).ok());
                let (head, rest) =
                    length.and_then(|length| bytes.split_at_checked(length)).ok_or_else(truncated)?;
                bytes = rest;
                Wire::Bytes(head)
            }
            5 => Wire::Bytes(take(4).ok_or_else(truncated)?),
            other => return Err(format!("unknown protobuf wire type {other}")),
        };
        parts.push((tag >> 3, wire));
    }
    Ok(parts)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn string(bytes: &[u8]) -> Result<String, String> {
    String::from_utf8(bytes.to_vec()).map_err(|error| format!("a text is not UTF-8: {error}"))
}

fn message(fields: &[Field], bytes: &[u8], path: &str, depth: usize) -> Result<Json, String> {
    if depth > MAX_DEPTH {
        return Err(format!("{path} is nested too deeply"));
    }
    let mut json = Json::new();
    for (number, wire) in parts(bytes)? {
        let Some((_, name, of_type)) = fields.iter().find(|(known, _, _)| *known == number) else {
            // An empty text or struct, which Go sends for one that is not set.
            if matches!(wire, Wire::Bytes([])) {
                continue;
            }
            return Err(format!("field {number} of {path} is not known in protobuf bodies: send JSON"));
        };
        let path = format!("{path}.{name}");
        match (of_type, &wire) {
            (Type::Ignored, _) => {}
            (Type::Inline(fields), Wire::Bytes(bytes)) => {
                json.append(&mut message(fields, bytes, &path, depth.saturating_add(1))?);
            }
            (Type::List(item), _) => {
                let item = value(item, &wire, &path, depth)?.unwrap_or_else(|| Value::from(""));
                match json.entry(*name).or_insert_with(|| Value::Array(Vec::new())) {
                    Value::Array(list) => list.push(item),
                    other => *other = item,
                }
            }
            (Type::Map(item), Wire::Bytes(entry)) => {
                let (key, item) = map_entry(item, entry, &path, depth)?;
                match json.entry(*name).or_insert_with(|| Value::Object(Json::new())) {
                    Value::Object(map) => {
                        map.insert(key, item);
                    }
                    other => *other = item,
                }
            }
            (of_type, wire) => {
                if let Some(value) = value(of_type, wire, &path, depth)? {
                    json.insert((*name).to_owned(), value);
                }
            }
        }
    }
    Ok(json)
}

fn map_entry(item: &Type, entry: &[u8], path: &str, depth: usize) -> Result<(String, Value), String> {
    let (mut key, mut found) = (String::new(), None);
    for part in parts(entry)? {
        match part {
            (1, Wire::Bytes(bytes)) => key = string(bytes)?,
            (2, wire) => found = value(item, &wire, path, depth)?,
            _ => {}
        }
    }
    Ok((key, found.unwrap_or_else(|| Value::from(""))))
}

/// One value; `None` if it is as good as absent.
fn value(of_type: &Type, wire: &Wire<'_>, path: &str, depth: usize) -> Result<Option<Value>, String> {
    let value = match (of_type, wire) {
        (Type::Text, Wire::Bytes(bytes)) => Value::from(string(bytes)?),
        (Type::Bytes, Wire::Bytes(bytes)) => Value::from(STANDARD.encode(bytes)),
        (Type::Flag | Type::Count, Wire::Number(0)) => return Ok(None),
        (Type::Bool | Type::Flag, Wire::Number(number)) => Value::from(*number != 0),
        // Negative numbers are sent as their two's complement.
        (Type::Int | Type::Count, Wire::Number(number)) => Value::from(number.cast_signed()),
        (Type::Message(fields), Wire::Bytes(bytes)) => {
            Value::Object(message(fields, bytes, path, depth.saturating_add(1))?)
        }
        (Type::Quantity, Wire::Bytes(bytes)) => {
            let text = parts(bytes)?.into_iter().find_map(|part| match part {
                (1, Wire::Bytes(text)) => Some(string(text)),
                _ => None,
            });
            Value::from(text.transpose()?.unwrap_or_default())
        }
        (Type::IntOrString, Wire::Bytes(bytes)) => int_or_string(bytes)?,
        // What is sent for a target port that was not set.
        (Type::Port, Wire::Bytes(bytes)) => return Ok(Some(int_or_string(bytes)?).filter(|port| port != 0)),
        (Type::Time, Wire::Bytes(bytes)) => return time(bytes),
        _ => return Err(format!("{path} has another type than expected")),
    };
    Ok(Some(value).filter(|value| value != ""))
}

fn int_or_string(bytes: &[u8]) -> Result<Value, String> {
    let (mut is_text, mut number, mut text) = (false, 0, String::new());
    for part in parts(bytes)? {
        match part {
            (1, Wire::Number(kind)) => is_text = kind == 1,
            (2, Wire::Number(value)) => number = value.cast_signed(),
            (3, Wire::Bytes(bytes)) => text = string(bytes)?,
            _ => {}
        }
    }
    Ok(if is_text { text.into() } else { number.into() })
}

fn time(bytes: &[u8]) -> Result<Option<Value>, String> {
    let seconds = parts(bytes)?.into_iter().find_map(|part| match part {
        (1, Wire::Number(seconds)) => Some(seconds.cast_signed()),
        _ => None,
    });
    let stamp = seconds.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    Ok(stamp.map(|stamp| stamp.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut encoded = vec![number << 3 | 2, u8::try_from(bytes.len()).unwrap()];
        encoded.extend_from_slice(bytes);
        encoded
    }

    fn body(kind: &str, raw: &[u8]) -> Vec<u8> {
        let type_meta = [field(1, b"v1"), field(2, kind.as_bytes())].concat();
        [MAGIC.to_vec(), field(1, &type_meta), field(2, raw)].concat()
    }

    #[test]
    fn a_message_reads_as_its_json() {
        let meta = [field(1, b"a"), field(11, &[field(1, b"k"), field(2, b"v")].concat())].concat();
        let raw = [field(1, &meta), field(2, &[field(1, b"x"), field(2, b"1")].concat())].concat();
        let expected = json!({ "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": "a", "labels": { "k": "v" } }, "data": { "x": "1" } });
        assert_eq!(Value::Object(decode(&body("ConfigMap", &raw)).unwrap()), expected);
    }

    #[test]
    fn zeros_are_left_out_where_json_leaves_them_out_and_kept_where_they_say_something() {
        let number = |field: u8, value: u8| vec![field << 3, value];
        let zero = [number(1, 0), number(2, 0), field(3, b"")].concat();
        let rolling = field(2, &[field(1, &zero), field(2, &zero)].concat());
        let port = field(6, &[number(2, 0), number(3, 80)].concat());
        let container = [field(1, b"c"), port, vec![0x80, 1, 0], vec![0x90, 1, 0]].concat();
        let template = field(3, &field(2, &field(2, &container)));
        let spec = [number(1, 0), template, field(4, &rolling), number(5, 0), number(7, 0)].concat();
        let decoded = decode(&body("Deployment", &field(2, &spec))).unwrap();
        let expected = json!({ "replicas": 0,
            "strategy": { "rollingUpdate": { "maxUnavailable": 0, "maxSurge": 0 } },
            "template": { "spec": { "containers": [{ "name": "c", "ports": [{ "containerPort": 80 }] }] } } });
        assert_eq!(decoded["spec"], expected);
        let port = [number(3, 80), field(4, &zero)].concat();
        let decoded = decode(&body("Service", &field(2, &field(1, &port)))).unwrap();
        assert_eq!(decoded["spec"], json!({ "ports": [{ "port": 80 }] }));
    }

    #[test]
    fn a_node_port_is_read_and_none_is_left_out() {
        let port = |number: &[u8]| [vec![3 << 3, 80], number.to_vec()].concat();
        let ports = [field(1, &port(&[5 << 3, 0xb0, 0xea, 1])), field(1, &port(&[5 << 3, 0]))].concat();
        let decoded = decode(&body("Service", &field(2, &ports))).unwrap();
        assert_eq!(decoded["spec"]["ports"], json!([{ "port": 80, "nodePort": 30_000 }, { "port": 80 }]));
    }

    #[test]
    fn what_is_unknown_is_refused_though_it_is_zero() {
        let template = |container: &[u8]| field(3, &field(2, &field(2, container)));
        // `allowPrivilegeEscalation: false` of a security context.
        let container = [field(1, b"c"), field(15, &[7 << 3, 0])].concat();
        let refused = decode(&body("Deployment", &field(2, &template(&container)))).unwrap_err();
        assert!(refused.contains("field 15 of Deployment.spec.template.spec.containers"), "{refused}");
        // `enableServiceLinks: false`.
        let pod = [vec![0xf0, 1, 0], field(2, &field(1, b"c"))].concat();
        let refused = decode(&body("Pod", &field(2, &pod))).unwrap_err();
        assert!(refused.contains("field 30 of Pod.spec"), "{refused}");
        let empty = [field(14, b""), field(2, &field(1, b"c"))].concat();
        assert!(decode(&body("Pod", &field(2, &empty))).is_ok(), "an empty struct says nothing");
    }

    #[test]
    fn a_status_is_known_to_be_there_or_not() {
        assert!(has_status(&body("CertificateSigningRequest", b"")).unwrap());
        assert!(!has_status(&body("Pod", b"")).unwrap());
        let condition = [field(1, b"Approved"), field(6, b"True"), field(4, &[1 << 3, 60])].concat();
        let decoded = decode(&body("CertificateSigningRequest", &field(3, &field(1, &condition)))).unwrap();
        let expected =
            json!({ "type": "Approved", "status": "True", "lastUpdateTime": "1970-01-01T00:01:00Z" });
        assert_eq!(decoded["status"]["conditions"], json!([expected]));
    }

    #[test]
    fn a_review_of_somebodys_access_reads_as_its_json() {
        let attributes = [field(2, b"get"), field(5, b"nodes")].concat();
        let raw =
            field(2, &[field(1, &attributes), field(3, b"jane"), field(4, b"a"), field(4, b"b")].concat());
        let expected = json!({ "user": "jane", "groups": ["a", "b"],
            "resourceAttributes": { "verb": "get", "resource": "nodes" } });
        assert_eq!(decode(&body("SubjectAccessReview", &raw)).unwrap()["spec"], expected);
    }

    #[test]
    fn what_is_unknown_or_broken_is_refused() {
        assert!(decode(&body("Unheard", b"")).unwrap_err().contains("Unheard"));
        let unknown = field(15, b"x");
        assert!(decode(&body("ConfigMap", &unknown)).unwrap_err().contains("field 15 of ConfigMap"));
        let mut nested = Vec::new();
        while nested.len() < 100 {
            nested = field(1, &nested);
        }
        assert!(decode(&body("ConfigMap", &field(15, &nested))).is_err(), "depth is bounded");
        let whole = body("ConfigMap", &field(1, &field(1, b"a")));
        for end in 0..whole.len() {
            // Any prefix is an error or a smaller message, and never a panic.
            let _ = decode(&whole[..end]);
        }
        assert!(decode(&whole[..whole.len() - 1]).unwrap_err().contains("truncated"));
    }
}
