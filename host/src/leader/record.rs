//! What a Lease says: the record that candidates leave for each other.

use serde_json::{Map, Value, json};
use std::time::{Duration, SystemTime};

/// A Lease's `spec`, as far as an election is about it (client-go's `LeaderElectionRecord`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// "" if it was released, or never held.
    pub(crate) holder: String,
    /// How long others wait from the moment at which they see a change; none if the Lease does not say.
    pub(crate) duration: Option<Duration>,
    /// When the holder got it, as the holder wrote it: for people.
    pub(crate) acquired: String,
    /// Likewise, when it was renewed. That it changes is what counts, and not what it says: the clocks of
    /// two machines need not agree.
    pub(crate) renewed: String,
    /// How often the holder has changed.
    pub(crate) transitions: i64,
}

/// A Lease as the API server has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) record: Record,
    /// `metadata.resourceVersion`: a write that is based on another one is refused.
    pub(crate) version: String,
}

impl Record {
    /// Of a Lease's JSON; what is missing or odd is as if it were empty.
    pub(crate) fn read(lease: &Value) -> Self {
        let field = |field: &str| lease.get("spec").and_then(|spec| spec.get(field));
        let text = |name: &str| field(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let seconds = field("leaseDurationSeconds").and_then(Value::as_u64).filter(|s| *s > 0);
        Self {
            holder: text("holderIdentity"),
            duration: seconds.map(Duration::from_secs),
            acquired: text("acquireTime"),
            renewed: text("renewTime"),
            transitions: field("leaseTransitions").and_then(Value::as_i64).unwrap_or(0),
        }
    }

    /// Into a Lease's JSON, whose other fields stay as they are.
    pub(crate) fn write(&self, lease: &mut Value) {
        // The field has whole seconds. A part of one counts as one: others wait longer then.
        let seconds = self.duration.map(|d| d.as_secs() + u64::from(d.subsec_nanos() > 0));
        let mut set = |field, value| set(lease, "spec", field, value);
        set("holderIdentity", self.holder.as_str().into());
        set("leaseDurationSeconds", seconds.map_or(Value::Null, Value::from));
        set("acquireTime", time(&self.acquired));
        set("renewTime", time(&self.renewed));
        set("leaseTransitions", self.transitions.into());
    }
}

/// Sets a field of `metadata` or `spec`.
pub(crate) fn set(lease: &mut Value, part: &str, field: &str, value: Value) {
    let Value::Object(lease) = lease else { return };
    let part = lease.entry(part).or_insert(Value::Null);
    if !part.is_object() {
        *part = Value::Object(Map::new());
    }
    if let Value::Object(part) = part {
        part.insert(field.to_owned(), value);
    }
}

/// The annotation by which a holder tells the other hosts what its plugin has to itself.
const NOTE: &str = "wheelhouse.dev/has";
/// In it: who has written it. Whoever else holds the lease says nothing by it.
const HOLDER: &str = "holder";

/// The holder's, of a Lease's JSON.
pub(crate) fn note(lease: &Value) -> Option<Value> {
    let text = lease.get("metadata")?.get("annotations")?.get(NOTE)?.as_str()?;
    let note: Value = serde_json::from_str(text).ok()?;
    let holder = lease.get("spec")?.get("holderIdentity").filter(|holder| **holder != "")?;
    (note.get(HOLDER)? == holder).then_some(note)
}

/// The holder's, into a Lease's JSON; or out of it.
pub(crate) fn set_note(lease: &mut Value, note: Option<&Value>) {
    let holder = lease.pointer("/spec/holderIdentity").filter(|holder| **holder != "").cloned();
    let note = holder.zip(note.cloned()).map(|(holder, mut note)| {
        if let Value::Object(note) = &mut note {
            note.insert(HOLDER.to_owned(), holder);
        }
        note.to_string()
    });
    let mut annotations = match lease.pointer("/metadata/annotations") {
        Some(Value::Object(annotations)) => annotations.clone(),
        _ if note.is_none() => return,
        _ => Map::new(),
    };
    match note {
        Some(note) => annotations.insert(NOTE.to_owned(), note.into()),
        None => annotations.remove(NOTE),
    };
    set(lease, "metadata", "annotations", annotations.into());
}

fn time(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { text.into() }
}

impl Lease {
    /// Of a Lease's JSON.
    pub(crate) fn read(lease: &Value) -> Self {
        let version = lease.pointer("/metadata/resourceVersion").and_then(Value::as_str);
        let version = version.unwrap_or_default().to_owned();
        Self { record: Record::read(lease), version }
    }
}

/// A Lease that is not there yet.
pub(crate) fn new_lease(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"namespace": namespace, "name": name}, "spec": {}
    })
}

/// The wall clock's time as Kubernetes' `MicroTime`.
pub(crate) fn micro_time(now: SystemTime) -> String {
    jiff::Timestamp::try_from(now).map_or_else(|_| String::new(), |now| format!("{now:.6}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_written_as_client_go_reads_it_and_read_as_it_was_written() {
        let record = Record {
            holder: "host-1_abc".to_owned(),
            duration: Some(Duration::from_secs(15)),
            acquired: "2026-01-02T03:04:05.000006Z".to_owned(),
            renewed: micro_time(SystemTime::UNIX_EPOCH),
            transitions: 3,
        };
        let mut lease = new_lease("ns", "wheelhouse");
        lease["metadata"]["resourceVersion"] = "7".into();
        lease["metadata"]["labels"] = json!({"kept": "yes"});
        lease["spec"]["strategy"] = "OldestEmulationVersion".into();
        record.write(&mut lease);
        assert_eq!(
            lease["spec"],
            json!({"holderIdentity": "host-1_abc", "leaseDurationSeconds": 15, "leaseTransitions": 3,
                "acquireTime": "2026-01-02T03:04:05.000006Z", "renewTime": "1970-01-01T00:00:00.000000Z",
                "strategy": "OldestEmulationVersion"})
        );
        assert_eq!(lease["metadata"]["labels"]["kept"], "yes");
        assert_eq!(Lease::read(&lease), Lease { record, version: "7".to_owned() });
    }

    #[test]
    fn a_note_is_its_holders_and_comes_and_goes_beside_what_others_have_written() {
        let mut lease = new_lease("ns", "l");
        let what = json!({"plugin": "p"});
        set_note(&mut lease, Some(&what));
        assert_eq!(lease, new_lease("ns", "l"), "nobody holds it");
        lease["spec"]["holderIdentity"] = "me".into();
        set_note(&mut lease, Some(&what));
        assert_eq!(note(&lease), Some(json!({"plugin": "p", "holder": "me"})));
        lease["metadata"]["annotations"]["else"] = "kept".into();
        let mut taken = lease.clone();
        taken["spec"]["holderIdentity"] = "of an older version".into();
        assert_eq!(note(&taken), None);
        lease["spec"]["holderIdentity"] = "".into();
        assert_eq!(note(&lease), None);
        set_note(&mut lease, Some(&what));
        assert_eq!(lease["metadata"]["annotations"], json!({"else": "kept"}));
    }

    #[test]
    fn a_part_of_a_second_counts_as_one() {
        let mut lease = new_lease("ns", "l");
        let read = |lease: &Value| Record::read(lease);
        let record = Record { duration: Some(Duration::from_millis(1200)), ..read(&lease) };
        record.write(&mut lease);
        assert_eq!(read(&lease).duration, Some(Duration::from_secs(2)));
    }

    #[test]
    fn an_empty_lease_is_held_by_nobody() {
        let record = Record::read(&json!({"spec": null}));
        assert_eq!((record.holder.as_str(), record.duration), ("", None));
    }
}
