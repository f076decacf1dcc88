//! Components by hand: a core module, with what it does in each function written down as text, made a
//! component of the contract's world. What no compiler would make of a plugin, an attacker can.

use std::fmt::Write as _;
use std::path::Path;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::abi::{AbiVariant, WasmType};
use wit_parser::{
    Function, LiftLowerAbi, ManglingAndAbi, Resolve, WasmExport, WasmExportKind, WasmImport, WorldId,
    WorldItem, WorldKey,
};

const MANGLING: ManglingAndAbi = ManglingAndAbi::Legacy(LiftLowerAbi::Sync);

/// What a module does; where it says nothing, it answers with zeros.
#[derive(Default)]
pub(crate) struct Module<'a> {
    /// The body of each exported function: `("reconcile", "i32.const 1024")`. Every imported function is
    /// there as `$logging.log`, and `$realloc` and memory 0 with a megabyte.
    pub(crate) bodies: &'a [(&'a str, &'a str)],
    /// The body of what the host asks for room in the guest's memory.
    pub(crate) realloc: Option<&'a str>,
    /// The body of what is run when an answer of `reconcile` has been read.
    pub(crate) post_return: Option<&'a str>,
    /// Imports of WASI, as text: `(import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))`.
    pub(crate) wasi: &'a str,
    /// Whatever else the module is to have: tables, functions, `(start $f)`.
    pub(crate) more: &'a str,
    /// How it writes its texts; UTF-8 if it does not say.
    pub(crate) encoding: Option<StringEncoding>,
}

/// Where an answer is that is all zeros: the first case, empty lists and texts.
pub(crate) const ZEROS: &str = "i32.const 1024";

pub(crate) fn name_of(ty: WasmType) -> &'static str {
    match ty {
        WasmType::I64 | WasmType::PointerOrI64 => "i64",
        WasmType::F32 => "f32",
        WasmType::F64 => "f64",
        WasmType::I32 | WasmType::Pointer | WasmType::Length => "i32",
    }
}

fn types(keyword: &str, types: &[WasmType]) -> String {
    let mut text = String::new();
    for ty in types {
        write!(text, " ({keyword} {})", name_of(*ty)).unwrap();
    }
    text
}

/// The contract, and the world of plugins in it.
pub(crate) fn contract() -> (Resolve, WorldId) {
    let mut resolve = Resolve::default();
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let (package, _) = resolve.push_dir(wit).unwrap();
    let world = resolve.select_world(&[package], Some("plugin")).unwrap();
    (resolve, world)
}

/// The world of plugins that import more of WASI than one needs.
fn with_wasi(resolve: &mut Resolve) -> WorldId {
    let package = resolve.push_str("wasi.wit", include_str!("wasi.wit")).unwrap();
    resolve.select_world(&[package], Some("attacker")).unwrap()
}

/// A function of an interface that the world imports or exports.
pub(crate) struct Door {
    key: WorldKey,
    /// `logging.log`.
    pub(crate) id: String,
    pub(crate) function: Function,
}

fn doors<'a>(resolve: &Resolve, items: impl Iterator<Item = (&'a WorldKey, &'a WorldItem)>) -> Vec<Door> {
    let mut doors = Vec::new();
    for (key, item) in items {
        let WorldItem::Interface { id, .. } = item else {
            panic!("the world has something besides interfaces: {item:?}");
        };
        let interface = &resolve.interfaces[*id];
        doors.extend(interface.functions.values().map(|function| Door {
            key: key.clone(),
            id: format!("{}.{}", interface.name.as_deref().unwrap_or_default(), function.name),
            function: function.clone(),
        }));
    }
    doors
}

pub(crate) fn imports(resolve: &Resolve, world: WorldId) -> Vec<Door> {
    doors(resolve, resolve.worlds[world].imports.iter())
}

pub(crate) fn exports(resolve: &Resolve, world: WorldId) -> Vec<Door> {
    doors(resolve, resolve.worlds[world].exports.iter())
}

impl Module<'_> {
    /// The component's bytes.
    pub(crate) fn component(&self) -> Vec<u8> {
        let (mut resolve, world) = contract();
        let mut module = wat::parse_str(self.text(&resolve, world)).unwrap();
        let world = if self.wasi.is_empty() { world } else { with_wasi(&mut resolve) };
        let encoding = self.encoding.unwrap_or(StringEncoding::UTF8);
        embed_component_metadata(&mut module, &resolve, world, encoding).unwrap();
        ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap()
    }

    fn text(&self, resolve: &Resolve, world: WorldId) -> String {
        let mut text = "(module\n".to_owned();
        for Door { key, id, function } in imports(resolve, world) {
            let signature = resolve.wasm_signature(AbiVariant::GuestImport, &function);
            let import = WasmImport::Func { interface: Some(&key), func: &function };
            let (module, name) = resolve.wasm_import_name(MANGLING, import);
            let (params, results) = (types("param", &signature.params), types("result", &signature.results));
            writeln!(text, "(import {module:?} {name:?} (func ${id}{params}{results}))").unwrap();
        }
        text += self.wasi;
        let export = |export: WasmExport<'_>| resolve.wasm_export_name(MANGLING, export);
        writeln!(text, "(memory (export {:?}) 16)", export(WasmExport::Memory)).unwrap();
        // Room is given in the upper half, from its start for each.
        let realloc = self.realloc.unwrap_or("i32.const 524288");
        let name = export(WasmExport::Realloc);
        writeln!(text, "(func $realloc (export {name:?}) (param i32 i32 i32 i32) (result i32) {realloc})")
            .unwrap();
        for Door { key, function, .. } in exports(resolve, world) {
            let signature = resolve.wasm_signature(AbiVariant::GuestExport, &function);
            let of = |kind| WasmExport::Func { interface: Some(&key), func: &function, kind };
            let name = export(of(WasmExportKind::Normal));
            let (params, results) = (types("param", &signature.params), types("result", &signature.results));
            let body =
                self.bodies.iter().find(|(of, _)| *of == function.name).map_or(ZEROS, |(_, body)| body);
            writeln!(text, "(func (export {name:?}){params}{results} {body})").unwrap();
            if let Some(body) = self.post_return.filter(|_| function.name == "reconcile") {
                let name = export(of(WasmExportKind::PostReturn));
                writeln!(text, "(func (export {name:?}) (param i32) {body})").unwrap();
            }
        }
        text + self.more + ")"
    }
}
