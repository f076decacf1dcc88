//! Texts that are none, at every place where the contract has one: the places are read from the WIT, so
//! that what is added to it is tried as well.

use std::fmt::Write as _;
use std::sync::Arc;

use wheelhouse_core::gate::{Permission, Verb};
use wheelhouse_core::limits::Limits;
use wheelhouse_core::usage::Usage;
use wheelhouse_core::{Gate, Outcome};
use wheelhouse_sandbox::{CallError, DescribeError, Revision, RevisionSetup};
use wit_parser::abi::AbiVariant;
use wit_parser::{Resolve, Type};

use crate::component::{Door, Module, ZEROS, contract, exports, imports, name_of};
use crate::support::{Neighbour, Nothing, compiled, limits, service};
use crate::values::{Memory, Place, places};

/// No byte of UTF-8, one that begins what does not come, twice, and one that only goes on.
const NO_TEXT: &[u8] = b"\xff\xc0\xc0\x80";

/// What a call that is in order has in its other arguments.
fn in_order(name: &str) -> &'static str {
    match name {
        "kind" => "v1/ConfigMap",
        "namespace" => "default",
        "name" | "reason" | "action" => "x",
        "object" => r#"{"metadata":{"namespace":"default","name":"x"}}"#,
        "patch" => "[]",
        _ => "",
    }
}

/// A call of the function with the text at this place of its parameters, and what it needs in memory.
pub(crate) fn call(resolve: &Resolve, door: &Door, text: &[u8], place: &[usize]) -> (String, String) {
    let mut memory = Memory::new(resolve, text, in_order);
    let signature = resolve.wasm_signature(AbiVariant::GuestImport, &door.function);
    let params = params(door);
    let mut values = Vec::new();
    if signature.indirect_params {
        values.push(memory.stored_params(&params, place));
    } else {
        for (i, (name, ty)) in params.iter().enumerate() {
            let place = place.split_first().filter(|(first, _)| **first == i).map(|(_, rest)| rest);
            values.extend(memory.flat(name, ty, place));
        }
    }
    // Where its answer goes.
    values.extend(signature.retptr.then_some(2048));
    let mut body = String::new();
    assert_eq!(values.len(), signature.params.len(), "{}", door.id);
    for (value, ty) in values.iter().zip(&signature.params) {
        write!(body, "({}.const {value}) ", name_of(*ty)).unwrap();
    }
    write!(body, "(call ${}) {}", door.id, "drop ".repeat(signature.results.len())).unwrap();
    (body, memory.data())
}

fn params(door: &Door) -> Vec<(String, Type)> {
    door.function.params.iter().map(|param| (param.name.clone(), param.ty)).collect()
}

/// All of them that an import has room for.
fn arguments(resolve: &Resolve, door: &Door) -> Vec<(String, Place)> {
    let of = |(i, (name, ty)): (usize, (String, Type))| {
        places(resolve, &ty).into_iter().map(move |(words, place)| {
            (format!("{name}{words}"), std::iter::once(i).chain(place).collect::<Place>())
        })
    };
    let all = params(door).into_iter().enumerate().flat_map(of);
    all.map(|(words, place)| (format!("{}({words})", door.id), place)).collect()
}

/// A plugin that may do everything, and what its cluster is asked.
pub(crate) async fn started(module: &Module<'_>, limits: Limits) -> (Arc<Revision>, Arc<Nothing>) {
    let mut spec = compiled().await.describe("{}", &Limits::default()).await.unwrap();
    let may = |kind: &str| Permission {
        verbs: Verb::ALL.to_vec(),
        kind: kind.parse().unwrap(),
        subresource: String::new(),
        namespaces: Vec::new(),
    };
    spec.permissions = ["v1/ConfigMap", "events.k8s.io/v1/Event"].map(may).into();
    let cluster = Arc::new(Nothing::default());
    let setup = RevisionSetup {
        gate: Arc::new(Gate::granting(&spec.name, spec.all_permissions())),
        spec: Arc::new(spec),
        config: "{}".into(),
        cluster: Arc::clone(&cluster) as Arc<_>,
        usage: Arc::new(Usage::new(&limits)),
        metrics: Arc::default(),
        limits,
    };
    (Arc::new(crate::compile(module).await.start(setup)), cluster)
}

/// What comes of the call, and what the cluster was asked.
async fn called(
    resolve: &Resolve,
    door: &Door,
    text: &[u8],
    place: &[usize],
) -> (Result<Outcome, CallError>, Vec<String>) {
    let (call, memory) = call(resolve, door, text, place);
    let body = call + ZEROS;
    let module = Module { bodies: &[("reconcile", &body)], more: &memory, ..Module::default() };
    let (revision, cluster) = started(&module, limits()).await;
    let outcome = crate::support::reconcile(&revision, "x").await;
    let asked = cluster.asked.lock().unwrap().clone();
    (outcome, asked)
}

fn assert_is_no_text(at: &str, error: &CallError) {
    let CallError::Trap { reason, .. } = error else { panic!("{at}: {error:?}") };
    assert!(reason.contains("utf-8"), "{at}: {reason}");
}

#[tokio::test]
async fn hostile_a_text_that_is_none_is_a_trap_in_every_argument_of_every_import() {
    let (resolve, world) = contract();
    let (mut tried, mut reached) = (Vec::new(), Vec::new());
    let attacking = async {
        for door in imports(&resolve, world) {
            let (outcome, asked) = called(&resolve, &door, b"", &[usize::MAX]).await;
            assert_eq!(outcome, Ok(Outcome::Done), "{}", door.id);
            reached.extend((!asked.is_empty()).then_some(door.id.clone()));
            for (at, place) in arguments(&resolve, &door) {
                let (outcome, asked) = called(&resolve, &door, NO_TEXT, &place).await;
                assert_is_no_text(&at, &outcome.unwrap_err());
                assert!(asked.is_empty(), "{at}: {asked:?}");
                // With a text, there is nothing wrong with it.
                assert_eq!(
                    called(&resolve, &door, "é".as_bytes(), &place).await.0,
                    Ok(Outcome::Done),
                    "{at}"
                );
                tried.push(at);
            }
        }
    };
    Neighbour::start().await.beside(attacking).await;
    // Some that are known, of each kind: by themselves, in records, options, lists and pairs.
    for at in [
        "objects.get(kind)",
        "objects.get(key.namespace)",
        "objects.list(query.continue.some)",
        "objects.count(query.matches.[0].value)",
        "client.delete(options.uid.some)",
        "events.record(related.some.key.name)",
        "metrics.gauge-set(labels.[0].1)",
        "logging.log(fields.[0].0)",
    ] {
        assert!(tried.iter().any(|tried| tried == at), "{at}: {tried:?}");
    }
    // And the cluster would have heard of what is in order.
    for door in ["objects.get", "objects.list", "client.create", "client.delete", "events.record"] {
        assert!(reached.iter().any(|reached| reached == door), "{door}: {reached:?}");
    }
}

/// What comes of a call of the function that the plugin exports.
async fn answered(module: &Module<'_>, function: &str) -> Result<(), CallError> {
    let revision = started(module, limits()).await.0;
    match function {
        "describe" => match crate::compile(module).await.describe("{}", &limits()).await {
            Err(DescribeError::Call(error)) => Err(error),
            // What it says makes no sense, which can be told when it was read.
            _ => Ok(()),
        },
        "reconcile" => crate::support::reconcile(&revision, "x").await.map(drop),
        "map" => revision.map("services", service("x")).await.map(drop),
        "index" => revision.index("own", &service("x").new.unwrap()).await.map(drop),
        other => panic!("nothing is known of the export {other}: call it here"),
    }
}

#[tokio::test]
async fn hostile_a_text_that_is_none_is_a_trap_in_every_answer_of_a_plugin() {
    let (resolve, world) = contract();
    let mut tried = Vec::new();
    let attacking = async {
        for Door { function, .. } in exports(&resolve, world) {
            let Some(answer) = function.result else { continue };
            let signature = resolve.wasm_signature(AbiVariant::GuestExport, &function);
            for (words, place) in places(&resolve, &answer) {
                assert!(signature.retptr, "no text is handed over but in memory");
                let at = format!("{}: {words}", function.name);
                for (text, is_text) in [(NO_TEXT, false), ("é".as_bytes(), true)] {
                    let mut memory = Memory::new(&resolve, text, in_order);
                    let body = format!("(i32.const {})", memory.stored("", &answer, Some(&place)));
                    let (bodies, more) = ([(function.name.as_str(), &*body)], memory.data());
                    let module = Module { bodies: &bodies, more: &more, ..Module::default() };
                    match answered(&module, &function.name).await {
                        Err(error) if !is_text => assert_is_no_text(&at, &error),
                        answer => assert!(is_text && answer.is_ok(), "{at}: {answer:?}"),
                    }
                }
                tried.push(at);
            }
        }
    };
    Neighbour::start().await.beside(attacking).await;
    for at in [
        "describe: .ok.watches.[0].mapping.annotation",
        "describe: .ok.permissions.[0].namespaces.[0]",
        "describe: .err.field",
        "reconcile: .terminal",
        "map: .[0].name",
        "index: .[0]",
    ] {
        assert!(tried.iter().any(|tried| tried == at), "{at}: {tried:?}");
    }
}
