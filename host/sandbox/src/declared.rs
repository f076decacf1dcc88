//! What `describe` returned, read: names and texts in it are as short as they may be. How much of it there is
//! is looked at first.

use std::time::Duration;

use wheelhouse_core::gate::{Permission, Verb};
use wheelhouse_core::printable::excerpt;
use wheelhouse_core::spec::{Counts, FieldIndex, IndexSource, Mapping, Options, Owned, Source, Spec, Watch};
use wheelhouse_core::tick::Tick;
use wheelhouse_core::{FieldPath, Fields, Kind};

use crate::bindings::exports::wheelhouse::controller::reconciler as wit;
use crate::convert;
use crate::error::DescribeError;

/// Namespaces that one source, or one permission, may declare: each has a watch of its own.
const NAMESPACES: usize = 256;
/// Field paths that one source may declare.
const SOURCE_FIELDS: usize = 256;
/// Bytes of the name of a watch or an index, and of a version.
const NAME: usize = 253;

/// Whether people can read it in a line.
pub(crate) fn is_name(text: &str) -> bool {
    text.len() <= NAME && !text.contains(char::is_control)
}

fn kind(text: &str) -> Result<Kind, String> {
    text.parse().map_err(|error: wheelhouse_core::kind::BadKind| error.to_string())
}

fn name(what: &str, text: String) -> Result<String, String> {
    if is_name(&text) {
        return Ok(text);
    }
    Err(format!("{:?} is no {what}: use at most {NAME} bytes, without control characters", excerpt(&text)))
}

/// Each once, in order.
fn distinct<T: PartialEq>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut all = Vec::new();
    for item in items {
        if !all.contains(&item) {
            all.push(item);
        }
    }
    all
}

fn namespaces(kind: &str, namespaces: Vec<String>) -> Result<Vec<String>, String> {
    if namespaces.len() > NAMESPACES {
        let count = namespaces.len();
        return Err(format!("{count} namespaces are declared for {kind}, at most {NAMESPACES} may be"));
    }
    match namespaces.iter().find(|namespace| !is_namespace(namespace)) {
        Some(odd) => Err(format!("{:?}, declared for {kind}, is no namespace", excerpt(odd))),
        None => Ok(namespaces),
    }
}

/// A DNS label.
fn is_namespace(text: &str) -> bool {
    let inside = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| inside(b) || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// The name of a subresource, as a path has it.
fn subresource(text: String) -> Result<String, String> {
    if text.len() <= 63 && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') {
        return Ok(text);
    }
    Err(format!("{:?} is no subresource: write scale, status, ...", excerpt(&text)))
}

fn source(source: wit::Source) -> Result<Source, String> {
    let selector: Result<_, wheelhouse_core::selector::BadSelector> = source.label_selector.parse();
    let field_selector: Result<_, wheelhouse_core::field_selector::BadFieldSelector> =
        source.field_selector.parse();
    let predicate: Result<_, wheelhouse_core::predicate::BadPredicate> = source.predicate.parse();
    Ok(Source {
        kind: kind(&source.kind)?,
        namespaces: namespaces(&source.kind, source.namespaces)?,
        selector: selector.map_err(|error| error.to_string())?,
        field_selector: field_selector.map_err(|error| error.to_string())?,
        fields: fields(&source.kind, &source.fields)?,
        predicate: predicate.map_err(|error| format!("a source of {}: {error}", source.kind))?,
    })
}

fn fields(kind: &str, paths: &[String]) -> Result<Fields, String> {
    if paths.is_empty() {
        return Ok(Fields::all());
    }
    if paths.len() > SOURCE_FIELDS {
        let count = paths.len();
        return Err(format!("a source of {kind} declares {count} fields, at most {SOURCE_FIELDS} may be"));
    }
    let paths: Vec<FieldPath> = paths.iter().map(|text| path(text)).collect::<Result<_, _>>()?;
    Ok(Fields::of(&paths))
}

fn path(path: &str) -> Result<FieldPath, String> {
    path.parse().map_err(|error: wheelhouse_core::path::BadPath| error.to_string())
}

/// What a label or an annotation is called.
fn map_key(what: &str, text: String) -> Result<String, String> {
    // With a DNS name as a prefix.
    if (1..=317).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(text);
    }
    Err(format!("{:?} is no {what} to map by: write its key, such as example.com/owner", excerpt(&text)))
}

fn owned(owned: wit::Owned) -> Result<Owned, String> {
    Ok(Owned { source: source(owned.source)?, any_owner: owned.any_owner })
}

fn tick(tick: wit::Tick) -> Result<Tick, String> {
    Ok(Tick {
        name: name("name of a tick", tick.name)?,
        every: Duration::from_millis(tick.every_ms),
        keys: tick.keys.into_iter().map(convert::key_in).collect(),
    })
}

fn watch(watch: wit::Watch) -> Result<Watch, String> {
    let mapping = match watch.mapping {
        wit::Mapping::Label(label) => Mapping::Label(map_key("label", label)?),
        wit::Mapping::Annotation(annotation) => Mapping::Annotation(map_key("annotation", annotation)?),
        wit::Mapping::Field(field) => Mapping::Field(path(&field)?),
        wit::Mapping::Plugin => Mapping::Plugin,
    };
    Ok(Watch { name: name("name of a watch", watch.name)?, source: source(watch.source)?, mapping })
}

fn index(index: wit::FieldIndex) -> Result<FieldIndex, String> {
    let source = match index.source {
        wit::IndexSource::Field(field) => IndexSource::Field(path(&field)?),
        wit::IndexSource::Label(label) => IndexSource::Field(FieldPath::of_label(&label)),
        wit::IndexSource::Plugin => IndexSource::Plugin,
    };
    Ok(FieldIndex { kind: kind(&index.kind)?, name: name("name of an index", index.name)?, source })
}

fn permission(permission: wit::Permission) -> Result<Permission, String> {
    let verb = |verb| match verb {
        wit::Verb::Get => Verb::Get,
        wit::Verb::List => Verb::List,
        wit::Verb::Watch => Verb::Watch,
        wit::Verb::Create => Verb::Create,
        wit::Verb::Update => Verb::Update,
        wit::Verb::Patch => Verb::Patch,
        wit::Verb::Delete => Verb::Delete,
    };
    Ok(Permission {
        verbs: distinct(permission.verbs.into_iter().map(verb)),
        kind: kind(&permission.kind)?,
        subresource: subresource(permission.subresource)?,
        namespaces: namespaces(&permission.kind, permission.namespaces)?,
    })
}

fn counts(spec: &wit::Spec) -> Counts {
    let watched = spec.watches.iter().map(|watch| &watch.source);
    let owned = spec.owns.iter().map(|owned| &owned.source);
    let sources = std::iter::once(&spec.reconciles).chain(owned).chain(watched).chain(&spec.caches);
    Counts {
        kinds: sources.clone().count(),
        places: sources.map(|source| source.namespaces.len().max(1)).sum(),
        indexes: spec.indexes.len(),
        permissions: spec.permissions.len(),
        ticks: spec.ticks.len(),
    }
}

/// What `describe` returned, if it can be used.
pub(crate) fn checked(declared: wit::Spec) -> Result<Spec, DescribeError> {
    counts(&declared).check()?;
    let spec = spec(declared).map_err(DescribeError::Unreadable)?;
    spec.check()?;
    Ok(spec)
}

/// An error names what of it cannot be read.
fn spec(spec: wit::Spec) -> Result<Spec, String> {
    Ok(Spec {
        name: spec.name,
        version: name("version", spec.version)?,
        reconciles: source(spec.reconciles)?,
        owns: spec.owns.into_iter().map(owned).collect::<Result<_, _>>()?,
        watches: spec.watches.into_iter().map(watch).collect::<Result<_, _>>()?,
        caches: spec.caches.into_iter().map(source).collect::<Result<_, _>>()?,
        ticks: spec.ticks.into_iter().map(tick).collect::<Result<_, _>>()?,
        indexes: spec.indexes.into_iter().map(index).collect::<Result<_, _>>()?,
        permissions: spec.permissions.into_iter().map(permission).collect::<Result<_, _>>()?,
        options: Options {
            concurrency: spec.options.concurrency.max(1),
            resync: spec.options.resync_ms.map(Duration::from_millis),
            timeout: spec.options.timeout_ms.map(Duration::from_millis),
            track_dependencies: spec.options.track_dependencies,
        },
    })
}

#[cfg(test)]
mod tests {
    use wheelhouse_core::spec::SpecError;

    use super::*;

    fn source_of(kind: &str) -> wit::Source {
        wit::Source {
            kind: kind.to_owned(),
            namespaces: Vec::new(),
            label_selector: String::new(),
            field_selector: String::new(),
            fields: Vec::new(),
            predicate: String::new(),
        }
    }

    #[test]
    fn a_source_declares_fields_or_all() {
        let wide = source(source_of("v1/Pod")).unwrap();
        assert!(wide.fields.is_all() && wide.field_selector.is_empty());
        let narrow = wit::Source {
            fields: vec!["spec.nodeName".into(), ".status".into()],
            field_selector: "spec.nodeName!=".into(),
            ..source_of("v1/Pod")
        };
        let narrow = source(narrow).unwrap();
        let paths = [".spec.nodeName", ".status"].map(|path| path.parse::<FieldPath>().unwrap());
        assert_eq!(narrow.fields, Fields::of(&paths));
        assert_eq!(narrow.field_selector.to_string(), "spec.nodeName!=");
        let bare = wit::Source { fields: vec!["metadata".into()], ..source_of("v1/Pod") };
        assert!(source(bare).unwrap().fields.is_metadata());
    }

    fn many(count: usize) -> Vec<String> {
        (0..count).map(|i| format!("n{i}")).collect()
    }

    #[test]
    fn hostile_a_source_or_permission_declares_no_more_than_it_may() {
        let in_namespaces =
            |count| source(wit::Source { namespaces: many(count), ..source_of("v1/Pod") }).map(|_| ());
        let reading = |count| source(wit::Source { fields: many(count), ..source_of("v1/Pod") }).map(|_| ());
        let permitted = |count| {
            let (kind, subresource, verbs) = ("v1/Pod".to_owned(), String::new(), vec![wit::Verb::Get]);
            permission(wit::Permission { verbs, kind, subresource, namespaces: many(count) }).map(|_| ())
        };
        let namespaces = "257 namespaces are declared for v1/Pod, at most 256 may be";
        for (declared, problem) in [
            (&in_namespaces as &dyn Fn(usize) -> Result<(), String>, namespaces),
            (&permitted, namespaces),
            (&reading, "a source of v1/Pod declares 257 fields, at most 256 may be"),
        ] {
            assert_eq!(declared(256), Ok(()));
            assert_eq!(declared(257), Err(problem.to_owned()));
        }
    }

    #[test]
    fn hostile_a_declaration_of_too_much_is_refused_before_any_of_it_is_read() {
        let unreadable = |count: usize| {
            let (kind, subresource) = ("no such kind".to_owned(), String::new());
            let permission = wit::Permission { verbs: vec![], kind, subresource, namespaces: vec![] };
            checked(wit::Spec {
                name: "p".into(),
                version: "1".into(),
                reconciles: source_of("v1/Pod"),
                owns: vec![],
                watches: vec![],
                caches: vec![],
                ticks: vec![],
                indexes: vec![],
                permissions: vec![permission; count],
                options: wit::Options {
                    concurrency: 1,
                    resync_ms: None,
                    timeout_ms: None,
                    track_dependencies: false,
                },
            })
        };
        assert!(matches!(unreadable(256), Err(DescribeError::Unreadable(_))));
        let too_many = SpecError::TooMany { what: "permissions", count: 1_000_000, max: 256 };
        assert_eq!(unreadable(1_000_000), Err(DescribeError::Spec(too_many)));
    }

    #[test]
    fn hostile_names_in_a_declaration_are_short_and_readable() {
        let watched = |name: &str| {
            let (name, source) = (name.to_owned(), source_of("v1/Pod"));
            watch(wit::Watch { name, source, mapping: wit::Mapping::Plugin }).map(|_| ())
        };
        let indexed = |name: &str| {
            let (name, kind) = (name.to_owned(), "v1/Pod".to_owned());
            index(wit::FieldIndex { kind, name, source: wit::IndexSource::Plugin }).map(|_| ())
        };
        let version = |text: &str| name("version", text.to_owned()).map(|_| ());
        for (declared, what) in [
            (&watched as &dyn Fn(&str) -> Result<(), String>, "name of a watch"),
            (&indexed, "name of an index"),
            (&version, "version"),
        ] {
            assert_eq!(declared(&"x".repeat(253)), Ok(()), "{what}");
            for bad in ["x".repeat(254), "x".repeat(1 << 20), "a\nb".to_owned(), "\u{1b}[31m".to_owned()] {
                let problem = declared(&bad).unwrap_err();
                assert!(problem.contains(&format!("is no {what}: use at most 253 bytes")), "{problem}");
                assert!(problem.len() < 300 && !problem.contains(char::is_control), "{problem:?}");
            }
        }
        assert_eq!(subresource("x".repeat(63)), Ok("x".repeat(63)));
        for bad in ["x".repeat(64), "../status".to_owned(), "Status".to_owned()] {
            assert!(subresource(bad.clone()).unwrap_err().contains("is no subresource"), "{bad}");
        }
    }

    #[test]
    fn a_predicate_that_cannot_be_read_is_told_with_its_source() {
        let with = |predicate: &str| wit::Source { predicate: predicate.into(), ..source_of("v1/Pod") };
        assert_eq!(source(with("created||deleted")).unwrap().predicate.to_string(), "created || deleted");
        assert_eq!(
            source(with("created or deleted")).unwrap_err(),
            "a source of v1/Pod: predicate \"created or deleted\", at byte 8: write && or || between two conditions"
        );
    }

    #[test]
    fn an_index_by_a_label_is_one_by_its_path() {
        let by_label = wit::FieldIndex {
            kind: "v1/Pod".into(),
            name: "app".into(),
            source: wit::IndexSource::Label("example.com/app".into()),
        };
        let IndexSource::Field(path) = index(by_label).unwrap().source else { panic!("it is by a field") };
        assert_eq!(path.as_label(), Some("example.com/app"));
    }
}
